"""Percentiles, pass@k, intervals and resampling by problem, by hand, by another way, and against the textbook."""

from __future__ import annotations

import math
import random
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from a1_trt.benchmarks.statistics import (
    accuracy_difference,
    band,
    bootstrap,
    design_effect,
    effective_n,
    paired_difference,
    pass_at_k,
    percentiles,
    rate_interval,
    ratio_interval,
    ratio_of_sums,
    totals,
    wilson_interval,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def slow_design_effect(clusters: list[list[int]]) -> float:
    flat = [x for cluster in clusters for x in cluster]
    n, rate = len(flat), sum(flat) / len(flat)
    spread = sum((sum(cluster) - rate * len(cluster)) ** 2 for cluster in clusters) * len(clusters)
    return spread / (len(clusters) - 1) / n**2 / (rate * (1 - rate) / n)


def test_the_design_effect_is_that_of_the_textbook(rng: np.random.Generator) -> None:
    clusters = [(rng.random(rng.integers(1, 9)) < p).astype(int).tolist() for p in rng.random(15)]
    found = design_effect(np.asarray([float(sum(c)) for c in clusters]), np.asarray([float(len(c)) for c in clusters]))
    assert found == pytest.approx(slow_design_effect(clusters))


@pytest.mark.parametrize(
    ("successes", "counts"), [([0.0, 0.0], [4.0, 4.0]), ([4.0, 4.0], [4.0, 4.0]), ([2.0], [4.0]), ([0.0], [0.0])]
)
def test_the_design_effect_is_one_where_it_is_undefined(successes: list[float], counts: list[float]) -> None:
    assert design_effect(np.asarray(successes), np.asarray(counts)) == 1.0


def test_an_interval_is_as_wide_as_the_linearised_variance_says(rng: np.random.Generator) -> None:
    counts = rng.integers(5, 30, size=200).astype(float)
    successes = rng.binomial(counts.astype(int), rng.beta(2, 3, size=200)).astype(float)
    low, high = ratio_interval(successes, counts, seed=1)
    rate = successes.sum() / counts.sum()
    error = math.sqrt(design_effect(successes, counts) * rate * (1 - rate) / counts.sum())
    assert low is not None
    assert high is not None
    assert (high - low) / (2 * 1.96 * error) == pytest.approx(1.0, abs=0.1)
    assert (high + low) / 2 == pytest.approx(rate, abs=error / 4)


def test_intervals_of_clustered_rates_cover_and_those_of_independent_ones_would_not(rng: np.random.Generator) -> None:
    covered = naive = 0
    for seed in range(200):
        successes = rng.binomial(16, rng.beta(1, 1.5, size=60)).astype(float)
        low, high = ratio_interval(successes, np.full(60, 16.0), seed=seed)
        rate = successes.sum() / 960
        covered += low <= 0.4 <= high  # type: ignore[operator]
        naive += abs(rate - 0.4) <= 1.96 * math.sqrt(rate * (1 - rate) / 960)
    assert covered >= 178  # 95 % of 200 less three standard errors
    assert naive <= 140


def test_too_few_clusters_have_no_interval() -> None:
    assert ratio_interval(np.asarray([2.0, 0.0]), np.asarray([4.0, 0.0]), seed=0) == (None, None)
    assert bootstrap(lambda weights: weights[:, 0], 1, seed=0) == (None, None)


def test_a_statistic_that_is_mostly_undefined_has_no_interval() -> None:
    assert bootstrap(lambda weights: np.full(len(weights), np.nan), 5, seed=0) == (None, None)


def test_clusters_that_all_say_never_still_leave_doubt() -> None:
    low, high = rate_interval(np.zeros(20), np.full(20, 16.0), seed=0)
    assert low == pytest.approx(0.0)
    assert high == pytest.approx(0.161, abs=0.001)  # Wilson's upper end of 0 of 20
    again = rate_interval(np.full(20, 16.0), np.full(20, 16.0), seed=0)
    assert again == (pytest.approx(1 - high), pytest.approx(1.0))


def test_the_same_seed_gives_the_same_interval(rng: np.random.Generator) -> None:
    successes, counts = rng.random(31), np.full(31, 5.0)
    assert ratio_interval(successes, counts, seed=3) == ratio_interval(successes, counts, seed=3)
    assert ratio_interval(successes, counts, seed=3) != ratio_interval(successes, counts, seed=4)


def test_many_clusters_are_resampled_in_parts() -> None:
    sizes: list[int] = []

    def statistic(weights: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        sizes.append(len(weights))
        return weights.mean(axis=1)

    bootstrap(statistic, 50_000, seed=0, n_resamples=200)
    assert sum(sizes) == 200
    assert max(sizes) * 50_000 <= 4_000_000


def test_copies_of_one_score_are_worth_one(rng: np.random.Generator) -> None:
    values, cluster = np.repeat(rng.normal(size=50), 16), np.repeat(np.arange(50), 16)
    assert effective_n(values, cluster, 50, 0.4) == pytest.approx(50, rel=0.05)
    independent = effective_n(rng.normal(size=800), cluster, 50, 0.4)
    assert 500 < independent <= 800


def test_totals_and_bands() -> None:
    assert totals(np.asarray([1.0, 2.0, 4.0]), np.asarray([2, 0, 2]), 4).tolist() == [2.0, 0.0, 5.0, 0.0]
    assert band(0.4, 600, 2.0) == (pytest.approx(0.36), pytest.approx(0.44))
    assert band(0.4, 0, 2.0) == (0.0, 1.0)


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
    few, many = np.asarray([0.0, 1.0] * 5), np.asarray([0.0, 1.0] * 500)
    wide, narrow = (ratio_interval(values, np.ones(len(values)), seed=0) for values in (few, many))
    assert wide[0] < narrow[0] < 0.5 < narrow[1] < wide[1]
    assert ratio_interval(np.asarray([]), np.asarray([]), seed=0) == (None, None)


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


@pytest.mark.parametrize(("n_correct", "n"), [(0, 10), (3, 10), (10, 10), (81, 263)])
def test_wilson_agrees_with_scipy(n_correct: int, n: int) -> None:
    expected = stats.binomtest(n_correct, n).proportion_ci(method="wilson")
    assert wilson_interval(n_correct, n) == pytest.approx((expected.low, expected.high))


def test_nothing_observed_says_nothing() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert paired_difference([], []) == (0.0, -1.0, 1.0)


def test_newcombe_of_a_known_table() -> None:
    # 20, 12, 2 and 16 pairs, worked through his formula for method 10 apart from this code.
    a = [True] * 32 + [False] * 18
    b = [True] * 20 + [False] * 12 + [True] * 2 + [False] * 16
    assert paired_difference(a, b) == pytest.approx((0.2, 0.0562, 0.3292), abs=1e-4)


def test_agreement_on_every_problem_is_no_certainty() -> None:
    difference, low, high = paired_difference([True] * 20, [True] * 20)
    assert difference == 0.0
    assert low < -0.05
    assert high > 0.05


def test_the_paired_interval_covers_the_true_difference() -> None:
    rng, covered, n_runs = random.Random(0), 0, 1000  # noqa: S311 - a simulation, no secret
    for _ in range(n_runs):
        pairs = [(rng.random() < 0.85, rng.random() < 0.7) for _ in range(40)]
        _, low, high = paired_difference([a for a, _ in pairs], [b for _, b in pairs])
        covered += low <= 0.15 <= high
    assert covered >= 0.93 * n_runs


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="shorter"):
        paired_difference([True], [])
