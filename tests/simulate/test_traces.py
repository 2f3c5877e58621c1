"""Published traces: what is read, what is refused, what is replayed, and what the barrier between problems costs."""

import numpy as np
import pytest

from a1_trt.errors import InvalidRequestError
from a1_trt.simulate.fleet import EnginePlan
from a1_trt.simulate.list_scheduling import barrier_gain, barrier_makespan_s, list_makespan_s
from a1_trt.simulate.recorded_workload import durations, trace_workload
from a1_trt.simulate.simulation import Settings, simulate
from a1_trt.types import Parameters
from tests.simulate.trace_files import arrays, write

PLANS = {"draft": EnginePlan(), "target": EnginePlan()}


def test_recorded_decisions_are_replayed(tmp_path):
    said = arrays()
    workload = trace_workload(write(tmp_path / "t.npz"))
    outcome = simulate(PLANS, workload, Settings(Parameters(4, score_answers=True)))
    taken = said["percentile"] >= 0.6
    assert outcome.tally.counts["n_scored"] == len(taken)
    assert outcome.rejection_rate == taken.mean()
    by_turn = {turn: (said["turn"] == turn).sum() for turn in set(said["turn"].tolist())}
    assert {turn: n for turn, (n, _) in outcome.tally.scored_by_turn.items()} == by_turn


def test_characters_cost_tokens(tmp_path):
    said = arrays()
    workload = trace_workload(write(tmp_path / "t.npz"), chars_per_token=2.0)
    counts = simulate(PLANS, workload, Settings(Parameters(4, score_answers=True))).tally.counts
    tokens = -(-said["segment_chars"] // 2)
    assert counts["draft_tokens"] == np.minimum(tokens, 500).sum()
    assert counts["target_tokens"] == np.minimum(-(-said["continuation_chars"] // 2), 500).sum()


def test_a_segment_that_the_draft_left_empty_is_not_scored_and_goes_to_the_target(tmp_path):
    said = arrays()
    empty = np.zeros_like(said["segment_chars"])
    path = write(tmp_path / "t.npz", segment_chars=empty, percentile=np.full_like(said["percentile"], np.nan))
    counts = simulate(PLANS, trace_workload(path), Settings()).tally.counts
    assert (counts["n_scored"], counts["takeover_calls"], counts["draft_calls"]) == (0, len(empty), len(empty))


def test_other_decisions_find_continuations_of_ordinary_length(tmp_path):
    workload = trace_workload(write(tmp_path / "t.npz"))
    settings = Settings(Parameters(4, alpha=0.95, score_answers=True), decisions="controller", controller="growing")
    outcome = simulate(PLANS, workload, settings)
    assert outcome.rejection_rate > 0.8


def test_more_problems_than_recorded_are_the_same_over_again(tmp_path):
    path = write(tmp_path / "t.npz")
    assert trace_workload(path, 6, 4).scripts == 2 * trace_workload(path, 3, 4).scripts
    assert trace_workload(path, 1, 2).n_samples == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"turn": None}, "lacks the array turn"),
        ({"sample_duration_s": None}, "lacks the array sample_duration_s"),
        ({"ppl": np.zeros(2)}, "different lengths"),
        ({"ppl": np.array([{}], dtype=object)}, "not a readable"),
    ],
)
def test_a_trace_that_is_none_is_refused(tmp_path, changes, said):
    with pytest.raises(InvalidRequestError, match=said):
        trace_workload(write(tmp_path / "t.npz", **changes))


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 broken", b"\x93NUMPY"])
def test_a_file_that_is_none_is_refused(tmp_path, content):
    path = tmp_path / "t.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidRequestError):
        trace_workload(path)


def test_durations_are_read_in_order(tmp_path):
    said = arrays()
    assert np.ravel(durations(write(tmp_path / "t.npz"))) == pytest.approx(said["sample_duration_s"])


# --- the barrier between problems -------------------------------------------------------------------------------------


def test_the_barrier_by_hand():
    problems = [[4.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0]]
    # Two slots: 4 beside 1 + 1 + 1, then 2 + 2 beside 2 + 2; without the barrier the second slot goes on at 3.
    assert barrier_makespan_s(problems, 2) == 8.0
    assert list_makespan_s([4.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0], 2) == 8.0
    assert barrier_makespan_s(problems, 4) == 6.0
    assert list_makespan_s([4.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0], 4) == 5.0


@pytest.mark.parametrize("slots", [3, 4, 7])
def test_the_simulator_gains_what_list_scheduling_gains(slots):
    chance = np.random.default_rng(slots)
    problems = [list(chance.gamma(1.0, 20.0, 4)) for _ in range(12)]
    gain = barrier_gain(problems, slots)
    assert gain["gain"] > 1.1
    assert gain["simulated"]["barrier_s"] == pytest.approx(gain["barrier_s"], rel=2e-3)
    assert gain["simulated"]["list_s"] == pytest.approx(gain["list_s"], rel=2e-3)
    assert gain["simulated"]["gain"] == pytest.approx(gain["gain"], rel=3e-3)


@pytest.mark.parametrize(("problems", "slots"), [([], 2), ([[1.0], []], 2), ([[1.0]], 0), ([[1.0]], 10**9)])
def test_nothing_to_schedule_is_refused(problems, slots):
    with pytest.raises(InvalidRequestError):
        barrier_gain(problems, slots)
