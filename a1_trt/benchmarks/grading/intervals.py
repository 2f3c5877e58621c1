"""How sure a share of right answers is, and a difference of two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist


def wilson_interval(n_correct: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a proportion; (0, 1) where nothing was observed.

    Example:
        >>> low, high = wilson_interval(8, 10)
        >>> round(low, 3), round(high, 3)
        (0.49, 0.943)
    """
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
    """Accuracy of a minus accuracy of b on the same problems, with Newcombe's interval for paired proportions.

    Method 10 of Newcombe (1998): Wilson's intervals of both, joined with their correlation. Unlike a bootstrap it does
    not shrink to a point when a and b agree on every problem.

    Args:
        correct_a: Whether a solved each problem, bool[n].
        correct_b: The same of b, in the same order.
        confidence: Level of the interval.

    Returns:
        Difference, lower and upper end.

    Raises:
        ValueError: The two differ in length.

    Example:
        >>> difference, low, high = paired_difference([True] * 9 + [False], [True] * 8 + [False] * 2)
        >>> round(difference, 3), low < difference < high
        (0.1, True)
    """
    n = len(correct_a)
    pairs = [(bool(a), bool(b)) for a, b in zip(correct_a, correct_b, strict=True)]
    if n == 0:
        return 0.0, -1.0, 1.0
    rate_a, rate_b = sum(a for a, _ in pairs) / n, sum(b for _, b in pairs) / n
    low_a, high_a = wilson_interval(sum(a for a, _ in pairs), n, confidence=confidence)
    low_b, high_b = wilson_interval(sum(b for _, b in pairs), n, confidence=confidence)
    phi = _correlation(*(pairs.count(cell) for cell in ((True, True), (True, False), (False, True), (False, False))))
    below = _joined(rate_a - low_a, high_b - rate_b, phi)
    above = _joined(high_a - rate_a, rate_b - low_b, phi)
    difference = rate_a - rate_b
    return difference, max(-1.0, difference - below), min(1.0, difference + above)


def _joined(one: float, other: float, phi: float) -> float:
    return math.sqrt(max(0.0, one * one - 2 * phi * one * other + other * other))


def _correlation(both: int, only_a: int, only_b: int, neither: int) -> float:
    """Newcombe's phi, with his continuity correction of a positive one; 0 where a margin is empty."""
    n = both + only_a + only_b + neither
    margins = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    product = float(both * neither - only_a * only_b)
    if product > 0:
        product = max(0.0, product - n / 2)
    return product / math.sqrt(margins) if margins else 0.0
