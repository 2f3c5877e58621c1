"""Running one strategy over problems that arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace

from a1_trt.benchmarks.strategies.arrivals import Arrivals
from a1_trt.benchmarks.strategies.context import Solve, StrategyContext
from a1_trt.benchmarks.strategies.registry import strategy_of
from a1_trt.benchmarks.strategies.timeline import CallRecord, Decision, SampleTime, Timeline
from a1_trt.config import Pair
from a1_trt.core.conformal import Controller
from a1_trt.engine import Engine
from a1_trt.errors import A1Error
from a1_trt.runtime.calibration import controller_of, stored_log
from a1_trt.types import Parameters, Problem, Result, Role

OnProgress = Callable[[int, "Result | A1Error"], object]
"""Told of each problem that is done: its index and what came of it."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one strategy gave. All times are seconds from the start of the run.

    Args:
        outcomes: A result or an error for every problem, in their order.
        latencies_s: Seconds from each problem's arrival to its result, float64[n_problems].
        calls: Every request to an engine, in the order in which they ended.
        decisions: Every scored segment, in the order of the decisions.
        samples: Every sample that ended, in the order of the ends.
        wall_s: Seconds from the start to the last result.
    """

    outcomes: tuple[Result | A1Error, ...]
    latencies_s: tuple[float, ...]
    calls: tuple[CallRecord, ...]
    decisions: tuple[Decision, ...]
    samples: tuple[SampleTime, ...]
    wall_s: float

    @property
    def results(self) -> list[Result]:
        return [outcome for outcome in self.outcomes if isinstance(outcome, Result)]


def fresh_controller(name: str, pair: Pair) -> Controller:
    """The controller with which a strategy starts: with the past that the pair has stored, and never shared."""
    spec = strategy_of(name)
    adapted = spec.adapt(pair)
    return spec.controller() if spec.controller else controller_of(adapted, stored_log(adapted))


async def run(
    name: str,
    pair: Pair,
    engines: Mapping[Role, Engine],
    problems: Sequence[Problem],
    parameters: Parameters,
    *,
    arrivals: Arrivals,
    seed: int,
    on_progress: OnProgress | None = None,
    controller: Controller | None = None,
) -> Run:
    """Solve problems by one strategy. Works in virtual time, too.

    Args:
        name: Out of `STRATEGIES`; one that the engines cannot carry out is a `ConfigError`.
        pair: Its sections apply, but for what the strategy sets.
        engines: One engine per role; they stay open.
        problems: All of the run.
        parameters: How each is to be solved; a strategy replaces what makes it what it is.
        arrivals: When they arrive.
        seed: Seed of all sampling, in place of the parameters' own.
        on_progress: Told of every problem that is done.
        controller: Decides about takeovers, and goes on learning; `fresh_controller` when None.
    """
    spec = strategy_of(name)
    timeline = Timeline()
    context = StrategyContext(
        pair=spec.adapt(pair),
        engines=engines,
        parameters=replace(parameters, seed=seed, **spec.parameters),
        controller=fresh_controller(name, pair) if controller is None else controller,
        timeline=timeline,
        problems=tuple(problems),
    )
    async with spec.open(context) as solve:
        timeline.start()
        turn = asyncio.Lock() if spec.one_at_a_time else nullcontext()
        outcomes = await _solve_all(context, solve, turn, arrivals, on_progress)
        wall_s = timeline.now_s
    results, latencies_s = zip(*outcomes, strict=True) if outcomes else ((), ())
    records = tuple(timeline.calls), tuple(timeline.decisions), tuple(timeline.samples)
    return Run(results, latencies_s, *records, wall_s)


async def _solve_all(
    context: StrategyContext,
    solve: Solve,
    turn: AbstractAsyncContextManager[object],
    arrivals: Arrivals,
    on_progress: OnProgress | None,
) -> list[tuple[Result | A1Error, float]]:
    """What came of each problem, and its latency in seconds; each is solved within `turn`."""
    timeline, n_problems = context.timeline, len(context.problems)
    times_s = arrivals.times_s(n_problems)
    places = asyncio.Semaphore(arrivals.n_in_flight or max(1, n_problems))

    async def one(index: int, problem: Problem) -> tuple[Result | A1Error, float]:
        outcome: Result | A1Error
        if times_s is not None:
            await asyncio.sleep(max(0.0, times_s[index] - timeline.now_s))
        async with places:
            timeline.arrive(index)
            try:
                async with turn:
                    outcome = await solve(index, problem)
            except A1Error as error:
                outcome = error
            latency_s = timeline.since_arrival_s(index)
            if isinstance(outcome, Result):
                outcome = replace(outcome, wall_s=latency_s)
        if on_progress is not None:
            on_progress(index, outcome)
        return outcome, latency_s

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(index, problem)) for index, problem in enumerate(context.problems)]
    return [task.result() for task in tasks]
