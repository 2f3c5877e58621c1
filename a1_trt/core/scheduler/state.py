"""The record of one problem while it is at work: its samples and what they have cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from a1_trt.core.reasoning.answers import boxed
from a1_trt.core.reasoning.votes import count_votes, is_settled
from a1_trt.core.scheduler import policy
from a1_trt.core.scheduler.speculative import DraftAhead
from a1_trt.core.scheduler.states import State
from a1_trt.errors import A1Error
from a1_trt.types import (
    Call,
    Completion,
    Logprobs,
    Parameters,
    Problem,
    Result,
    SampleEnd,
    SampleFinished,
    Segment,
    SegmentUnscored,
    Trajectory,
    Turn,
    Usage,
)


@dataclass(slots=True)
class Sample:
    """One chain at work.

    Args:
        state: What it waits for.
        segments: The chain so far.
        turn: The turn it is in, from 0.
        turns: The turns that are over.
        opened: Number of segments before the current turn.
        losses: Mean negative log-likelihood of the segments that were scored, in nats a token.
        answer: What the chain answers, once it has ended with an answer.
        ahead: The next turn's draft, where it was asked for before this turn is decided.
    """

    state: State
    segments: tuple[Segment, ...] = ()
    turn: int = 0
    turns: list[Turn] = field(default_factory=list)
    opened: int = 0
    losses: list[float] = field(default_factory=list)
    score: float | None = None
    p_value: float | None = None
    takeover: bool = False
    forced: str | None = None
    unscored: str | None = None
    end: SampleEnd | None = None
    answer: str | None = None
    error: A1Error | None = None
    ahead: DraftAhead | None = None

    @property
    def text(self) -> str:
        return "".join(segment.text for segment in self.segments)

    def finish(self, end: SampleEnd) -> None:
        """End the chain, and read its answer."""
        self.state, self.end = State.FINISHED, end
        self.answer = boxed(self.text) if end is SampleEnd.ANSWERED else None
        self.close_turn()
        if end is not SampleEnd.FAILED:
            self.error = None

    def close_turn(self) -> None:
        segments = self.segments[self.opened :]
        if segments or self.unscored:
            self.turns.append(Turn(segments, self.score, self.p_value, self.takeover, self.forced, self.unscored))
        self.opened = len(self.segments)
        self.turn += 1
        self.score = self.p_value = None
        self.takeover = False
        self.forced = self.unscored = None

    def trajectory(self, index: int) -> Trajectory:
        return Trajectory(index, tuple(self.turns), self.end or SampleEnd.CANCELLED, self.answer, self.error)


@dataclass(slots=True)
class ProblemState:
    """One problem at work.

    Args:
        number: Its number in the scheduler.
        held: Calls that a barrier holds back.
        busy: Calls that are queued or in flight, by id; drafts ahead are not among them.
        scored: Scores, and the log-probs that they are of, of the samples that are still to be judged.
        has_scores: Whether any of its score calls gave a score.
        n_failed_scores: Its score calls that failed for want of a scorer.
        error: Why it was given up, if it was.
        n_open: Samples that are still at work.
    """

    number: int
    problem: Problem
    parameters: Parameters
    samples: list[Sample]
    held: list[Call] = field(default_factory=list)
    busy: dict[int, Call] = field(default_factory=dict)
    scored: dict[int, tuple[float, Logprobs]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    has_scores: bool = False
    n_failed_scores: int = 0
    error: A1Error | None = None
    n_open: int = field(init=False)
    _takeovers: dict[int, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.n_open = len(self.samples)

    @property
    def has_barrier(self) -> bool:
        """Whether the samples go through every phase of a turn together."""
        return self.parameters.admission == "barrier"

    def finish(self, index: int, end: SampleEnd) -> SampleFinished:
        sample = self.samples[index]
        sample.finish(end)
        self.n_open -= 1
        return SampleFinished(index, end, sample.answer)

    def drop_unscored(self, index: int, reason: str, *, takeover: bool) -> SegmentUnscored:
        """Take a sample's last segment, which could not be scored, out of its chain."""
        sample = self.samples[index]
        *kept, last = sample.segments
        sample.segments = tuple(kept)
        sample.unscored, sample.takeover = reason, takeover
        self.counts["discarded_tokens"] += last.n_tokens
        return SegmentUnscored(index, sample.turn, reason, takeover)

    def takeovers_in(self, turn: int) -> tuple[int, int]:
        """Takeovers among the samples that were judged in a turn so far, and the number of those."""
        return self._takeovers.get(turn, (0, 0))

    def count_decision(self, turn: int, takeover: bool) -> None:
        """Count one more judged segment of a turn."""
        used, seen = self.takeovers_in(turn)
        self._takeovers[turn] = used + takeover, seen + 1

    def release(self) -> list[Call]:
        """Take the calls that may go now out of those that a barrier holds."""
        going, self.held = policy.released(self.held)
        return going

    def keep_ahead(self, completion: Completion) -> None:
        """Keep what came back of a draft ahead for later, or count its tokens where nobody wants it any more."""
        ahead = self.samples[completion.call.key.sample].ahead
        if ahead is not None and ahead.call.id == completion.call.id:
            ahead.completion = completion
        else:
            self.discard(completion)

    def discard(self, completion: Completion) -> None:
        """Count the tokens of a draft ahead that was made for nothing."""
        if isinstance(completion.outcome, Segment):
            self.counts["draft_calls"] += 1
            self.counts["draft_tokens"] += completion.outcome.n_tokens
            self.counts["discarded_tokens"] += completion.outcome.n_tokens

    def votes(self) -> tuple[tuple[str, int], ...]:
        return count_votes(sample.answer for sample in self.samples)

    def is_settled(self) -> bool:
        """Whether the vote is decided, whatever the open samples say."""
        # A lead cannot exceed the samples that have ended: most of the time there is nothing to count.
        return 2 * self.n_open < len(self.samples) and is_settled(self.votes(), self.n_open)

    def result(self) -> Result:
        votes = self.votes()
        return Result(
            problem=self.problem,
            answer=votes[0][0] if votes else None,
            votes=votes,
            trajectories=tuple(sample.trajectory(index) for index, sample in enumerate(self.samples)),
            usage=Usage(**self.counts),
            error=self.error or self._error_of_all(),
        )

    def _error_of_all(self) -> A1Error | None:
        failed = all(sample.end is SampleEnd.FAILED for sample in self.samples)
        return self.samples[0].error if failed else None
