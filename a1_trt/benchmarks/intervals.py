"""How sure a figure is: percentiles, pass@k, and intervals by resampling what is independent."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from a1_trt.benchmarks.grading import paired_difference

N_RESAMPLES = 4000
_TAILS = (2.5, 97.5)


def percentiles(values: Sequence[float]) -> dict[str, float | None]:
    """Median, 95th and 99th percentile and mean; None where there is no value.

    Example:
        >>> percentiles([1.0, 2.0, 3.0])["p50"]
        2.0
    """
    if not values:
        return {"p50": None, "p95": None, "p99": None, "mean": None}
    p50, p95, p99 = np.percentile(values, (50, 95, 99))
    return {"p50": float(p50), "p95": float(p95), "p99": float(p99), "mean": float(np.mean(values))}


def pass_at_k(n: int, n_right: int, k: int) -> float:
    """Chance that one of k samples is right, when n_right of n were: unbiased (Chen et al. 2021, arXiv 2107.03374).

    Example:
        >>> pass_at_k(4, 1, 1), pass_at_k(4, 1, 4)
        (0.25, 1.0)
    """
    return 1.0 - math.comb(n - n_right, k) / math.comb(n, k)


def mean_interval(values: Sequence[float]) -> tuple[float | None, list[float] | None]:
    """Mean of independent values and its 95 % interval, by resampling them; None where there are too few.

    Example:
        >>> mean_interval([0.5])
        (0.5, None)
    """
    if not values:
        return None, None
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, None
    drawn = np.asarray(values)[_draws(len(values))].mean(axis=1)
    return mean, _interval(drawn)


def ratio_of_sums(above: Sequence[float], below: Sequence[float]) -> tuple[float, list[float] | None]:
    """Sum of `above` over sum of `below`, measured in pairs, with a 95 % interval by resampling the pairs.

    Example:
        >>> ratio_of_sums([4.0, 6.0], [2.0, 3.0])
        (2.0, [2.0, 2.0])
    """
    ratio = sum(above) / sum(below)
    if len(above) < 2:
        return ratio, None
    draws = _draws(len(above))
    drawn = np.asarray(above)[draws].sum(axis=1) / np.asarray(below)[draws].sum(axis=1)
    return ratio, _interval(drawn)


def accuracy_difference(one: Sequence[Sequence[bool]], other: Sequence[Sequence[bool]]) -> tuple[float, list[float]]:
    """Accuracy of one minus that of the other on the same problems, with a 95 % interval.

    Args:
        one: Right or wrong, bool[n_problems][n_repeats].
        other: Likewise, in the same order.

    The interval is the wider of two: Newcombe's for paired proportions, which does not shrink to a point when both
    agree everywhere, and one by resampling problems, which counts that repeats of a problem are not independent.

    Example:
        >>> difference, (low, high) = accuracy_difference([[True], [True]], [[True], [False]])
        >>> difference, low < 0.5 < high
        (0.5, True)
    """
    flat = [[right for repeats in each for right in repeats] for each in (one, other)]
    difference, low, high = paired_difference(*flat)
    per_problem = [float(np.mean(a)) - float(np.mean(b)) for a, b in zip(one, other, strict=True)]
    _, clustered = mean_interval(per_problem)
    if clustered is not None:
        low, high = min(low, clustered[0]), max(high, clustered[1])
    return difference, [low, high]


def _draws(n: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    # The same draws every time: a report of the same data says the same.
    return np.random.default_rng(0).integers(0, n, size=(N_RESAMPLES, n))


def _interval(drawn: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> list[float]:
    low, high = np.percentile(drawn, _TAILS)
    return [float(low), float(high)]
