"""The chains of one problem, and the hands that work on them: what every baseline is written with.

A baseline is a coroutine over a `Team`. It says which chains are drafted, scored, judged and taken over, and where they
wait for each other. Each call has the seed that a1 gives it, so all strategies draw the same segments for the same
sample and turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count

from a1_trt.benchmarks.strategies.context import Stage
from a1_trt.core.conformal import SCORES, mean_nll
from a1_trt.core.scheduler import Scoring, Signal, State, policy
from a1_trt.core.scheduler.seeds import call_seed
from a1_trt.core.scheduler.state import Sample, Work
from a1_trt.core.scheduler.transitions import book_unscored, count_scored, count_unscored, empty_segment
from a1_trt.errors import A1Error, Cancelled, ScoreShapeError
from a1_trt.runtime.driver import Caller
from a1_trt.runtime.opening import ledgers_of
from a1_trt.types import (
    ROLES,
    Call,
    CallKind,
    Event,
    Logprobs,
    Parameters,
    Problem,
    Result,
    Role,
    SampleEnd,
    SampleKey,
    Segment,
    SegmentScored,
    SegmentWritten,
)


@dataclass(eq=False, slots=True)
class Chain:
    """One sample at work.

    Args:
        key: Which one.
        sample: Its record.
        signal: What happened to it last: WRITTEN, to be scored or, once it has a score, to be judged; REJECTED, to be
            taken over; NEXT_TURN; FINISH.
        logprobs: What the target thinks of its last segment.
    """

    key: SampleKey
    sample: Sample
    signal: Signal = Signal.NEXT_TURN
    logprobs: Logprobs | None = None

    @property
    def score(self) -> float:
        """The last segment's score."""
        if self.sample.score is None:
            raise ScoreShapeError("the segment has no score", role="target", field="score")
        return self.sample.score


class Hands:
    """Makes the calls of all problems of a run, at most so many at once per role.

    Args:
        stage: What there is to work with.
        most: Most calls in flight per role, where that is less than the pair's own limit.
    """

    def __init__(self, stage: Stage, most: dict[Role, int] | None = None) -> None:
        self.stage = stage
        self._caller = Caller(stage.engines, ledgers_of(stage.pair, stage.engines))
        limits = {role: stage.pair.role(role).max_in_flight for role in ROLES}
        self._slots = {
            role: asyncio.Semaphore(min(limit, (most or {}).get(role, limit))) for role, limit in limits.items()
        }
        self._ids = count()
        self.score = SCORES[stage.pair.conformal.score]
        self.scoring = Scoring(stage.pair.conformal.max_unscored)

    async def make(
        self, team: Team, chain: Chain, kind: CallKind, max_tokens: int, *, question: str = ""
    ) -> tuple[Call, Segment | Logprobs | A1Error]:
        """One call, once there is a slot for it, and what came of it; a question is asked after the chain, greedily."""
        sample, parameters = chain.sample, team.parameters
        call = Call(
            id=next(self._ids),
            kind=kind,
            key=chain.key,
            turn=sample.turn,
            problem=team.problem.text,
            segments=(*sample.segments, Segment("target", question, 0)) if question else sample.segments,
            max_tokens=max_tokens,
            temperature=0.0 if question else parameters.temperature,
            seed=call_seed(parameters.seed, team.problem.id, chain.key.sample, sample.turn, kind),
        )
        async with self._slots[call.role]:
            return call, await self._caller.make(call)

    def forget(self, team: Team) -> None:
        """Drop what is kept of a finished problem."""
        self._caller.forget(team.number, len(team.chains))


