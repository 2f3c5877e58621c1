"""a1-trt bench perf"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from a1_trt.cli.old_spellings import Command
from a1_trt.cli.options import choice_option, listed, numbers, pair_option
from a1_trt.cli.output import Output, output_options, progress
from a1_trt.cli.problems import count_option, data_option, read_problems
from a1_trt.cli.tables import number, print_table
from a1_trt.config import Pair, load_pair
from a1_trt.errors import InvalidRequestError
from a1_trt.types import Problem


@click.command(cls=Command, json_took_file=True)
@click.option(
    "--url", required=True, metavar="HOST:PORT", help="The server; its gRPC or HTTP port, as --protocol says."
)
@click.option("-m", "--model", "models", default="a1", help="a1, draft, target; several by commas.")
@choice_option("--protocol", of=("grpc", "http"), help="How to ask it.")
@click.option("--concurrency", metavar="N,N,...", help="Requests in flight, one measurement each.  [default: 1,2,4]")
@click.option("--request-rate", metavar="R,R,...", help="Instead: arrivals a second, one measurement each.")
@click.option("-n", "--samples", "n_samples", type=int, help="Samples a problem, for a1.")
@click.option("--max-tokens", type=click.IntRange(1, 4096), default=64, help="For draft and target.")
@pair_option
@data_option
@count_option(16)
@click.option("--interval", "interval_s", type=click.FloatRange(0.1, 3600), default=5.0, help="Seconds.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(1), default=600.0, help="Seconds.")
@click.option("--perf-analyzer", type=click.Path(path_type=Path), help="The program; the one on PATH when not given.")
@output_options()
def perf(
    url: str,
    models: str,
    concurrency: str | None,
    request_rate: str | None,
    n_samples: int | None,
    max_tokens: int,
    pair: str,
    data: Path | None,
    n_problems: int,
    perf_analyzer: Path | None,
    out: Output,
    **how: Any,
) -> None:
    """Measure a running server with NVIDIA's perf_analyzer.

    \b
    Examples:
      a1-trt bench perf --url localhost:8001 --concurrency 1,2,4,8
      a1-trt bench perf --url localhost:8001 -m draft,target --request-rate 10,20 --output perf.json
      a1-trt bench perf --url localhost:8000 --protocol http -m target
    """
    from a1_trt.benchmarks import machine, versions
    from a1_trt.benchmarks.perf import Sweep, find_perf_analyzer, measure

    binary = find_perf_analyzer(perf_analyzer)
    if concurrency and request_rate:
        error = "both --concurrency and --request-rate are given"
        raise InvalidRequestError(error, field="concurrency", remedy="give one")
    mode: Any = "request_rate" if request_rate else "concurrency"
    values = numbers(request_rate or concurrency or "1,2,4", mode, float, "1,2,4")
    loaded = load_pair(pair)
    problems = read_problems(loaded, data)[:n_problems]
    measurements: list[dict[str, Any]] = []
    for model in listed(models):
        sweep = Sweep(_model(model), mode=mode, values=values, **how)
        inputs = _inputs(loaded, sweep.model, problems, n_samples, max_tokens)
        for row in measure(binary, sweep, url, inputs):
            measurements.append(row)
            progress(f"{model} {sweep.mode} {row['value']:g}: {row['requests_per_s']:.2f} requests/s")
    about = {"machine": machine(), "versions": versions(), "pair": loaded.name, "url": url}
    out.deliver({**about, "measurements": measurements}, _show)


def _inputs(pair: Pair, model: str, problems: list[Problem], n_samples: int | None, max_tokens: int) -> dict[str, Any]:
    from a1_trt.benchmarks.perf import a1_inputs, engine_inputs, prompts_of

    if model == "a1":
        return a1_inputs(problems, {"n_samples": n_samples})
    from a1_trt.backends.openvino import OpenVinoTokenizer

    tokenizer = OpenVinoTokenizer.load(pair.model_path("draft" if model == "draft" else "target"))
    return engine_inputs(prompts_of(problems, tokenizer), max_tokens=max_tokens)


def _model(name: str) -> Any:
    if name not in ("a1", "draft", "target"):
        raise InvalidRequestError(f"there is no model {name!r}", field="model", remedy="choose a1, draft or target")
    return name


def _show(document: dict[str, Any]) -> None:
    rows = [
        [
            *(row[name] for name in ("model", "protocol")),
            f"{row['mode'].replace('_', ' ')} {row['value']:g}",
            number(row["requests_per_s"], 2),
            *(number(row["latency_ms"][name], 1) for name in ("p50", "p95", "p99")),
            f"{row['n_requests']:,}{'' if row['stable'] else ' (windows differ)'}",
        ]
        for row in document["measurements"]
    ]
    print_table(("model", "protocol", "load", "requests/s", "p50 ms", "p95 ms", "p99 ms", "requests"), rows)
