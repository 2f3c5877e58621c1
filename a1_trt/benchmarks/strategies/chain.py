"""Building blocks for baselines that do not use the scheduler: each has a rule of its own for drafted segments.

Each call has the seed that a1 gives it, so all strategies draw the same segments for the same sample and turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import count

from a1_trt.benchmarks.strategies.context import StrategyContext
from a1_trt.core.conformal import SCORES
from a1_trt.core.scheduler import Scoring, Signal, State, policy, transitions
from a1_trt.core.scheduler.state import ProblemState, Sample
from a1_trt.core.scheduler.states import advance
from a1_trt.errors import A1Error
from a1_trt.runtime.driver import CallRunner
from a1_trt.runtime.opening import ledgers_of
from a1_trt.types import ROLES, Call, CallKind, Completion, Logprobs, Problem, Result, SampleEnd, Segment, Turn

Rule = Callable[["BaselineProblem", int], Awaitable[int | None]]
"""What becomes of a sample's last segment: None where it stands, else how many characters of it the target goes on
from. Where the target should judge it and cannot, the rule raises its error, and the segment counts as unscored."""


class BaselineRunner:
    """Makes the calls of all problems of a run, within the pair's limits of calls in flight."""

    def __init__(self, context: StrategyContext) -> None:
        self.context = context
        self.score = SCORES[context.pair.conformal.score]
        self.scoring = Scoring(context.pair.conformal.max_unscored)
        ledgers = ledgers_of(context.pair, context.engines)
        self._runner = CallRunner(context.engines, ledgers, on_call=context.timeline.add_request)
        self._slots = {role: asyncio.Semaphore(context.pair.role(role).max_in_flight) for role in ROLES}
        self._ids = count()

    def call(self, state: ProblemState, index: int, kind: CallKind) -> Call:
        return transitions.make_call(state, index, next(self._ids), kind, state.samples[index].turn)

    async def make(self, call: Call) -> Segment | Logprobs | A1Error:
        async with self._slots[call.role]:
            return await self._runner.make(call)

    def forget(self, state: ProblemState) -> None:
        self._runner.forget(state.number, len(state.samples))


class BaselineProblem:
    """The samples of one problem; `number` is its index in the run."""

    def __init__(self, number: int, problem: Problem, runner: BaselineRunner) -> None:
        parameters = runner.context.parameters
        samples = [Sample(State.DRAFT) for _ in range(parameters.n_samples)]
        self.state = ProblemState(number, problem, parameters, samples)
        self.runner = runner

    async def solve(self, rule: Rule) -> Result:
        """Every sample in a task of its own; the rest is stopped as soon as the vote is settled."""

        async def one(index: int) -> None:
            await self._solve_sample(index, rule)
            if self.state.parameters.early_stop and self.state.is_settled():
                for task in tasks:
                    task.cancel()

        tasks = [asyncio.ensure_future(one(index)) for index in range(len(self.state.samples))]
        await all_of(tasks)
        for index, sample in enumerate(self.state.samples):
            if sample.end is None:
                self.state.counts["n_stopped"] += 1
                self._follow(index, (Signal.FINISH, SampleEnd.STOPPED))
        return self.result()

    async def write(self, index: int) -> None:
        """The draft or the target writes on, as the sample's state says."""
        kind: CallKind = "draft" if self.state.samples[index].state is State.DRAFT else "takeover"
        call = self.runner.call(self.state, index, kind)
        completion = Completion(call, await self.runner.make(call))
        verdict = transitions.book(self.state, completion, self.runner.score, self.runner.scoring)
        self._follow(index, verdict)

    async def ask(self, index: int, question: str) -> str:
        """One token of the target after a question that follows the chain, greedily; raises the call's error."""
        call = self.runner.call(self.state, index, "takeover")
        segments = (*call.segments, Segment("target", question, 0))
        outcome = await self.runner.make(replace(call, segments=segments, max_tokens=1, temperature=0.0))
        self.state.counts["score_calls"] += 1
        if not isinstance(outcome, Segment):
            raise _error_of(outcome)
        transitions.count_scored(self.state, self.runner.scoring)
        self.state.counts["target_tokens"] += outcome.n_tokens
        return outcome.text

    async def score(self, index: int) -> Logprobs | None:
        """Log-probs of the last segment; None where they did not come, `ScoringUnavailable` where too many did not."""
        outcome = await self.runner.make(self.runner.call(self.state, index, "score"))
        self.state.counts["score_calls"] += 1
        if isinstance(outcome, Logprobs):
            transitions.count_scored(self.state, self.runner.scoring, len(outcome.values))
            return outcome
        transitions.count_unscored(self.state, _error_of(outcome), self.runner.scoring)
        if self.state.error is not None:
            raise self.state.error
        return None

    def result(self) -> Result:
        """The finished problem; where all samples failed, the first one's error is raised."""
        self.runner.forget(self.state)
        result = self.state.result()
        if result.error is not None:
            raise result.error
        return result

    async def _solve_sample(self, index: int, rule: Rule) -> None:
        sample = self.state.samples[index]
        while sample.end is None:
            await self.write(index)
            if sample.state is not State.SCORE:
                continue
            try:
                verdict = self._judge(sample, await rule(self, index))
            except A1Error as error:
                verdict = transitions.book_unscored(self.state, index, error, self.runner.scoring)
                if self.state.error is not None:
                    raise self.state.error from None
            self._follow(index, verdict)

    def _judge(self, sample: Sample, n_kept: int | None) -> policy.Verdict:
        """Accept the last segment, or cut it back and have the target go on."""
        *before, last = sample.segments
        if n_kept is None:
            return policy.after_turn(sample.segments, sample.turn, self.state.parameters)
        cut = replace(last, text=last.text[:n_kept], token_ids=(), ended=False) if n_kept < len(last.text) else last
        sample.segments = policy.rewound((*before, cut), None, self.state.parameters)[0] if n_kept else tuple(before)
        sample.judged = Turn((), takeover=True)
        self.state.counts["n_takeovers"] += 1
        return policy.after_rejection(sample.segments, self.state.parameters)

    def _follow(self, index: int, verdict: policy.Verdict | None) -> None:
        if verdict is not None:
            sample, (signal, end) = self.state.samples[index], verdict
            sample.state = advance(sample.state, signal)
            if signal is Signal.NEXT_TURN:
                sample.close_turn()
            elif signal is Signal.FINISH:
                self.state.finish(index, end or SampleEnd.FAILED)
        for number, event in self.state.take_events():
            self.runner.context.timeline.add_event(number, event)


def _error_of(outcome: object) -> A1Error:
    if not isinstance(outcome, A1Error):
        raise TypeError(f"a call came back with {type(outcome).__name__}")
    return outcome


async def all_of(tasks: Sequence[asyncio.Future[None]]) -> None:
    """Wait for all; cancelled ones, which nobody wants, count as done. An error of one cancels the others."""
    try:
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
                raise outcome
    finally:
        for task in tasks:
            task.cancel()
