"""Intervals, percentiles, pass@k and busy time against numbers worked out by hand or by another way."""

from __future__ import annotations

from itertools import combinations

import pytest

from a1_trt.benchmarks.intervals import accuracy_difference, mean_interval, pass_at_k, percentiles, ratio_of_sums
from a1_trt.benchmarks.strategies import CallRecord
from a1_trt.benchmarks.utilization import union_s, utilisation, work_of


@pytest.mark.parametrize(("n", "n_right"), [(5, 0), (5, 1), (5, 3), (5, 5)])
def test_pass_at_k_is_the_share_of_draws_with_a_right_one(n: int, n_right: int) -> None:
    right = [True] * n_right + [False] * (n - n_right)
    for k in range(1, n + 1):
        draws = list(combinations(right, k))
        assert pass_at_k(n, n_right, k) == pytest.approx(sum(any(draw) for draw in draws) / len(draws))


def test_percentiles_of_nothing_are_nothing() -> None:
    assert percentiles([]) == {"p50": None, "p95": None, "p99": None, "mean": None}
    assert percentiles(list(range(101)))["p95"] == 95.0


def test_an_interval_narrows_with_more_values_and_holds_the_mean() -> None:
    few, many = [0.0, 1.0] * 5, [0.0, 1.0] * 500
    (mean, narrow), (_, wide) = mean_interval(many), mean_interval(few)
    assert mean == 0.5
    assert wide[0] < narrow[0] < 0.5 < narrow[1] < wide[1]
    assert mean_interval([]) == (None, None)


def test_a_ratio_is_of_sums_and_paired() -> None:
    above, below = [1.0, 10.0, 100.0], [0.5, 5.0, 50.0]
    assert ratio_of_sums(above, below) == (2.0, [2.0, 2.0])
    _, unpaired = ratio_of_sums(above, below[::-1])
    assert unpaired[1] > unpaired[0]
    assert ratio_of_sums([3.0], [2.0]) == (1.5, None)


def test_agreement_everywhere_is_not_certainty() -> None:
    difference, (low, high) = accuracy_difference([[True]] * 20, [[True]] * 20)
    assert difference == 0.0
    assert low < 0.0 < high


def test_repeats_of_a_problem_are_not_counted_as_independent() -> None:
    once = accuracy_difference([[True], [False]] * 10, [[False], [False]] * 10)[1]
    often = accuracy_difference([[True] * 9, [False] * 9] * 10, [[False] * 9, [False] * 9] * 10)[1]
    assert often[1] - often[0] > 0.7 * (once[1] - once[0])


def test_busy_time_is_a_union() -> None:
    assert union_s([]) == 0.0
    assert union_s([(0.0, 5.0), (1.0, 2.0), (4.0, 6.0), (8.0, 9.0)]) == 7.0


def test_work_and_utilisation_of_a_timeline() -> None:
    def call(role, started_s, ended_s, end="done"):
        return CallRecord(role, "draft", 0, 0, 0, started_s - 0.5, started_s, ended_s, 7, 3, 0, end)

    calls = [call("draft", 1.0, 3.0), call("draft", 2.0, 4.0, "cancelled"), call("target", 3.0, 9.0)]
    work = {role: work_of(calls, role) for role in ("draft", "target")}
    assert (work["draft"]["busy_s"], work["draft"]["slot_s"], work["draft"]["waiting_s"]) == (3.0, 4.0, 1.0)
    assert (work["draft"]["calls"], work["draft"]["cancelled_calls"], work["draft"]["new_tokens"]) == (2, 1, 6)
    said = utilisation(work, {"draft": 2, "target": 1}, 10.0)
    assert (said["draft"], said["target"], said["target_slots"]) == (0.3, 0.6, 0.6)
    assert said["lower_bound_s"] == 6.0
    assert said["of_lower_bound"] == 0.6
