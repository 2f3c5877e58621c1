"""What a session does: a1, the same under barriers, the published protocol, and one model alone, which may decode
speculatively.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from a1_trt.benchmarks.strategies.context import Solve, StrategyContext
from a1_trt.core.conformal import FIRST_TURN, make_controller
from a1_trt.errors import A1Error, Cancelled, ConfigError
from a1_trt.runtime.session import Session
from a1_trt.types import Problem, ProblemFinished, Result, SegmentScored

N_CALIBRATION_PROBLEMS = 4
_NEVER = 1e-9  # a rejection rate at which nothing is taken over


@asynccontextmanager
async def in_session(context: StrategyContext) -> AsyncIterator[Solve]:
    """All problems in one session, which share the calls in flight and the calibration."""
    timeline = context.timeline
    async with Session(
        context.pair, context.engines, controller=context.controller, on_call=timeline.add_request, closes_engines=False
    ) as session:

        async def solve(index: int, problem: Problem) -> Result:
            async for event in session.stream(problem, context.parameters):
                timeline.add_event(index, event)
                if isinstance(event, ProblemFinished):
                    return event.result
            raise Cancelled("the session was closed")

        yield solve


@asynccontextmanager
async def published(context: StrategyContext) -> AsyncIterator[Solve]:
    """The published asynchronous protocol: a fixed threshold of first-turn scores decides in every turn."""
    scores = await first_turn_scores(context)
    controller = make_controller("published", calibration_scores={FIRST_TURN: scores})
    async with in_session(replace(context, controller=controller)) as solve:
        yield solve


async def first_turn_scores(context: StrategyContext) -> list[float]:
    """Scores of the first segments of the first problems of the run, float64[n].

    As in the published code, these are problems that it is then tested on. Without any the first problem's error is
    raised.
    """
    parameters = replace(context.parameters, max_turns=1, alpha=_NEVER, early_stop=False)
    scores: list[float] = []
    errors: list[A1Error] = []
    controller = make_controller("growing")
    async with Session(context.pair, context.engines, controller=controller, closes_engines=False) as session:
        for problem in context.problems[:N_CALIBRATION_PROBLEMS]:
            try:
                events = session.stream(problem, parameters)
                scores += [event.score async for event in events if isinstance(event, SegmentScored)]
            except A1Error as error:
                errors.append(error)
    if errors and not scores:
        raise errors[0]
    return scores


@asynccontextmanager
async def token_by_token(context: StrategyContext) -> AsyncIterator[Solve]:
    """Self-consistency of the target, whose engine decodes speculatively token by token: the library peer."""
    draft, target = context.engines["draft"], context.engines["target"]
    if draft.tokenizer.fingerprint != target.tokenizer.fingerprint:
        message = "token-level speculative decoding needs one tokenizer for draft and target, and these have two"
        raise ConfigError(message, field="strategies", remedy="leave token-speculative out for this pair")
    # Another engine of the same model, which checks what the draft's model proposes; few engines can make one.
    with_draft = getattr(target, "with_draft", None)
    if with_draft is None:
        message = f"the target's engine, {type(target).__name__}, has no token-level speculative decoding"
        remedy = "leave token-speculative out, or use an engine that has it"
        raise ConfigError(message, field="strategies", remedy=remedy)
    engine = await with_draft(draft)
    try:
        async with in_session(replace(context, engines={**context.engines, "target": engine})) as solve:
            yield solve
    finally:
        await engine.aclose()
