"""Percentiles, intervals and tests of all reports. Intervals are 95 %, and resampling is by whole problems.

Samples of one problem resemble each other, so problems are the independent units, never samples or segments.
"""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from a1_trt.core.conformal import kolmogorov

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Integers: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
Booleans: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]
Z95 = NormalDist().inv_cdf(0.975)
N_RESAMPLES = 1000
_N_PAIR_RESAMPLES = 4000
_MAX_WEIGHTS = 4_000_000  # weights that are held at once: 32 MB


class Interval(NamedTuple):
    """A 95 % interval; None where there are too few problems for one."""

    low: float | None
    high: float | None


def percentiles(values: Sequence[float], levels: Sequence[int] = (50, 95, 99)) -> dict[str, float | None]:
    """Percentiles by linear interpolation, and the mean; None where there is no value. Every p95 is this one."""
    if not len(values):
        return dict.fromkeys([*(f"p{level}" for level in levels), "mean"])
    by_level = zip(levels, np.percentile(values, levels), strict=True)
    return {**{f"p{level}": float(value) for level, value in by_level}, "mean": float(np.mean(values))}


def pass_at_k(n: int, n_right: int, k: int) -> float:
    """Chance that one of k samples is right, when n_right of n were: unbiased (Chen et al. 2021, arXiv 2107.03374)."""
    return 1.0 - math.comb(n - n_right, k) / math.comb(n, k)


