"""Rule 1: everything that changes the state of a sample is in this file's table."""

from __future__ import annotations

from enum import StrEnum

from a1_trt.errors import ProtocolError


class State(StrEnum):
    """What a sample is waiting for."""

    DRAFT = "draft"
    """The draft's next segment."""
    SCORE = "score"
    """The target's log-probs of that segment."""
    TAKEOVER = "takeover"
    """A segment by the target."""
    FINISHED = "finished"


class Signal(StrEnum):
    """What happened to it."""

    WRITTEN = "written"
    """The draft wrote a segment that is to be scored."""
    REJECTED = "rejected"
    """The target takes over."""
    NEXT_TURN = "next turn"
    """The turn is over and another one follows."""
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
    """The state after `signal`.

    Raises:
        ProtocolError: The table has no such transition.

    Example:
        >>> advance(State.DRAFT, Signal.WRITTEN)
        <State.SCORE: 'score'>
    """
    try:
        return TRANSITIONS[state, signal]
    except KeyError:
        raise ProtocolError(f"a sample in state {state.value} cannot be told {signal.value!r}") from None
