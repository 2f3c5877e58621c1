"""The record of one problem while it is at work: its samples and what they have cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from a1_trt.core.conformal import Decision
from a1_trt.core.reasoning.answers import boxed
from a1_trt.core.reasoning.votes import count_votes, is_settled
from a1_trt.core.scheduler.states import State
from a1_trt.errors import A1Error
from a1_trt.types import (
    Call,
    Completion,
    Event,
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

_UNJUDGED = Turn(())


@dataclass(slots=True)
class DraftAhead:
    """A draft call made ahead of its time, and what came back of it, kept until the segment before is decided on."""

    call: Call
    completion: Completion | None = None


@dataclass(slots=True)
class Sample:
    """One chain at work.

    Args:
        turns: The turns that are over.
        opened: Number of segments before the current turn.
        losses: Mean negative log-likelihood of the segments that were scored, in nats a token.
        judged: What was decided in the current turn; its segments are filled in when it is over.
        ahead: The next turn's draft, where it was asked for before this turn is decided.
    """

    state: State
    segments: tuple[Segment, ...] = ()
    turn: int = 0
    turns: list[Turn] = field(default_factory=list)
    opened: int = 0
    losses: list[float] = field(default_factory=list)
    judged: Turn = _UNJUDGED
    end: SampleEnd | None = None
    answer: str | None = None
    error: A1Error | None = None
    ahead: DraftAhead | None = None

    @property
    def text(self) -> str:
        return "".join(segment.text for segment in self.segments)

    def close_turn(self) -> None:
        segments = self.segments[self.opened :]
        if segments or self.judged.unscored:
            self.turns.append(replace(self.judged, segments=segments))
        self.opened = len(self.segments)
        self.turn += 1
        self.judged = _UNJUDGED

    def trajectory(self, index: int) -> Trajectory:
        return Trajectory(index, tuple(self.turns), self.end or SampleEnd.CANCELLED, self.answer, self.error)


@dataclass(slots=True)
class ProblemState:
    """One problem at work.

    Args:
        held: Calls that a barrier holds back.
        busy: Calls that are queued or in flight, by id; drafts ahead are not among them.
        scored: Scores, and the log-probs that they are of, of the samples that are still to be judged.
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
    events: list[Event] = field(default_factory=list)
    has_scores: bool = False
    n_failed_scores: int = 0
    error: A1Error | None = None
    n_open: int = field(init=False)
    _takeovers: dict[int, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.n_open = len(self.samples)

    @property
    def has_barrier(self) -> bool:
        return self.parameters.admission == "barrier"

    def take_events(self) -> list[tuple[int, Event]]:
        """What has happened since this was asked last, each event with the problem's number."""
        events, self.events = self.events, []
        return [(self.number, event) for event in events]

    def finish(self, index: int, end: SampleEnd) -> None:
        sample = self.samples[index]
        sample.state, sample.end = State.FINISHED, end
        sample.answer = boxed(sample.text) if end is SampleEnd.ANSWERED else None
        sample.error = sample.error if end is SampleEnd.FAILED else None
        sample.close_turn()
        self.n_open -= 1
        self.events.append(SampleFinished(index, end, sample.answer))

    def drop_unscored(self, index: int, reason: str, *, takeover: bool) -> None:
        """Take a sample's last segment, which could not be scored, out of its chain."""
        sample = self.samples[index]
        *kept, last = sample.segments
        sample.segments = tuple(kept)
        sample.judged = Turn((), takeover=takeover, unscored=reason)
        self.counts["discarded_tokens"] += last.n_tokens
        self.events.append(SegmentUnscored(index, sample.turn, reason, takeover))

    def takeovers_in(self, turn: int) -> tuple[int, int]:
        """Takeovers among the samples that were judged in a turn so far, and the number of those."""
        return self._takeovers.get(turn, (0, 0))

    def count_decision(self, turn: int, decision: Decision) -> None:
        used, seen = self.takeovers_in(turn)
        self._takeovers[turn] = used + decision.takeover, seen + 1
        self.counts["n_scored"] += 1
        self.counts["n_takeovers"] += decision.takeover
        self.counts["n_forced"] += decision.forced is not None

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
        """What came of it; its error is the first sample's where all have failed."""
        votes = self.votes()
        all_failed = all(sample.end is SampleEnd.FAILED for sample in self.samples)
        return Result(
            problem=self.problem,
            answer=votes[0][0] if votes else None,
            votes=votes,
            trajectories=tuple(sample.trajectory(index) for index, sample in enumerate(self.samples)),
            usage=Usage(**self.counts),
            error=self.error or (self.samples[0].error if all_failed else None),
        )
