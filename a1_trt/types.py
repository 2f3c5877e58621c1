"""The words of the method as values: problem, sample, turn, segment, call, completion, result.

A *problem* has n *samples* (reasoning chains); a sample advances in *turns*; a turn makes a *segment* of text. What the
scheduler wants done is a *call*; what came back is a *completion*. Everything here is immutable.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b
from typing import Literal

from a1_trt.errors import A1Error
from a1_trt.parameters import Parameters as Parameters
from a1_trt.parameters import Strategy as Strategy

Role = Literal["draft", "target"]
CallKind = Literal["draft", "score", "takeover"]
ROLES: tuple[Role, Role] = ("draft", "target")


@dataclass(frozen=True, slots=True)
class Problem:
    """A question to reason about.

    Args:
        id: A name that is unique within a run; it takes part in every seed.
        answer: The right answer where it is known; never shown to a model.
    """

    text: str
    id: str = "0"
    answer: str | None = None

    @property
    def key(self) -> str:
        """Names the problem by its text, whatever its spacing and whatever id a caller gives it."""
        return _key(self.text)


@lru_cache(maxsize=1024)  # Every score asks for its problem's.
def _key(text: str) -> str:
    return blake2b(" ".join(text.split()).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a chain, written by one model in one call.

    Args:
        n_tokens: Tokens generated, in the writer's tokenizer.
        token_ids: The ids of `text`, int[n_tokens], fewer once it was shortened; the same tokenizer takes them as
            they are. Empty where they are not known; then, and for another tokenizer, `text` is encoded.
        ended: The model ended its text itself, rather than running into the token limit.
    """

    role: Role
    text: str
    n_tokens: int
    token_ids: tuple[int, ...] = ()
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Logprobs:
    """What the target thinks of a segment.

    Args:
        values: Natural-log probability of each of the target's tokens given everything before it, float64[n_tokens].
        calm_text: The segment's text before its first token whose log-prob is at most half the lowest one.
        calm_ids: The ids of that text, where they mean the same to the draft's tokenizer; else empty.
    """

    values: tuple[float, ...]
    calm_text: str = ""
    calm_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SampleKey:
    """Which chain: the number of its problem in the scheduler, and of the sample in the problem."""

    problem: int
    sample: int


@dataclass(frozen=True, slots=True)
class Call:
    """Something the scheduler wants done.

    Args:
        kind: "draft" (generate with the draft), "score" (log-probs of the last segment under the target) or
            "takeover" (generate with the target).
        turn: Turn of the sample, from 0.
        segments: The chain so far; for "score" the last one is the one to score.
        max_tokens: Longest generation; 0 for "score".
        seed: Seed of this call's sampling, derived from run seed, problem, sample, turn and kind.
    """

    id: int
    kind: CallKind
    key: SampleKey
    turn: int
    problem: str
    segments: tuple[Segment, ...]
    max_tokens: int
    temperature: float
    seed: int

    @property
    def role(self) -> Role:
        """The engine that carries it out."""
        return "draft" if self.kind == "draft" else "target"


@dataclass(frozen=True, slots=True)
class Completion:
    """What came back of a call: a segment, log-probs or an error, and when.

    Args:
        outcome: `Segment` for "draft" and "takeover", `Logprobs` for "score", or the error.
        started_s: When the engine got the call, seconds of the driver's clock; `ended_s` is when it came back.
    """

    call: Call
    outcome: Segment | Logprobs | A1Error
    started_s: float = 0.0
    ended_s: float = 0.0


