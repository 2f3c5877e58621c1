"""a1-trt bench"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from a1_trt.cli.bench_options import measured, workload_options
from a1_trt.cli.intensity import intensity
from a1_trt.cli.old_spellings import Group, warn
from a1_trt.cli.options import listed
from a1_trt.cli.output import FILE, FOLDER, Output, json_option, output_options
from a1_trt.cli.perf import perf
from a1_trt.cli.tables import interval, number, percent, print_table
from a1_trt.types import ROLES

_STRATEGIES = "a1,target-only,sync-rank,sync-threshold"


@click.group(cls=Group)
def bench() -> None:
    """Measure strategies against each other, and a server with perf_analyzer.

    \b
    Examples:
      a1-trt bench compare reference --problems 16 --output result.json
    """


@bench.command(json_took_file=True)
@click.argument("pair")
@click.option("--strategies", default=_STRATEGIES, metavar="NAME,...", help="See 'bench strategies'.")
@workload_options
def compare(pair: str, strategies: str, out: Output, **options: Any) -> None:
    """Solve the same problems by several strategies, in turns, and compare them with the first.

    \b
    Examples:
      a1-trt bench compare reference --strategies a1,target-only,sync-rank --problems 32 --samples 16
      a1-trt bench compare reference --samples 1,4,16 --repeats 5 --seed 7 --output result.json
      a1-trt bench compare reference --repeats 5 --seed 7 --output result.json --resume
    """
    _measure(pair, listed(strategies), out, options)


@bench.command(json_took_file=True)
@click.argument("pair")
@click.option("--strategy", default="a1", metavar="NAME", help="See 'bench strategies'.")
@workload_options
def run(pair: str, strategy: str, out: Output, **options: Any) -> None:
    """Solve problems by one strategy and measure it.

    \b
    Examples:
      a1-trt bench run reference --problems 8
      a1-trt bench run reference --strategy sync-rank --rate 2 --output run.json
    """
    _measure(pair, (strategy,), out, options)


@bench.command(name="strategies")
@json_option
def list_strategies(out: Output) -> None:
    """Name the strategies.

    \b
    Examples:
      a1-trt bench strategies --json
    """
    from a1_trt.benchmarks.strategies import STRATEGIES

    prose = "what it does"
    summaries = {name: strategy.summary for name, strategy in STRATEGIES.items()}
    out.deliver(summaries, lambda rows: print_table(("strategy", prose), rows.items(), prose=prose))


@bench.command()
@click.argument("file", type=FILE)
@click.option("--png", "png_folder", type=FOLDER, hidden=True)
@output_options(document=False, plot=True)
def report(file: Path, png_folder: Path | None, out: Output) -> None:
    """Show what a comparison found.

    --plot FILE.html is a page that needs nothing else; FILE.png and FILE.svg are one file a plot, FILE-latency.png and
    so on.

    \b
    Examples:
      a1-trt bench report result.json
      a1-trt bench report result.json --plot result.html --plot result.png
    """
    from a1_trt.benchmarks import read_document, summarise
    from a1_trt.benchmarks.plots import plots as figures
    from a1_trt.benchmarks.report import write_page, write_plots

    document = summarise(read_document(file))
    out.draw(lambda: figures(document), lambda path: write_page(document, path))
    if png_folder is not None:
        warn("--png FOLDER", "--plot FILE.png")
        write_plots(document, png_folder)
    short = {key: document[key] for key in ("pair", "plan", "machine", "overall", "ratios")}
    out.deliver(short, lambda _: _show(document))


bench.add_command(perf)
bench.add_command(intensity)


def _measure(pair: str, strategies: tuple[str, ...], out: Output, options: dict[str, Any]) -> None:
    document = measured(pair, strategies, path=out.path, **options)
    replace(out, path=None).deliver(document, _show)  # the file was written block by block


def _show(document: dict[str, Any]) -> None:
    plan, overall = document["plan"], document["overall"]
    is_sweep = len({(result["n_samples"], result["max_turns"]) for result in overall}) > 1
    sizes = {"n_samples": "samples", "max_turns": "turns"} if is_sweep else {}
    columns = ("accuracy", "problems/s", "p50 s", "p95 s", "draft", "target", "rejected", "speed-up")
    rows = [
        [
            result["strategy"],
            *(result[name] for name in sizes),
            percent(result["accuracy"]),
            number(result["problems_per_s"], 2),
            *(number(result["latency_s"][name], 2) for name in ("p50", "p95")),
            *(f"{result['tokens'][role]:,}" for role in ROLES),
            percent(result["rejection_rate"]),
            _speedup(result, document["ratios"]),
        ]
        for result in overall
    ]
    print_table(
        ["strategy", *sizes.values(), *columns],
        rows,
        title=f"{len(document['problems'])} problems, {plan['repeats']} repeats",
    )
    click.echo("draft, target: tokens they wrote")
    if len(plan["strategies"]) > 1:
        click.echo(f"speed-up: of {plan['strategies'][0]} over the strategy of the line, with its 95 % interval")


def _speedup(result: dict[str, Any], ratios: list[dict[str, Any]]) -> str:
    at = (result["strategy"], result["n_samples"], result["max_turns"])
    for ratio in ratios:
        if (ratio["against"], ratio["n_samples"], ratio["max_turns"]) == at:
            ends = ratio["speedup_ci95"]
            return f"{ratio['speedup']:.2f} {interval(*ends) if ends else ''}".rstrip()
    return ""
