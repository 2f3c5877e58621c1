"""a1-trt bench"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from a1_trt.cli.bench_options import measured, workload_options
from a1_trt.cli.options import json_option
from a1_trt.cli.output import note, percent, say_json
from a1_trt.cli.perf import perf

_LEAST_WIDTH = 110
_DEFAULT = "a1,target-only,sync-rank,sync-threshold"


@click.group()
def bench() -> None:
    """Measure strategies against each other, and a server with perf_analyzer.

    \b
    Examples:
      a1-trt bench compare reference --problems 16 --json result.json
      a1-trt bench report result.json --html result.html
    """


@bench.command()
@click.argument("pair")
@click.option("--strategies", default=_DEFAULT, show_default=True, metavar="NAME,...", help="See 'bench strategies'.")
@workload_options
def compare(pair: str, strategies: str, **given: Any) -> None:
    """Solve the same problems by several strategies, in turns, and compare them with the first.

    \b
    Examples:
      a1-trt bench compare reference --strategies a1,target-only,sync-rank --problems 32 --samples 16
      a1-trt bench compare reference --samples 1,4,16 --repeats 5 --seed 7 --json result.json
      a1-trt bench compare reference --repeats 5 --seed 7 --json result.json --resume
    """
    _measure(pair, tuple(name.strip() for name in strategies.split(",") if name.strip()), given)


@bench.command()
@click.argument("pair")
@click.option("--strategy", default="a1", show_default=True, help="See 'bench strategies'.")
@workload_options
def run(pair: str, strategy: str, **given: Any) -> None:
    """Solve problems by one strategy and measure it.

    \b
    Examples:
      a1-trt bench run reference --problems 8
      a1-trt bench run reference --strategy sync-rank --rate 2 --json run.json
    """
    _measure(pair, (strategy,), given)


@bench.command(name="strategies")
@json_option
def list_strategies(as_json: bool) -> None:
    """Name the strategies.

    \b
    Examples:
      a1-trt bench strategies --json
    """
    from a1_trt.benchmarks.strategies import STRATEGIES

    if as_json:
        say_json({name: strategy.summary for name, strategy in STRATEGIES.items()})
        return
    table = Table("strategy", "what it does", box=None)
    for name, strategy in STRATEGIES.items():
        table.add_row(name, strategy.summary)
    Console().print(table)


@bench.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page that needs nothing else.")
@click.option("--png", type=click.Path(file_okay=False, path_type=Path), help="Write each plot into this directory.")
@json_option
def report(file: Path, html: Path | None, png: Path | None, as_json: bool) -> None:
    """Show what a comparison found.

    \b
    Examples:
      a1-trt bench report result.json
      a1-trt bench report result.json --html result.html --png plots
    """
    from a1_trt.benchmarks import read_document, summarise

    document = summarise(read_document(file))
    if as_json:
        say_json({key: document[key] for key in ("pair", "plan", "machine", "overall", "ratios")})
    elif html is None and png is None:
        _show(document)
    if html is None and png is None:
        return
    from a1_trt.benchmarks.report import write_page, write_plots

    if html is not None:
        write_page(document, html)
        note(f"wrote {html}")
    if png is not None:
        for path in write_plots(document, png):
            note(f"wrote {path}")


bench.add_command(perf)


def _measure(name: str, strategies: tuple[str, ...], given: dict[str, Any]) -> None:
    output: Path | None = given["output"]
    document = measured(name, strategies, given)
    if output is not None and str(output) == "-":
        say_json(document)
    else:
        _show(document)


def _show(document: dict[str, Any]) -> None:
    several = len({(each["n_samples"], each["max_turns"]) for each in document["overall"]}) > 1
    table = Table(title=f"{len(document['problems'])} problems, {document['plan']['repeats']} repeats")
    for name in ("strategy", *(("samples", "turns") if several else ())):
        table.add_column(name)
    for name in ("accuracy", "problems/s", "p50 s", "p95 s", "draft", "target", "rejected", "speed-up"):
        table.add_column(name, justify="right")
    for each in document["overall"]:
        table.add_row(*_row(each, document, several))
    Console(width=max(Console().width, _LEAST_WIDTH)).print(table)
    first = document["plan"]["strategies"][0]
    click.echo("draft, target: tokens they wrote")
    if len(document["plan"]["strategies"]) > 1:
        click.echo(f"speed-up: of {first} over the strategy of the line, with its 95 % interval")


def _row(each: dict[str, Any], document: dict[str, Any], several: bool) -> list[str]:
    said = [each["strategy"]]
    if several:
        said += [str(each["n_samples"]), str(each["max_turns"])]
    latency = each["latency_s"]
    return [
        *said,
        percent(each["accuracy"]),
        f"{each['problems_per_s']:.2f}",
        f"{latency['p50']:.2f}",
        f"{latency['p95']:.2f}",
        f"{each['tokens']['draft']:,}",
        f"{each['tokens']['target']:,}",
        percent(each["rejection_rate"]),
        _speedup(each, document),
    ]


def _speedup(each: dict[str, Any], document: dict[str, Any]) -> str:
    keys = ("n_samples", "max_turns")
    for ratio in document["ratios"]:
        if ratio["against"] == each["strategy"] and all(ratio[key] == each[key] for key in keys):
            interval = ratio["speedup_ci95"]
            spread = f" [{interval[0]:.2f}, {interval[1]:.2f}]" if interval else ""
            return f"{ratio['speedup']:.2f}{spread}"
    return ""