class SampleEnd(StrEnum):
    """Why a sample ended."""

    ANSWERED = "answered"
    ENDED = "ended"
    """The model ended its text without a boxed answer."""
    EXHAUSTED = "exhausted"
    """No turns left."""
    STOPPED = "stopped"
    """The vote of its problem cannot change any more."""
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a chain as it happened.

    Args:
        segments: What was written in it: the draft's segment, the target's continuation, or both.
        score: Nonconformity score of the draft's segment, and `p_value` that score's; None where it was not scored.
        forced: The hard limit that overruled the controller, if one did.
        unscored: Why the draft's segment could not be scored, if it could not; it is not among `segments`.
    """

    segments: tuple[Segment, ...]
    score: float | None = None
    p_value: float | None = None
    takeover: bool = False
    forced: str | None = None
    unscored: str | None = None


@dataclass(frozen=True, slots=True)
class Trajectory:
    """A whole sample: its turns, how it ended and what it answers."""

    sample: int
    turns: tuple[Turn, ...]
    end: SampleEnd
    answer: str | None = None
    error: A1Error | None = None

    @property
    def text(self) -> str:
        """The chain's text."""
        return "".join(segment.text for turn in self.turns for segment in turn.segments)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a problem cost.

    Args:
        draft_tokens: Tokens generated by the draft; likewise `target_tokens`.
        scored_tokens: Segment tokens the target scored (prefill only).
        draft_calls: Draft calls made; likewise `score_calls`, `takeover_calls`.
        n_forced: Decisions in which a hard limit overruled the controller.
        n_unscored: Segments that could not be scored; none of them stands in a chain.
        n_stopped: Samples stopped because the vote was settled.
        discarded_tokens: Draft tokens of guesses that came to nothing and of segments that could not be scored.
    """

    draft_tokens: int = 0
    target_tokens: int = 0
    scored_tokens: int = 0
    draft_calls: int = 0
    score_calls: int = 0
    takeover_calls: int = 0
    n_scored: int = 0
    n_takeovers: int = 0
    n_forced: int = 0
    n_unscored: int = 0
    n_stopped: int = 0
    discarded_tokens: int = 0

    @property
    def rejection_rate(self) -> float | None:
        """Share of scored segments that the target took over; None when none was scored."""
        return self.n_takeovers / self.n_scored if self.n_scored else None


@dataclass(frozen=True, slots=True)
class Result:
    """A solved problem.

    Args:
        answer: Majority answer of the samples; None when no sample answered.
        votes: Answers with their number of votes, most first.
        wall_s: Seconds from submission to the result.
        error: Why the problem failed, if it did; a session raises it.
    """

    problem: Problem
    answer: str | None
    votes: tuple[tuple[str, int], ...]
    trajectories: tuple[Trajectory, ...]
    usage: Usage
    wall_s: float = 0.0
    error: A1Error | None = None

    @property
    def rejection_rate(self) -> float | None:
        """Share of scored segments that the target took over; None when none was scored."""
        return self.usage.rejection_rate


@dataclass(frozen=True, slots=True)
class SegmentWritten:
    """Event: a model wrote a segment."""

    sample: int
    turn: int
    segment: Segment


@dataclass(frozen=True, slots=True)
class SegmentScored:
    """Event: a segment has its score and p-value, and it is decided who goes on.

    Args:
        score: Nonconformity of the segment; `p_value` is its conformal p-value, in (0, 1].
        takeover: Whether the target goes on.
        forced: The hard limit that decided instead of the p-value, if one did.
        kept: Prefix of the segment that was kept, if it was shortened.
    """

    sample: int
    turn: int
    score: float
    p_value: float
    takeover: bool
    forced: str | None = None
    kept: str | None = None


@dataclass(frozen=True, slots=True)
class SegmentUnscored:
    """Event: the draft's segment could not be scored and is dropped.

    Args:
        reason: The code of the error, such as "engine_timeout"; "empty_segment" where the draft wrote nothing.
        takeover: Whether the target writes in its place, from its start; else the sample ends.
    """

    sample: int
    turn: int
    reason: str
    takeover: bool


@dataclass(frozen=True, slots=True)
class SampleFinished:
    """Event: a sample ended."""

    sample: int
    end: SampleEnd
    answer: str | None


@dataclass(frozen=True, slots=True)
class ProblemFinished:
    """Event: a problem is solved; always the last one of its problem."""

    result: Result = field(repr=False)


Event = SegmentWritten | SegmentScored | SegmentUnscored | SampleFinished | ProblemFinished
