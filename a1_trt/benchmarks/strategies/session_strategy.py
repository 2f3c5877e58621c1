"""What the scheduler itself does: a1, its twin under a barrier, and one model alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from a1_trt.benchmarks.strategies.context import Solve, Stage
from a1_trt.errors import Cancelled
from a1_trt.runtime.session import Session
from a1_trt.types import Problem, ProblemFinished, Result


@asynccontextmanager
async def in_session(stage: Stage) -> AsyncIterator[Solve]:
    """All problems in one session, which share the calls in flight and the calibration."""
    async with Session(stage.pair, stage.engines, controller=stage.controller) as session:

        async def solve(index: int, problem: Problem) -> Result:
            # A session numbers problems in the order in which they are given to it, and nothing comes between here
            # and there.
            stage.timeline.numbers[len(stage.timeline.numbers)] = index
            async for event in session.stream(problem, stage.parameters):
                stage.timeline.note(index, event)
                if isinstance(event, ProblemFinished):
                    return event.result
            raise Cancelled("the session was closed")

        yield solve
