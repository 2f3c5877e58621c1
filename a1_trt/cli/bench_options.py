"""Options of commands that solve problems by strategies to measure them, and the measuring itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from a1_trt.cli.options import choice_option, joined, numbers, sweep_options
from a1_trt.cli.output import command_line, output_options
from a1_trt.cli.problems import Chosen, ProblemChoice, problem_options
from a1_trt.cli.progress import SolvingView
from a1_trt.config import Pair, load_pair
from a1_trt.requests import make_parameters
from a1_trt.types import Parameters

if TYPE_CHECKING:
    from a1_trt.benchmarks import Plan

_POSITIVE = click.IntRange(1, 100_000)

workload_options = joined(
    sweep_options,
    problem_options(16),
    click.option("--samples", metavar="N[,N...]", help="Chains a problem; several make a sweep."),
    click.option("--max-turns", "turns", metavar="N[,N...]", help="Longest chain; several make a sweep."),
    click.option("--repeats", type=_POSITIVE, default=1, help="Each with the next seed."),
    click.option("--blocks", type=_POSITIVE, help="Turns of each strategy in a repeat."),
    click.option("--in-flight", type=_POSITIVE, help="Closed loop: problems at work.  [8]"),
    click.option("--rate", "rate_per_s", type=float, help="Instead: arrivals a second, by chance."),
    click.option("--url", metavar="HOST:PORT", help="Engines of a running Triton; loaded here when not given."),
    choice_option("--keep-calls", of=("first", "all", "none"), help="Repeats whose calls stay in the document."),
    click.option("--resume", is_flag=True, help="Go on where the file of --output stops."),
    output_options(),
)
"""Options of everything that solves problems to measure it."""


def measured(
    name: str,
    strategies: Sequence[str],
    *,
    choice: ProblemChoice,
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
    **settings: Any,
) -> dict[str, Any]:
    """Carry out what `workload_options` asks for, and return the document, which is also in the file `path`."""
    from a1_trt.benchmarks import Plan, blocks_for, commit, read_document

    pair = load_pair(name)
    all_samples, all_turns = numbers(samples, "samples", int, "1,4,16"), numbers(turns, "turns", int, "1,4,16")
    first = {"n_samples": next(iter(all_samples), None), "max_turns": next(iter(all_turns), None)}
    parameters = make_parameters(pair.parameters(), **settings, **first)
    for n_samples in all_samples:
        make_parameters(parameters, n_samples=n_samples)
    chosen = choice.of(pair)
    plan = Plan(
        strategies=tuple(strategies),
        n_samples=all_samples or (parameters.n_samples,),
        max_turns=all_turns or (parameters.max_turns,),
        repeats=repeats,
        blocks=blocks or blocks_for(choice.n_problems),
        seed=parameters.seed,
        n_in_flight=in_flight if rate_per_s is not None else in_flight or 8,
        rate_per_s=rate_per_s,
        keep_calls=keep_calls,
    )
    before = read_document(path) if resume and path is not None and path.exists() else None
    about = {"commit": commit(), "n_calibration_problems": chosen.n_calibration_problems, "command": command_line()}
    return compare(plan, pair, chosen, parameters, url=url, path=path, before=before, **about)


def compare(
    plan: Plan,
    pair: Pair,
    chosen: Chosen,
    parameters: Parameters,
    *,
    url: str | None,
    path: Path | None = None,
    before: dict[str, Any] | None = None,
    **about: Any,
) -> dict[str, Any]:
    """Measure by `a1_trt.benchmarks.Comparison` on engines of its own, with progress on a terminal."""
    from a1_trt.benchmarks import Comparison, machine, versions
    from a1_trt.runtime.opening import open_engines

    about = {"machine": machine(), "versions": versions(), **about}

    async def measure() -> dict[str, Any]:
        engines = await open_engines(pair, url=url)
        try:
            comparison = Comparison(plan, pair, engines, chosen.problems, parameters, about=about, before=before)
            with SolvingView(plan.strategies, comparison.n_total) as view:
                return await comparison.measure(path=path, warm_up=chosen.warm_up, on_progress=view.solved)
        finally:
            for engine in engines.values():
                await engine.aclose()

    return asyncio.run(measure())
