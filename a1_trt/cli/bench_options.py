"""Options of commands that solve problems by strategies to measure them, and the measuring itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from a1_trt.cli.options import numbers, sweep_options
from a1_trt.cli.output import command_line, output_options
from a1_trt.cli.problems import calibration_problems_option, choose_problems, count_option, data_option, level_option
from a1_trt.cli.progress import SolvingView
from a1_trt.config import Pair, load_pair
from a1_trt.requests import make_parameters
from a1_trt.types import Parameters, Problem

if TYPE_CHECKING:
    from a1_trt.benchmarks import Plan

_POSITIVE = click.IntRange(1, 100_000)
_WORKLOAD = (
    count_option(16),
    level_option(),
    data_option,
    calibration_problems_option,
    click.option("--samples", metavar="N[,N...]", help="Chains a problem; several make a sweep."),
    click.option("--max-turns", "turns", metavar="N[,N...]", help="Longest chain; several make a sweep."),
    click.option("--repeats", type=_POSITIVE, default=1, show_default=True, help="Each with the next seed."),
    click.option("--blocks", type=_POSITIVE, help="Turns of each strategy in a repeat."),
    click.option("--in-flight", type=_POSITIVE, help="Closed loop: problems at work.  [8]"),
    click.option("--rate", "rate_per_s", type=float, help="Instead: arrivals a second, by chance."),
    click.option("--url", metavar="HOST:PORT", help="Engines of a running Triton; loaded here when not given."),
    click.option(
        "--keep-calls",
        type=click.Choice(["first", "all", "none"]),
        default="first",
        show_default=True,
        help="Repeats whose calls stay in the document.",
    ),
    click.option("--resume", is_flag=True, help="Go on where the file of --output stops."),
)


def workload_options(function: Any) -> Any:
    """Options of everything that solves problems to measure it."""
    function = output_options()(function)
    for option in reversed(_WORKLOAD):
        function = option(function)
    return sweep_options(function)


def measured(
    name: str,
    strategies: Sequence[str],
    *,
    n_problems: int,
    level: str | None,
    data: Path | None,
    allow_calibration_problems: bool,
    samples: str | None,
    turns: str | None,
    repeats: int,
    blocks: int | None,
    in_flight: int | None,
    rate_per_s: float | None,
    url: str | None,
    keep_calls: Any,
    resume: bool = False,
    path: Path | None = None,
    **given: Any,
) -> dict[str, Any]:
    """Carry out what `workload_options` asks for, and return the document, which is also in the file `path`."""
    from a1_trt.benchmarks import Plan, blocks_for, commit, machine, read_document, versions
    from a1_trt.runtime.calibration import check_held_out

    pair = load_pair(name)
    all_samples, all_turns = (
        numbers(text, field, int, "1,4,16") for text, field in ((samples, "samples"), (turns, "turns"))
    )
    parameters = make_parameters(pair.parameters(), **given, n_samples=_first(all_samples), max_turns=_first(all_turns))
    for n_samples in all_samples:
        make_parameters(parameters, n_samples=n_samples)
    problems, warm_up = choose_problems(pair, data, level, n_problems)
    plan = Plan(
        strategies=tuple(strategies),
        n_samples=all_samples or (parameters.n_samples,),
        max_turns=all_turns or (parameters.max_turns,),
        repeats=repeats,
        blocks=blocks or blocks_for(n_problems),
        seed=parameters.seed,
        n_in_flight=in_flight if rate_per_s is not None else in_flight or 8,
        rate_per_s=rate_per_s,
        keep_calls=keep_calls,
    )
    about = {
        "machine": machine(),
        "versions": versions(),
        "commit": commit(),
        "n_calibration_problems": check_held_out(pair, problems, allow=allow_calibration_problems),
        "command": command_line(),
    }
    before = read_document(path) if resume and path is not None and path.exists() else None
    return asyncio.run(
        compare(plan, pair, problems, warm_up, parameters, url=url, about=about, path=path, before=before)
    )


async def compare(
    plan: Plan,
    pair: Pair,
    problems: list[Problem],
    warm_up: list[Problem],
    parameters: Parameters,
    *,
    url: str | None,
    about: Mapping[str, Any],
    path: Path | None = None,
    before: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Measure by `a1_trt.benchmarks.Comparison` on engines of its own, with progress on a terminal."""
    from a1_trt.benchmarks import Comparison
    from a1_trt.runtime.opening import open_engines

    engines = await open_engines(pair, url=url)
    try:
        comparison = Comparison(plan, pair, engines, problems, parameters, about=about, before=before)
        with SolvingView(plan.strategies, comparison.n_total) as view:
            return await comparison.measure(path=path, warm_up=warm_up, on_progress=view.solved)
    finally:
        for engine in engines.values():
            await engine.aclose()


def _first(values: tuple[int, ...]) -> int | None:
    return values[0] if values else None
