"""Resampling by problem, against hand-worked numbers and the textbook's variance."""

from __future__ import annotations

import math

import numpy as np
import pytest

from a1_trt.benchmarks.clusters import (
    band,
    bootstrap,
    design_effect,
    effective_n,
    rate_interval,
    ratio_interval,
    totals,
)


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
