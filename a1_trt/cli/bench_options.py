"""Options of commands that solve problems by strategies to measure them, and the measuring itself."""

from __future__ import annotations

import asyncio
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from a1_trt.benchmarks.problems import read_problems
from a1_trt.cli.options import calibration_problems_option, problems_option, sweep_options
from a1_trt.cli.pair import problems_path
from a1_trt.cli.progress import SolvingView
from a1_trt.config import Pair, load_pair
from a1_trt.errors import InvalidRequestError
from a1_trt.requests import make_parameters
from a1_trt.types import Parameters, Problem

if TYPE_CHECKING:
    from a1_trt.benchmarks import Plan

N_WARM_UP = 2
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


def measured(name: str, strategies: tuple[str, ...], given: dict[str, Any]) -> dict[str, Any]:
    """Carry out what `workload_options` asks for, and return the document, which is also in the file of --json."""
    from a1_trt.benchmarks import commit, machine, read_document, versions
    from a1_trt.runtime.calibration import check_held_out

    workload = {key: given.pop(key) for key in _WORKLOAD}
    pair = load_pair(name)
    samples, turns = (_numbers(workload[key], key) for key in ("samples", "turns"))
    parameters = make_parameters(pair.parameters(), **given, n_samples=_first(samples), max_turns=_first(turns))
    for n_samples in samples or ():
        make_parameters(parameters, n_samples=n_samples)
    problems, others = _problems(pair, workload)
    plan = _plan(workload, strategies, parameters, samples, turns, len(problems))
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


def _plan(
    workload: dict[str, Any],
    strategies: tuple[str, ...],
    parameters: Parameters,
    samples: tuple[int, ...] | None,
    turns: tuple[int, ...] | None,
    n_problems: int,
) -> Plan:
    from a1_trt.benchmarks import Plan, blocks_for

    rate_per_s, in_flight = workload["rate_per_s"], workload["in_flight"]
    return Plan(
        strategies=strategies,
        n_samples=samples or (parameters.n_samples,),
        max_turns=turns or (parameters.max_turns,),
        repeats=workload["repeats"],
        blocks=workload["blocks"] or blocks_for(n_problems),
        seed=parameters.seed,
        n_in_flight=in_flight if rate_per_s is not None else in_flight or 8,
        rate_per_s=rate_per_s,
        keep_calls=workload["keep_calls"],
    )


async def _compared(
    plan: Plan,
    pair: Pair,
    problems: list[Problem],
    others: list[Problem],
    parameters: Parameters,
    url: str | None,
    path: Path | None,
    about: dict[str, Any],
    before: dict[str, Any] | None,
) -> dict[str, Any]:
    from a1_trt.benchmarks import Comparison
    from a1_trt.runtime.opening import open_engines

    engines = await open_engines(pair, url=url)
    try:
        comparison = Comparison(plan, pair, engines, problems, parameters, about=about, before=before)
        with SolvingView(plan.strategies, comparison.n_total) as view:
            return await comparison.measure(path=path, warm_up=others or problems[:1], on_progress=view.update)
    finally:
        for engine in engines.values():
            await engine.aclose()


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
