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


def max_new_tokens(kind: CallKind, segments: Sequence[Segment], parameters: Parameters) -> int:
    """Longest generation of a call after these segments: a segment; or, with one model alone, the whole chain."""
    if kind == "score":
        return 0
    tokens = parameters.draft_tokens if kind == "draft" else parameters.target_tokens
    tokens = tokens if parameters.strategy == "a1" else tokens * parameters.max_turns
    return min(tokens, parameters.max_chain_tokens - _n_standing(segments)) if parameters.max_chain_tokens else tokens


def _text(segments: Sequence[Segment]) -> str:
    return "".join(segment.text for segment in segments)


def _n_standing(segments: Sequence[Segment]) -> int:
    """Tokens of a chain. A shortened segment without ids, which only a tokenizer could count, counts as it was."""
    return sum(len(segment.token_ids) or segment.n_tokens for segment in segments if segment.text)


def _is_full(segments: Sequence[Segment], parameters: Parameters) -> bool:
    return 0 < parameters.max_chain_tokens <= _n_standing(segments)


def after_draft(segments: Sequence[Segment], parameters: Parameters) -> Verdict:
    """What follows the draft's segment: its score, unless the chain holds an answer that nobody wants verified."""
    if parameters.strategy == "draft_only":
        return after_turn(segments, parameters.max_turns - 1, parameters)
    if boxed(_text(segments)) is not None and not parameters.score_answers:
        return Signal.FINISH, SampleEnd.ANSWERED
    return Signal.WRITTEN, None


def after_turn(segments: Sequence[Segment], turn: int, parameters: Parameters) -> Verdict:
    """What follows a turn of a chain whose text stands: the end, or the next turn."""
    if boxed(_text(segments)) is not None:
        return Signal.FINISH, SampleEnd.ANSWERED
    if segments[-1].ended:
        return Signal.FINISH, SampleEnd.ENDED
    if turn + 1 >= parameters.max_turns or parameters.strategy != "a1" or _is_full(segments, parameters):
        return Signal.FINISH, SampleEnd.EXHAUSTED
    return Signal.NEXT_TURN, None


def after_rejection(segments: Sequence[Segment], parameters: Parameters) -> Verdict:
    """What follows a rejected segment, of which the chain keeps what stands: the target goes on if it has tokens."""
    return (Signal.FINISH, SampleEnd.EXHAUSTED) if _is_full(segments, parameters) else (Signal.REJECTED, None)


def looks_ahead(segments: Sequence[Segment], turn: int, parameters: Parameters) -> bool:
    """Whether the draft may write on while the last segment is verified: an acceptance would lead to the next turn."""
    if not parameters.optimistic or parameters.admission == "barrier":
        return False
    return after_turn(segments, turn, parameters)[0] is Signal.NEXT_TURN


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
    if boxed(_text(kept) + text) is not None:
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
