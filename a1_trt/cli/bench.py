"""a1-trt bench"""

from __future__ import annotations

import asyncio
import shlex
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from a1_trt.cli.options import calibration_problems_option, json_option, problems_option, sweep_options
from a1_trt.cli.output import note, percent, say_json
from a1_trt.cli.pair import problems_path
from a1_trt.cli.perf import perf
from a1_trt.cli.progress import SolvingView
from a1_trt.config import Pair, load_pair
from a1_trt.errors import InvalidRequestError
from a1_trt.problems import read_problems
from a1_trt.requests import make_parameters
from a1_trt.types import Parameters, Problem

N_WARM_UP = 2
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


def workload_options(function: Any) -> Any:
    """Options of everything that solves problems."""
    for option in reversed(
        (
            click.option("--problems", "n_problems", type=click.IntRange(1, 100_000), default=16, show_default=True),
            click.option("--level", help="Level of the problems; all levels when not given."),
            problems_option,
            calibration_problems_option,
            click.option("--samples", "samples", metavar="N[,N...]", help="Chains a problem; several make a sweep."),
            click.option("--max-turns", "turns", metavar="N[,N...]", help="Longest chain; several make a sweep."),
            click.option("--repeats", type=click.IntRange(1, 1000), default=1, show_default=True),
            click.option("--blocks", type=click.IntRange(1, 1000), help="Turns of each strategy in a repeat."),
            click.option("--in-flight", type=click.IntRange(1, 100_000), help="Closed loop: problems at work.  [8]"),
            click.option("--rate", "rate_per_s", type=float, help="Instead: arrivals a second, by chance."),
            click.option("--url", metavar="HOST:PORT", help="Engines of a running Triton; loaded here when not given."),
            click.option(
                "--keep-calls", type=click.Choice(["first", "all", "none"]), default="first", show_default=True
            ),
            click.option("--json", "output", type=click.Path(dir_okay=False, path_type=Path), help="File; - prints."),
            click.option("--resume", is_flag=True, help="Go on where the file of --json stops."),
        )
    ):
        function = option(function)
    return sweep_options(function)


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
    from a1_trt.strategies import STRATEGIES

    if as_json:
        say_json({name: recipe.summary for name, recipe in STRATEGIES.items()})
        return
    table = Table("strategy", "what it does", box=None)
    for name, recipe in STRATEGIES.items():
        table.add_row(name, recipe.summary)
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
    from a1_trt.bench import read_document, summarise

    document = summarise(read_document(file))
    if as_json:
        say_json({key: document[key] for key in ("pair", "plan", "machine", "overall", "ratios")})
    elif html is None and png is None:
        _show(document)
    if html is None and png is None:
        return
    from a1_trt.report.bench import write_page, write_plots

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


def measured(name: str, strategies: tuple[str, ...], given: dict[str, Any]) -> dict[str, Any]:
    """Carry out what `workload_options` asks for, and return the document, which is also in the file of --json."""
    from a1_trt.bench import Plan, blocks_for, commit, machine, read_document, versions
    from a1_trt.calibration import check_held_out

    workload = {key: given.pop(key) for key in _WORKLOAD}
    pair = load_pair(name)
    samples, turns = (_numbers(workload[key], key) for key in ("samples", "turns"))
    parameters = make_parameters(pair.parameters(), **given, n_samples=_first(samples), max_turns=_first(turns))
    for n_samples in samples or ():
        make_parameters(parameters, n_samples=n_samples)
    problems, others = _problems(pair, workload)
    rate_per_s, in_flight = workload["rate_per_s"], workload["in_flight"]
    plan = Plan(
        strategies=strategies,
        n_samples=samples or (parameters.n_samples,),
        max_turns=turns or (parameters.max_turns,),
        repeats=workload["repeats"],
        blocks=workload["blocks"] or blocks_for(len(problems)),
        seed=parameters.seed,
        n_in_flight=in_flight if rate_per_s is not None else in_flight or 8,
        rate_per_s=rate_per_s,
        keep_calls=workload["keep_calls"],
    )
    output: Path | None = workload["output"]
    path = None if output is None or str(output) == "-" else output
    before = read_document(path) if workload["resume"] and path is not None and path.exists() else None
    about = {
        "machine": machine(),
        "versions": versions(),
        "commit": commit(),
        "n_calibration_problems": check_held_out(pair, problems, allow=workload["allow_calibration_problems"]),
        "command": shlex.join(["a1-trt", *sys.argv[1:]]),
    }
    return asyncio.run(_compared(plan, pair, problems, others, parameters, workload["url"], path, about, before))


async def _compared(
    plan: Any,
    pair: Pair,
    problems: list[Problem],
    others: list[Problem],
    parameters: Parameters,
    url: str | None,
    path: Path | None,
    about: dict[str, Any],
    before: dict[str, Any] | None,
) -> dict[str, Any]:
    from a1_trt.bench import Comparison
    from a1_trt.session import open_engines

    engines = await open_engines(pair, url=url)
    try:
        comparison = Comparison(plan, pair, engines, problems, parameters, about=about, before=before)
        with SolvingView(plan.strategies, comparison.n_total) as view:
            return await comparison.measure(path=path, warm_up=others or problems[:1], on_progress=view.update)
    finally:
        for engine in engines.values():
            await engine.aclose()


_WORKLOAD = (
    "n_problems",
    "level",
    "problems_file",
    "allow_calibration_problems",
    "samples",
    "turns",
    "repeats",
    "blocks",
    "in_flight",
    "rate_per_s",
    "url",
    "keep_calls",
    "output",
    "resume",
)


def _problems(pair: Pair, workload: dict[str, Any]) -> tuple[list[Problem], list[Problem]]:
    """The problems to measure on, and others to warm up with."""
    path, n_problems = workload["problems_file"] or problems_path(pair), workload["n_problems"]
    found = read_problems(path, level=workload["level"], with_answers=True)
    if len(found) < n_problems:
        raise InvalidRequestError(
            f"{path} has {len(found)} problems to choose from", field="problems", remedy="ask for fewer"
        )
    return found[:n_problems], found[n_problems : n_problems + N_WARM_UP]


def _numbers(text: str | None, field: str) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InvalidRequestError(
            f"{field} is {text!r}", field=field, remedy="give whole numbers, such as 1,4,16"
        ) from None
    return numbers


def _first(numbers: tuple[int, ...] | None) -> int | None:
    return None if numbers is None else numbers[0]


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
