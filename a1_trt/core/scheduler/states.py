"""Rule 1: everything that changes the state of a sample is in this file's table."""

from __future__ import annotations

from enum import StrEnum

from a1_trt.errors import ProtocolError


class State(StrEnum):
    """What a sample waits for: the draft's segment, its log-probs under the target, a segment by the target."""

    DRAFT = "draft"
    SCORE = "score"
    TAKEOVER = "takeover"
    FINISHED = "finished"


class Signal(StrEnum):
    """What happened to it: a segment to be scored is written, the target takes over, the turn is over, the chain is."""

    WRITTEN = "written"
    REJECTED = "rejected"
    NEXT_TURN = "next turn"
    FINISH = "finish"


TRANSITIONS: dict[tuple[State, Signal], State] = {
    (State.DRAFT, Signal.WRITTEN): State.SCORE,
    (State.DRAFT, Signal.NEXT_TURN): State.DRAFT,
    (State.DRAFT, Signal.REJECTED): State.TAKEOVER,
    (State.DRAFT, Signal.FINISH): State.FINISHED,
    (State.SCORE, Signal.NEXT_TURN): State.DRAFT,
    (State.SCORE, Signal.REJECTED): State.TAKEOVER,
    (State.SCORE, Signal.FINISH): State.FINISHED,
    (State.TAKEOVER, Signal.NEXT_TURN): State.DRAFT,
    (State.TAKEOVER, Signal.FINISH): State.FINISHED,
}
"""A turn is draft -> score -> (takeover) -> next turn. A draft that wrote nothing cannot be scored and is rejected
straight away; with the draft alone a turn is just a draft; with the target alone a sample starts in TAKEOVER."""


def advance(state: State, signal: Signal) -> State:
    """The state after `signal`; `ProtocolError` where the table has no such transition.

    Example:
        >>> advance(State.DRAFT, Signal.WRITTEN)
        <State.SCORE: 'score'>
    """
    try:
        return TRANSITIONS[state, signal]
    except KeyError:
        raise ProtocolError(f"a sample in state {state.value} cannot be told {signal.value!r}") from None
