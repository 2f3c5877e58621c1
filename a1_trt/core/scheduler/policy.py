"""What a sample does next: the rules of the method as functions of values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from a1_trt.core.reasoning.answers import boxed, take_back
from a1_trt.core.scheduler.states import Signal, State
from a1_trt.errors import A1Error, Cancelled, ContextLengthError, EmptySegment
from a1_trt.types import Call, CallKind, Logprobs, Parameters, SampleEnd, Segment, Strategy

Verdict = tuple[Signal, SampleEnd | None]
"""What happens to a sample, and why it ends where it does."""

_PHASE: dict[CallKind, int] = {"draft": 0, "score": 1, "takeover": 2}


def opening(strategy: Strategy) -> State:
    return State.TAKEOVER if strategy == "target_only" else State.DRAFT


def max_new_tokens(kind: CallKind, parameters: Parameters) -> int:
    """Longest generation of a call: a segment; or, with one model alone, the whole chain in one call."""
    if kind == "score":
        return 0
    tokens = parameters.draft_tokens if kind == "draft" else parameters.target_tokens
    return tokens if parameters.strategy == "a1" else tokens * parameters.max_turns


def after_draft(chain: str, segment: Segment, parameters: Parameters) -> Verdict:
    """What follows the draft's segment: its score, unless the chain holds an answer that nobody wants verified."""
    if parameters.strategy == "draft_only":
        return after_turn(chain, segment, parameters.max_turns - 1, parameters)
    if boxed(chain) is not None and not parameters.score_answers:
        return Signal.FINISH, SampleEnd.ANSWERED
    return Signal.WRITTEN, None


def after_turn(chain: str, last: Segment, turn: int, parameters: Parameters) -> Verdict:
    """What follows a turn whose text stands: the end, or the next turn."""
    if boxed(chain) is not None:
        return Signal.FINISH, SampleEnd.ANSWERED
    if last.ended:
        return Signal.FINISH, SampleEnd.ENDED
    if turn + 1 >= parameters.max_turns or parameters.strategy != "a1":
        return Signal.FINISH, SampleEnd.EXHAUSTED
    return Signal.NEXT_TURN, None


def looks_ahead(segments: Sequence[Segment], turn: int, parameters: Parameters) -> bool:
    """Whether the draft may write on while the last segment is verified: an acceptance would lead to the next turn."""
    if not parameters.optimistic or parameters.admission == "barrier":
        return False
    chain = "".join(segment.text for segment in segments)
    return after_turn(chain, segments[-1], turn, parameters)[0] is Signal.NEXT_TURN


def unscored(error: A1Error, parameters: Parameters) -> Verdict:
    """What follows a segment that could not be scored, and which therefore never stands."""
    if isinstance(error, ContextLengthError):
        return Signal.FINISH, SampleEnd.EXHAUSTED
    if parameters.on_score_error == "fail":
        return Signal.FINISH, SampleEnd.FAILED
    return Signal.REJECTED, None


def tells_of_scorer(error: A1Error) -> bool:
    """Whether a segment went unscored because scoring failed, rather than for its own length."""
    return not isinstance(error, ContextLengthError | EmptySegment)


def rewound(
    segments: tuple[Segment, ...], logprobs: Logprobs | None, parameters: Parameters
) -> tuple[tuple[Segment, ...], str | None]:
    """The chain as far as it stands once its last segment is rejected: the target goes on from there.

    A segment that holds the answer loses it in any case, so that the target has something to go on with. Returned are
    the segments, and the text of the last one if it was shortened, else None.
    """
    *kept, last = segments
    text, ids = last.text, last.token_ids
    if logprobs is not None and parameters.takeover_from == "first_surprise":
        text, ids = logprobs.calm_text, logprobs.calm_ids
    if boxed("".join(segment.text for segment in kept) + text) is not None:
        text, ids = take_back(text), ()
    if text == last.text:
        return segments, None
    return (*kept, replace(last, text=text, token_ids=ids, ended=False)), text


def after_error(call: Call, error: A1Error, parameters: Parameters) -> Verdict:
    """What follows a failed draft or takeover: a full context ends a chain that has begun, else the sample fails."""
    if isinstance(error, Cancelled):
        return Signal.FINISH, SampleEnd.CANCELLED
    if isinstance(error, ContextLengthError) and call.segments:
        return Signal.FINISH, SampleEnd.EXHAUSTED
    return Signal.FINISH, SampleEnd.FAILED


def released(held: Sequence[Call]) -> tuple[list[Call], list[Call]]:
    """What a barrier lets go once no other call of the problem is under way, in sample order, and what it keeps.

    Those of the earliest phase go.
    """
    phases = [(call.turn, _PHASE[call.kind]) for call in held]
    first = min(phases, default=None)
    going = [call for call, phase in zip(held, phases, strict=True) if phase == first]
    staying = [call for call, phase in zip(held, phases, strict=True) if phase != first]
    return sorted(going, key=lambda call: call.key.sample), staying
