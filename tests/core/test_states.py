import pytest

from a1_trt.core.scheduler.states import TRANSITIONS, Signal, State, advance
from a1_trt.errors import ProtocolError


def test_the_table_is_the_method():
    assert {(state.value, signal.value): after.value for (state, signal), after in TRANSITIONS.items()} == {
        ("draft", "written"): "score",
        ("draft", "next turn"): "draft",
        ("draft", "rejected"): "takeover",
        ("draft", "finish"): "finished",
        ("score", "next turn"): "draft",
        ("score", "rejected"): "takeover",
        ("score", "finish"): "finished",
        ("takeover", "next turn"): "draft",
        ("takeover", "finish"): "finished",
    }


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("signal", Signal)
def test_whatever_is_not_in_the_table_raises(state, signal):
    if (state, signal) in TRANSITIONS:
        assert advance(state, signal) is TRANSITIONS[state, signal]
    else:
        with pytest.raises(ProtocolError):
            advance(state, signal)
