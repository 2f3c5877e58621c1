import pytest

from a1_trt.core.scheduler.states import TRANSITIONS, Signal, State, advance
from a1_trt.errors import ProtocolError

WRITTEN, REJECTED, NEXT_TURN, FINISH = Signal.WRITTEN, Signal.REJECTED, Signal.NEXT_TURN, Signal.FINISH


@pytest.mark.parametrize(
    ("signals", "then"),
    [
        ([WRITTEN], State.SCORE),
        ([WRITTEN, NEXT_TURN], State.DRAFT),
        ([WRITTEN, REJECTED], State.TAKEOVER),
        ([WRITTEN, REJECTED, NEXT_TURN], State.DRAFT),
        ([WRITTEN, REJECTED, FINISH], State.FINISHED),
        ([REJECTED], State.TAKEOVER),  # the draft wrote nothing
        ([NEXT_TURN], State.DRAFT),  # the draft alone
        ([WRITTEN, NEXT_TURN, WRITTEN, FINISH], State.FINISHED),
    ],
)
def test_a_turn_is_a_draft_a_score_and_perhaps_a_takeover(signals, then):
    state = State.DRAFT
    for signal in signals:
        state = advance(state, signal)
    assert state is then


@pytest.mark.parametrize(
    ("state", "signal"),
    [
        (State.SCORE, WRITTEN),
        (State.TAKEOVER, WRITTEN),  # what the target writes is not scored
        (State.TAKEOVER, REJECTED),  # nor taken over
        *((State.FINISHED, signal) for signal in Signal),
    ],
)
def test_what_is_out_of_order_raises(state, signal):
    with pytest.raises(ProtocolError, match=state.value):
        advance(state, signal)


def test_every_sample_can_finish_at_any_time():
    assert {state for state in State if (state, FINISH) in TRANSITIONS} == set(State) - {State.FINISHED}