class Team:
    """The samples of one problem.

    Args:
        number: Index of the problem in the run.
        problem: The problem.
        parameters: How it is to be solved.
        hands: Make the calls.
    """

    def __init__(self, number: int, problem: Problem, parameters: Parameters, hands: Hands) -> None:
        self.number = number
        self.problem = problem
        self.parameters = parameters
        self.hands = hands
        samples = [Sample(State.DRAFT) for _ in range(parameters.n_samples)]
        self.work = Work(problem, parameters, samples)
        self.chains = [Chain(SampleKey(number, index), sample) for index, sample in enumerate(samples)]

    @property
    def open(self) -> list[Chain]:
        """Chains that are still at work."""
        return [chain for chain in self.chains if chain.sample.end is None]

    @property
    def is_settled(self) -> bool:
        """Whether the vote cannot change any more, and that is a reason to stop."""
        return self.parameters.early_stop and self.work.is_settled()

    async def draft(self, chain: Chain) -> None:
        """The draft writes the next segment."""
        tokens = policy.max_new_tokens("draft", self.parameters)
        call, outcome = await self.hands.make(self, chain, "draft", tokens)
        self.work.counts["draft_calls"] += 1
        if not isinstance(outcome, Segment):
            self._failed(chain, call, outcome)
            return
        self._write(chain, outcome)
        signal, end = policy.after_draft(chain.sample.text, outcome, self.parameters)
        if signal is Signal.WRITTEN and not outcome.text:
            self._unscored(chain, empty_segment())
        else:
            self._follow(chain, signal, end)

    async def score(self, chain: Chain) -> None:
        """The target scores the last segment."""
        call, outcome = await self.hands.make(self, chain, "score", 0)
        self.work.counts["score_calls"] += 1
        if isinstance(outcome, Cancelled):
            self._failed(chain, call, outcome)
            return
        try:
            if not isinstance(outcome, Logprobs):
                raise _error_of(call, outcome)
            chain.sample.score = self.hands.score(outcome.values, chain.sample.losses)
            chain.sample.losses.append(mean_nll(outcome.values))
        except A1Error as error:
            self._unscored(chain, error)
            return
        chain.logprobs = outcome
        count_scored(self.work, self.hands.scoring)
        self.work.counts["n_scored"] += 1
        self.work.counts["scored_tokens"] += len(outcome.values)

    async def takeover(self, chain: Chain) -> None:
        """The target goes on."""
        tokens = policy.max_new_tokens("takeover", self.parameters)
        call, outcome = await self.hands.make(self, chain, "takeover", tokens)
        self.work.counts["takeover_calls"] += 1
        if not isinstance(outcome, Segment):
            self._failed(chain, call, outcome)
            return
        self._write(chain, outcome)
        self._follow(chain, *policy.after_turn(chain.sample.text, outcome, call.turn, self.parameters))

    async def rank(self, chain: Chain) -> None:
        """The target scores a whole chain that has ended.

        Raises:
            ScoringUnavailable: Too many have no score.
        """
        call, outcome = await self.hands.make(self, chain, "score", 0)
        self.work.counts["score_calls"] += 1
        if isinstance(outcome, Logprobs):
            chain.logprobs = outcome
            self.work.counts["scored_tokens"] += len(outcome.values)
            count_scored(self.work, self.hands.scoring)
            return
        count_unscored(self.work, _error_of(call, outcome), self.hands.scoring)
        if self.work.error is not None:
            raise self.work.error

    async def rate(self, chain: Chain, question: str) -> int | None:
        """The digit with which the target answers a question after the chain; None if it says something else.

        Where it cannot be asked, the segment counts as one that could not be scored.
        """
        call, outcome = await self.hands.make(self, chain, "takeover", 1, question=question)
        self.work.counts["score_calls"] += 1
        if not isinstance(outcome, Segment):
            self._unscored(chain, _error_of(call, outcome))
            return None
        count_scored(self.work, self.hands.scoring)
        self.work.counts["target_tokens"] += outcome.n_tokens
        said = outcome.text.strip()
        return int(said) if said.isdecimal() and len(said) == 1 else None

    def judge(self, chain: Chain, *, takeover: bool, p_value: float | None = None) -> None:
        """Decide whether the target takes over from a scored segment."""
        sample = chain.sample
        sample.p_value, sample.takeover = p_value, takeover
        self.work.counts["n_takeovers"] += takeover
        kept = None
        if takeover:
            sample.segments, kept = policy.rewound(sample.segments, chain.logprobs, self.parameters)
        if p_value is not None:
            self.tell(SegmentScored(chain.key.sample, sample.turn, chain.score, p_value, takeover, kept=kept))
        if takeover:
            self._follow(chain, Signal.REJECTED, None)
        else:
            self.accept(chain)

    def accept(self, chain: Chain) -> None:
        """The last segment stands."""
        sample = chain.sample
        verdict = policy.after_turn(sample.text, sample.segments[-1], sample.turn, self.parameters)
        self._follow(chain, *verdict)

    def replace_last(self, chain: Chain, text: str | None) -> None:
        """Cut the last segment back to `text`, or take it away, and let the target go on from there."""
        *kept, last = chain.sample.segments
        cut = () if text is None else (replace(last, text=text, token_ids=(), ended=False),)
        chain.sample.segments = (*kept, *cut)
        chain.sample.takeover = True
        self._follow(chain, Signal.REJECTED, None)

    def stop(self) -> None:
        """End every chain that is still at work."""
        for chain in self.open:
            self.work.counts["n_stopped"] += 1
            self._follow(chain, Signal.FINISH, SampleEnd.STOPPED)

    async def each(self, live: Callable[[Chain], Awaitable[None]]) -> None:
        """Every chain in a task of its own; the rest is stopped as soon as the vote is settled."""

        async def one(chain: Chain) -> None:
            await live(chain)
            if self.is_settled:
                for task in tasks:
                    task.cancel()

        tasks = [asyncio.ensure_future(one(chain)) for chain in self.chains]
        try:
            await together(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        self.stop()

    def result(self) -> Result:
        """The problem as far as it has come.

        Raises:
            A1Error: All chains failed; the first one's error.
        """
        self.hands.forget(self)
        result = self.work.result()
        if result.error is not None:
            raise result.error
        return result

    def tell(self, *events: Event) -> None:
        """Note events on the timeline."""
        for event in events:
            self.hands.stage.timeline.note(self.number, event)

    def _write(self, chain: Chain, segment: Segment) -> None:
        chain.sample.segments = (*chain.sample.segments, segment)
        self.work.counts[f"{segment.role}_tokens"] += segment.n_tokens
        self.tell(SegmentWritten(chain.key.sample, chain.sample.turn, segment))

    def _failed(self, chain: Chain, call: Call, outcome: object) -> None:
        chain.sample.error = error = _error_of(call, outcome)
        self._follow(chain, *policy.after_error(call, error, self.parameters))

    def _unscored(self, chain: Chain, error: A1Error) -> None:
        """Drop the last segment, which has no score.

        Raises:
            ScoringUnavailable: Too many have none.
        """
        events: list[Event] = []
        verdict = book_unscored(self.work, chain.key.sample, error, self.hands.scoring, events)
        self.tell(*events)
        if self.work.error is not None:
            raise self.work.error
        self._follow(chain, *verdict)

    def _follow(self, chain: Chain, signal: Signal, end: SampleEnd | None) -> None:
        chain.signal = signal
        if signal is Signal.NEXT_TURN:
            chain.sample.close_turn()
        elif signal is Signal.FINISH:
            self.tell(self.work.finish(chain.key.sample, end or SampleEnd.FAILED))


def _error_of(call: Call, outcome: object) -> A1Error:
    if not isinstance(outcome, A1Error):
        raise TypeError(f"a {call.kind} call came back with {type(outcome).__name__}")
    return outcome


async def together(*work: Awaitable[None]) -> None:
    """A barrier: until the last one is done. Tasks that were cancelled because nobody wants them count as done."""
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
            raise outcome


def being(chains: Sequence[Chain], signal: Signal) -> list[Chain]:
    """Those chains to which `signal` happened last."""
    return [chain for chain in chains if chain.signal is signal]
