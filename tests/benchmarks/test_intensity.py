"""The account of a run's time, on timelines small enough to work out by hand."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from a1_trt.benchmarks.intensity import Model, Work, intensity, straggling_s, waits_s, work_of_engine
from a1_trt.benchmarks.processor import Processor
from a1_trt.benchmarks.strategies import CallRecord
from a1_trt.build.hardware import ModelDimensions

TINY = ModelDimensions(
    name="tiny",
    architecture="LlamaForCausalLM",
    n_layers=1,
    hidden=4,
    n_heads=1,
    n_kv_heads=1,
    head_dim=4,
    intermediate=8,
    vocabulary=10,
    max_context_tokens=64,
)
SLOTS = {"draft": 2, "target": 1}


def call(role, sample, wanted_s, started_s, ended_s, *, problem=0, tokens=(0, 0, 0)):
    kind = "draft" if role == "draft" else "takeover"
    return CallRecord(role, kind, problem, sample, 0, wanted_s, started_s, ended_s, *tokens)


def test_waiting_with_free_slots_is_the_barriers_and_with_full_ones_the_queues():
    calls = [
        call("draft", 0, 0.0, 0.0, 4.0),
        call("draft", 1, 0.0, 0.0, 2.0),
        call("draft", 2, 1.0, 3.0, 5.0),  # full until 2, then held back until 3
    ]
    assert waits_s(calls, SLOTS) == {"slot_s": 1.0, "barrier_s": 1.0}


def test_a_slot_that_changes_hands_is_never_free_in_between():
    calls = [call("target", 0, 0.0, 0.0, 2.0), call("target", 1, 0.0, 2.0, 3.0)]
    assert waits_s(calls, SLOTS) == {"slot_s": 2.0, "barrier_s": 0.0}


def test_no_calls_no_waits():
    assert waits_s([], SLOTS) == {"slot_s": 0.0, "barrier_s": 0.0}


def test_samples_that_are_done_wait_for_the_slowest_of_their_problem():
    calls = [
        call("draft", 0, 0, 0, 1),
        call("draft", 0, 1, 1, 4),
        call("draft", 1, 0, 0, 2),
        call("draft", 0, 0, 0, 9, problem=1),
    ]
    assert straggling_s(calls) == 2.0


spans = st.tuples(st.integers(0, 20), st.integers(0, 10), st.integers(1, 10)).map(
    lambda said: (said[0], said[0] + said[1], said[0] + said[1] + said[2])
)


@given(st.lists(spans, max_size=12), st.integers(1, 4))
def test_waits_add_up(found, n_slots):
    calls = [call("draft", index, *map(float, span)) for index, span in enumerate(found)]
    waits = waits_s(calls, {"draft": n_slots, "target": 1})
    assert min(waits.values()) >= -1e-9
    assert sum(waits.values()) == pytest.approx(sum(each.started_s - each.wanted_s for each in calls))


def test_what_is_cached_is_not_paid_again():
    first = call("target", 0, 0, 0, 1, tokens=(10, 5, 0))
    second = call("target", 0, 1, 1, 2, tokens=(15, 5, 0))
    other = call("target", 1, 0, 0, 1, tokens=(10, 5, 0))
    model = Model(TINY)
    alone = work_of_engine([first], "target", model).flop
    per_token, per_context, head = 2 * 160, 16, 80
    assert alone == 15 * (per_token + per_context * 12.5) + 5 * head
    assert (
        work_of_engine([first, second], "target", model).flop - alone == 5 * (per_token + per_context * 17.5) + 5 * head
    )
    assert (
        work_of_engine([first, other], "target", model).flop - alone == 5 * (per_token + per_context * 12.5) + 5 * head
    )


def test_a_batch_reads_the_weights_once():
    model = Model(TINY, weight_bytes=1.0, kv_bytes=0.0, chunk_tokens=10**9)
    apart = [call("draft", n, n, n, n + 1, problem=n, tokens=(1, 8, 0)) for n in range(4)]
    together = [call("draft", n, 0, 0, 1, problem=n, tokens=(1, 8, 0)) for n in range(4)]
    one, other = (work_of_engine(calls, "draft", model).n_bytes for calls in (apart, together))
    assert one == pytest.approx(4 * other, rel=1e-6)


def test_the_roofline_divides_the_time():
    work = Work(flop=100.0, n_bytes=10.0, busy_s=1.0)
    assert work.intensity == 10.0
    assert work.compute_share(Processor(10.0, 1.0, "even")) == 0.5
    assert Work(0.0, 0.0, 0.0).compute_share(Processor(10.0, 1.0, "even")) == 0.0


def test_the_account_adds_up_and_waiting_lowers_r():
    models = {"draft": Model(TINY), "target": Model(TINY)}
    machine = Processor(1e3, 1e3, "made up")
    busy = [call("draft", 0, 0.0, 0.0, 2.0, tokens=(4, 4, 0)), call("target", 0, 2.0, 2.0, 3.0, tokens=(8, 2, 0))]
    held = [busy[0], call("target", 0, 2.0, 5.0, 6.0, tokens=(8, 2, 0))]
    free, barrier = (intensity(calls, SLOTS, models, machine, one_at_a_time=False) for calls in (busy, held))
    assert free["t_c_s"] + free["t_m_s"] == pytest.approx(3.0)
    assert (free["t_s_s"], barrier["t_s_s"]) == (0.0, 3.0)
    assert free["r"] > barrier["r"] == pytest.approx(barrier["t_c_s"] / (barrier["t_m_s"] + 3.0))