def wilson_interval(n_correct: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a proportion; (0, 1) where nothing was observed."""
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    rate = n_correct / n
    middle = rate + z * z / (2 * n)
    half = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def paired_difference(
    correct_a: Sequence[bool], correct_b: Sequence[bool], *, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Accuracy of a minus accuracy of b, bool[n] on the same problems, and both ends of Newcombe's paired interval.

    Method 10 of Newcombe (1998): Wilson's intervals of both, joined with their correlation. Unlike a bootstrap it does
    not shrink to a point when a and b agree on every problem.
    """
    n = len(correct_a)
    pairs = [(bool(a), bool(b)) for a, b in zip(correct_a, correct_b, strict=True)]
    if n == 0:
        return 0.0, -1.0, 1.0
    rate_a, rate_b = sum(a for a, _ in pairs) / n, sum(b for _, b in pairs) / n
    low_a, high_a = wilson_interval(sum(a for a, _ in pairs), n, confidence=confidence)
    low_b, high_b = wilson_interval(sum(b for _, b in pairs), n, confidence=confidence)
    phi = _phi(*(pairs.count(cell) for cell in ((True, True), (True, False), (False, True), (False, False))))

    def joined(one: float, other: float) -> float:
        return math.sqrt(max(0.0, one * one - 2 * phi * one * other + other * other))

    difference = rate_a - rate_b
    below, above = joined(rate_a - low_a, high_b - rate_b), joined(high_a - rate_a, rate_b - low_b)
    return difference, max(-1.0, difference - below), min(1.0, difference + above)


def _phi(both: int, only_a: int, only_b: int, neither: int) -> float:
    """Newcombe's phi, with his continuity correction of a positive one; 0 where a margin is empty."""
    n = both + only_a + only_b + neither
    margins = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    product = float(both * neither - only_a * only_b)
    if product > 0:
        product = max(0.0, product - n / 2)
    return product / math.sqrt(margins) if margins else 0.0


def accuracy_difference(one: Sequence[Sequence[bool]], other: Sequence[Sequence[bool]]) -> tuple[float, list[float]]:
    """Accuracy of one minus that of the other, bool[n_problems][n_repeats] on the same problems, with an interval.

    The interval is the wider of two: Newcombe's for paired proportions, which does not shrink to a point when both
    agree everywhere, and one by resampling problems, which counts that repeats of a problem are not independent.
    """
    difference, low, high = paired_difference(*([right for row in side for right in row] for side in (one, other)))
    by_problem = np.asarray([np.mean(a) - np.mean(b) for a, b in zip(one, other, strict=True)])
    clustered = ratio_interval(by_problem, np.ones(len(by_problem)), seed=0, n_resamples=_N_PAIR_RESAMPLES)
    if clustered.low is not None and clustered.high is not None:
        low, high = min(low, clustered.low), max(high, clustered.high)
    return difference, [low, high]


def ratio_of_sums(above: Sequence[float], below: Sequence[float]) -> tuple[float, list[float] | None]:
    """Sum of `above` over sum of `below`, measured in pairs, with an interval by resampling the pairs."""
    low, high = ratio_interval(np.asarray(above), np.asarray(below), seed=0, n_resamples=_N_PAIR_RESAMPLES)
    return sum(above) / sum(below), None if low is None or high is None else [low, high]


def totals(values: Floats | Integers, cluster: Integers, n_clusters: int) -> Floats:
    """Sum of the values of each cluster, float[n_clusters]."""
    return np.bincount(cluster, weights=values, minlength=n_clusters).astype(np.float64)


def bootstrap(
    statistic: Callable[[Floats], Floats], n_clusters: int, *, seed: int, n_resamples: int = N_RESAMPLES
) -> Interval:
    """Percentile interval of a statistic over resampled clusters; fewer than two give none.

    The statistic is a function of how often each cluster was drawn, float[n, n_clusters], and is float[n]; NaN where a
    resample leaves it undefined.
    """
    if n_clusters < 2:
        return Interval(None, None)
    rng = np.random.default_rng([seed, 3])
    step = max(1, _MAX_WEIGHTS // n_clusters)
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


def ratio_interval(numerators: Floats, denominators: Floats, *, seed: int, n_resamples: int = N_RESAMPLES) -> Interval:
    """Interval of sum(numerators) / sum(denominators), one of each a cluster; empty denominators do not count."""
    held = denominators > 0
    above, below = numerators[held], denominators[held]
    return bootstrap(
        lambda weights: (weights @ above) / (weights @ below), len(below), seed=seed, n_resamples=n_resamples
    )


def rate_interval(successes: Floats, counts: Floats, *, seed: int) -> Interval:
    """Interval of a rate over clusters; Wilson's, a cluster an observation, where resampling would give a point."""
    n_clusters, total = int((counts > 0).sum()), float(successes.sum())
    if n_clusters >= 2 and total in (0.0, float(counts.sum())):
        return Interval(*wilson_interval(n_clusters if total else 0, n_clusters))
    return ratio_interval(successes, counts, seed=seed)


def design_effect(successes: Floats, counts: Floats) -> float:
    """By how much clustering widens the variance of a rate, against independent observations; 1 where undefined.

    The linearised variance of a ratio over clusters, C / (C - 1) sum (x_c - r n_c)^2 / n^2, divided by r (1 - r) / n
    (Kish 1965; Cochran 1977, chapter 6); successes and counts are float[n_clusters].
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
    """float[n] clustered scores over the design effect (at least 1) of "is among the alpha strangest": their worth."""
    strange = scores > np.quantile(scores, 1.0 - alpha, method="lower")
    counts = totals(np.ones(len(scores)), cluster, n_clusters)
    return len(scores) / max(1.0, design_effect(totals(strange.astype(float), cluster, n_clusters), counts))


def uniformity(p_values: Floats, cluster: Integers, n_clusters: int, alpha: float) -> dict[str, float]:
    """Kolmogorov and Smirnov's distance of float[n] p-values from the uniform law, and its test.

    The test counts effective decisions: p-values of one problem resemble each other, and counting all of them would
    reject any rule.
    """
    n, ordered = len(p_values), np.sort(p_values)
    ranks = np.arange(n)
    distance = float(np.maximum((ranks + 1) / n - ordered, ordered - ranks / n).max())
    worth = effective_n(-p_values, cluster, n_clusters, alpha)
    return {"ks": distance, "ks_p_value": kolmogorov(math.sqrt(worth) * distance), "effective_n": worth}


def band(alpha: float, n: float, z: float) -> tuple[float, float]:
    """Where a rate of n independent decisions lies, z standard errors around alpha."""
    half = z * math.sqrt(alpha * (1.0 - alpha) / n) if n > 0 else 1.0
    return max(0.0, alpha - half), min(1.0, alpha + half)
