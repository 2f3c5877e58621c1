"""Uncertainty where samples of one problem resemble each other: everything is resampled by whole problems."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from a1_trt.benchmarks.grading import wilson_interval

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Integers: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
Booleans: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]

N_RESAMPLES = 1000
_MOST_NUMBERS = 4_000_000
"""Weights that are held at once: 32 MB."""


class Interval(NamedTuple):
    """A 95 % interval; None where there are too few problems for one."""

    low: float | None
    high: float | None


def totals(values: Floats | Integers, cluster: Integers, n_clusters: int) -> Floats:
    """Sum of the values of each cluster, float[n_clusters].

    Example:
        >>> totals(np.array([1.0, 2.0, 4.0]), np.array([0, 1, 0]), 2).tolist()
        [5.0, 2.0]
    """
    return np.bincount(cluster, weights=values, minlength=n_clusters).astype(np.float64)


def bootstrap(
    statistic: Callable[[Floats], Floats], n_clusters: int, *, seed: int, n_resamples: int = N_RESAMPLES
) -> Interval:
    """Percentile interval of a statistic over resampled clusters.

    Args:
        statistic: From how often each cluster was drawn, float[n, n_clusters], to the statistic, float[n]; NaN where a
            resample leaves it undefined.
        n_clusters: Clusters; fewer than two give no interval.
        seed: Seed of the draws.
        n_resamples: Resamples.
    """
    if n_clusters < 2:
        return Interval(None, None)
    rng = np.random.default_rng([seed, 3])
    step = max(1, _MOST_NUMBERS // n_clusters)
    chunks = []
    for start in range(0, n_resamples, step):
        size = min(step, n_resamples - start)
        draws = rng.multinomial(n_clusters, np.full(n_clusters, 1.0 / n_clusters), size=size)
        chunks.append(statistic(draws.astype(np.float64)))
    values = np.concatenate(chunks)
    values = values[~np.isnan(values)]
    if len(values) < n_resamples / 2:
        return Interval(None, None)
    low, high = np.quantile(values, (0.025, 0.975))
    return Interval(float(low), float(high))


def ratio_interval(numerators: Floats, denominators: Floats, *, seed: int) -> Interval:
    """Interval of sum(numerators) / sum(denominators), one of each a cluster.

    Clusters with an empty denominator do not count.

    Example:
        >>> low, high = ratio_interval(np.array([1.0, 3.0]), np.array([4.0, 4.0]), seed=0)
        >>> low, high
        (0.25, 0.75)
    """
    held = denominators > 0
    above, below = numerators[held], denominators[held]
    if len(below) < 2:
        return Interval(None, None)
    return bootstrap(lambda weights: (weights @ above) / (weights @ below), len(below), seed=seed)


def rate_interval(successes: Floats, counts: Floats, *, seed: int) -> Interval:
    """Interval of a rate over clusters.

    Where all clusters say never, or all say always, resampling would give a point; then it is Wilson's interval with
    each cluster as one observation.

    Example:
        >>> low, high = rate_interval(np.zeros(10), np.full(10, 16.0), seed=0)
        >>> round(low, 3), round(high, 3)
        (0.0, 0.278)
    """
    n_clusters, total = int((counts > 0).sum()), float(successes.sum())
    if n_clusters >= 2 and total in (0.0, float(counts.sum())):
        return Interval(*wilson_interval(n_clusters if total else 0, n_clusters))
    return ratio_interval(successes, counts, seed=seed)


def design_effect(successes: Floats, counts: Floats) -> float:
    """By how much clustering widens the variance of a rate, against independent observations.

    The linearised variance of a ratio over clusters, C / (C - 1) sum (x_c - r n_c)^2 / n^2, divided by r (1 - r) / n
    (Kish 1965; Cochran 1977, chapter 6). 1 where it is undefined.

    Args:
        successes: Successes of each cluster, float[n_clusters].
        counts: Observations of each cluster, float[n_clusters].

    Example:
        >>> design_effect(np.array([4.0, 0.0, 4.0, 0.0]), np.full(4, 4.0))  # each cluster says one thing
        5.333333333333333
    """
    held = counts > 0
    x, n = successes[held], counts[held]
    total = float(n.sum())
    rate = float(x.sum()) / total if total else 0.0
    if len(n) < 2 or not 0.0 < rate < 1.0:
        return 1.0
    squares = float(np.square(x - rate * n).sum()) * len(n) / (len(n) - 1)
    return squares / (total * rate * (1.0 - rate))


def effective_n(scores: Floats, cluster: Integers, n_clusters: int, alpha: float) -> float:
    """How many independent scores tell as much about the level-alpha threshold as these clustered ones.

    It is n divided by the design effect (at least 1) of "the score is among the alpha strangest".

    Args:
        scores: Scores, float[n].
        cluster: Cluster of each, int[n].
        n_clusters: Clusters.
        alpha: The level.

    Example:
        >>> effective_n(np.array([1.0, 1.0, 2.0, 2.0]), np.array([0, 0, 1, 1]), 2, 0.5)
        1.0
    """
    strange = scores > np.quantile(scores, 1.0 - alpha, method="lower")
    counts = totals(np.ones(len(scores)), cluster, n_clusters)
    return len(scores) / max(1.0, design_effect(totals(strange.astype(float), cluster, n_clusters), counts))


def band(alpha: float, n: float, z: float) -> tuple[float, float]:
    """Where a rate of n independent decisions lies, z standard errors around alpha.

    Example:
        >>> low, high = band(0.5, 100, 2.0)
        >>> low, high
        (0.4, 0.6)
    """
    half = z * math.sqrt(alpha * (1.0 - alpha) / n) if n > 0 else 1.0
    return max(0.0, alpha - half), min(1.0, alpha + half)
