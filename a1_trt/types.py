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

Role = Literal["draft", "target"]
CallKind = Literal["draft", "score", "takeover"]
Strategy = Literal["a1", "target_only", "draft_only"]
Admission = Literal["async", "barrier"]
TakeoverFrom = Literal["end", "surprise"]


@dataclass(frozen=True, slots=True)
class Problem:
    """A question to reason about.

    Args:
        text: The question.
        id: A name that is unique within a run; it takes part in every seed.
        answer: The right answer where it is known; never shown to a model.
    """

    text: str
    id: str = "0"
    answer: str | None = None

    @property
    def key(self) -> str:
        """Names the problem by its text, whatever id a caller gives it.

        Example:
            >>> Problem("What is 1 + 1?").key == Problem("What is  1 + 1? ", id="other").key
            True
        """
        return _key(self.text)


@lru_cache(maxsize=1024)  # Every score asks for its problem's.
def _key(text: str) -> str:
    return blake2b(" ".join(text.split()).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Parameters:
    """How one problem is to be solved. The defaults are the published settings (16 samples, 15 turns of 500 tokens).

    Args:
        n_samples: Reasoning chains drawn in parallel (parallel scaling), m in the paper.
        max_turns: Longest chain in turns (sequential scaling).
        alpha: Rejection rate: the target takes over when a segment's p-value is <= alpha.
        draft_tokens: Longest draft segment, tokens of the draft's tokenizer (K_d).
        target_tokens: Longest continuation by the target, tokens of its tokenizer (K_t).
        temperature: Sampling temperature of both models; 0 is greedy.
        seed: Seed of all sampling of this problem.
        early_stop: Stop the remaining samples once they cannot change the vote any more.
        verify_answers: Also score a draft segment that holds the answer; when rejected, its answer is taken back
            and the target goes on from before it. Off in the published method.
        strategy: "a1", or one model alone: "target_only", "draft_only".
        admission: "async", or "barrier": the samples of a problem advance turn by turn together (the baseline).
        on_score_error: What happens to a segment that could not be scored. It never stands: the target writes it anew
            from its start ("takeover"), or the sample fails ("fail").
        exact_budget: Take over exactly round(alpha n_samples) of the samples of a turn, rather than that many on
            average; at most that many in turns which some samples did not live to see.
        takeover_from: Where the target goes on in a rejected segment: at its "end" (the published method, nothing is
            thrown away), or before the first token that surprised it ("surprise"; see `Logprobs.calm_text`).
        optimistic: The draft writes on while a segment is verified, as if that were accepted; a rejection cancels it.
            It changes when things are done and never what is decided.
    """

    n_samples: int = 16
    max_turns: int = 15
    alpha: float = 0.4
    draft_tokens: int = 500
    target_tokens: int = 500
    temperature: float = 0.8
    seed: int = 0
    early_stop: bool = True
    verify_answers: bool = False
    strategy: Strategy = "a1"
    admission: Admission = "async"
    on_score_error: Literal["takeover", "fail"] = "takeover"
    takeover_from: TakeoverFrom = "end"
    exact_budget: bool = False
    optimistic: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a chain, written by one model in one call.

    Args:
        role: Who wrote it.
        text: The text; may be empty.
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
        values: Natural-log probability of each segment token given everything before it, float64[n_tokens], in the
            target's tokenizer.
        calm_text: The segment's text before its first surprising token: the first whose log-prob is at most half the
            lowest one.
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
        id: Unique within the scheduler.
        kind: "draft" (generate with the draft), "score" (log-probs of the last segment under the target) or
            "takeover" (generate with the target).
        key: The sample it is for.
        turn: Turn of the sample, from 0.
        problem: The problem's text.
        segments: The chain so far; for "score" the last one is the one to score.
        max_tokens: Longest generation; 0 for "score".
        temperature: Sampling temperature.
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
        call: The call.
        outcome: `Segment` for "draft" and "takeover", `Logprobs` for "score", or the error.
        started_s: When the call was handed to the engine, seconds of the driver's clock.
        ended_s: When it came back.
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
        score: Nonconformity score of the draft's segment; None where it was not scored.
        p_value: Its conformal p-value in (0, 1].
        takeover: Whether the target took over.
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
        draft_tokens: Tokens generated by the draft.
        target_tokens: Tokens generated by the target.
        scored_tokens: Segment tokens the target scored (prefill only).
        draft_calls: Draft calls made; likewise `score_calls`, `takeover_calls`.
        n_scored: Segments scored.
        n_takeovers: Scored segments that the target took over.
        n_forced: Decisions in which a hard limit overruled the controller.
        n_unscored: Segments that could not be scored; none of them stands in a chain.
        n_stopped: Samples stopped early because the vote was settled.
        discarded_tokens: Of the draft's tokens, those drafted ahead for nothing and those of segments that could not be
            scored; cancelled calls count no tokens.
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
        problem: The problem.
        answer: Majority answer of the samples; None when no sample answered.
        votes: Answers with their number of votes, most first.
        trajectories: All samples, in order.
        usage: What it cost.
        wall_s: Seconds from submission to the result.
        error: Why the problem failed, if it did: the first sample's error where all have failed, or
            `ScoringUnavailable`. A session raises it, so nobody gets such a result of one.
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
        sample: Number of the sample.
        turn: Its turn, from 0.
        score: Nonconformity of the segment.
        p_value: Its conformal p-value, in (0, 1].
        takeover: Whether the target goes on.
        forced: What decided instead of the p-value, where something did.
        kept: Text of the segment that stands, where the target goes on from before its end; else None: all of it.
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
        sample: Number of the sample.
        turn: Its turn, from 0.
        reason: The code of the error, such as "engine_unavailable", "engine_timeout" or "score_shape"; "empty_segment"
            where the draft wrote nothing.
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
