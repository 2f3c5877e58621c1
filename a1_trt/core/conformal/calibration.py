"""Past scores, and the p-value of a new one: its rank among them.

The set is exact, nothing is binned or forgotten, and grows by one score at a time; ranking and adding take a few
microseconds at any size (a `SortedList`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from sortedcontainers import SortedList

from a1_trt.core.conformal.scores import check_score
from a1_trt.core.conformal.sets import rejection_set
from a1_trt.errors import CalibrationError, InvalidRequestError


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How held-out scores fare against a fixed calibration set.

    Args:
        n: Held-out scores.
        n_calibration: Scores in the calibration set.
        rejection_rate: Share of the held-out scores with smoothed p-value <= alpha.
        standard_error: Standard error of `rejection_rate` around alpha if all scores are independent draws of one law.
            It counts the luck of the calibration set too: a set of n scores puts its threshold off by about
            sqrt(alpha (1 - alpha) / (n + 2)), however many scores are held out.
        ks_statistic: Largest distance between the distribution of the smoothed p-values and the uniform one.
        ks_p_value: Probability of a distance this large if all scores are independent draws of one law.
    """

    n: int
    n_calibration: int
    rejection_rate: float
    standard_error: float
    ks_statistic: float
    ks_p_value: float


class CalibrationSet:
    """Nonconformity scores to rank a new one among.

    Example:
        >>> calibration = CalibrationSet.from_scores([1.0, 2.0, 2.0, 4.0])
        >>> calibration.p_value(2.0)
        0.8
        >>> calibration.p_value(2.0, u=0.5)
        0.5
    """

    def __init__(self) -> None:
        self._scores = SortedList()

    @classmethod
    def from_scores(cls, scores: Iterable[float]) -> Self:
        """A set of these scores, float64[n], in any order; a `CalibrationError` if one is not finite."""
        calibration = cls()
        calibration._scores.update([check_score(score) for score in scores])
        return calibration

    def __len__(self) -> int:
        return len(self._scores)

    @property
    def scores(self) -> tuple[float, ...]:
        """The scores, float64[n], in increasing order."""
        return tuple(self._scores)

    def add(self, score: float) -> None:
        """Let a score enter; a `CalibrationError` if it is not finite."""
        self._scores.add(check_score(score))

    def remove(self, score: float) -> None:
        """Let one such score leave; it must be there."""
        self._scores.remove(check_score(score))

    def count(self, score: float) -> tuple[int, int]:
        """How many scores are greater than this one, and how many equal it.

        Example:
            >>> CalibrationSet.from_scores([1.0, 2.0, 2.0, 4.0]).count(2.0)
            (1, 2)
        """
        value = check_score(score)
        below_or_equal: int = self._scores.bisect_right(value)
        # To look for a tie is cheaper than a second rank, and most scores have none.
        n_equal = below_or_equal - self._scores.bisect_left(value) if value in self._scores else 0
        return len(self) - below_or_equal, n_equal

    def p_value(self, score: float, *, u: float | None = None) -> float:
        """The share of scores, the new one among them, that are at least as strange as the new one, in (0, 1].

        Args:
            score: The new score; it does not enter the set.
            u: None for the plain p-value, which is 1.0 of an empty set; a uniform draw in (0, 1) for the smoothed one,
                which breaks ties by chance and is exactly uniform under exchangeability.

        Example:
            >>> CalibrationSet.from_scores([1.0, 2.0, 4.0]).p_value(3.0)
            0.5
        """
        greater, equal = self.count(score)
        return p_value_of_counts(greater, equal, len(self), u=u)

    def evaluate(self, held_out: Sequence[float], alpha: float, us: Sequence[float]) -> Evaluation:
        """Check the set on scores that are not in it; the set stays as it is.

        The p-values of many scores against *one* set share its luck: they are uniform, but not independent. The test
        accounts for that by its effective size n_calibration n / (n_calibration + n), as the two-sample test does.

        Args:
            held_out: Scores of other problems than the set's, float64[n].
            alpha: Rejection rate in (0, 1).
            us: Uniform draws in (0, 1) for the smoothed p-values, float64[n].

        Raises:
            CalibrationError: The set is empty, there is no held-out score, or one is not finite.

        Example:
            >>> calibration = CalibrationSet.from_scores([1.0, 2.0, 3.0])
            >>> calibration.evaluate([1.5, 3.5], alpha=0.4, us=[0.5, 0.5]).rejection_rate
            0.5
        """
        n, n_calibration = len(held_out), len(self)
        if not n or not n_calibration:
            raise CalibrationError(
                f"{n} held-out scores cannot be evaluated against {n_calibration} calibration scores",
                field="held_out",
                remedy="give at least one of each; hundreds for a verdict",
            )
        if len(us) != n:
            raise InvalidRequestError(f"{len(us)} draws for {n} scores", field="us", remedy="give one draw a score")
        p_values = [self.p_value(score, u=u) for score, u in zip(held_out, us, strict=True)]
        distance = _distance_from_uniform(p_values)
        effective = n_calibration * n / (n_calibration + n)
        return Evaluation(
            n=n,
            n_calibration=n_calibration,
            rejection_rate=len(rejection_set(p_values, alpha)) / n,
            standard_error=math.sqrt(alpha * (1.0 - alpha) * (1.0 / n + 1.0 / (n_calibration + 2))),
            ks_statistic=distance,
            ks_p_value=kolmogorov(math.sqrt(effective) * distance),
        )


def p_value_of_counts(greater: float, equal: float, n: float, *, u: float | None = None) -> float:
    """The p-value of a score among n, of which `greater` are greater and `equal` are equal to it; see `p_value`.

    Example:
        >>> p_value_of_counts(1, 2, 4), p_value_of_counts(1, 2, 4, u=0.5)
        (0.8, 0.5)
    """
    if u is None:
        return (1 + greater + equal) / (n + 1)
    if not 0.0 < u < 1.0:
        raise InvalidRequestError(f"u is {u}", field="u", remedy="draw it uniformly from (0, 1), both ends excluded")
    # A subnormal u would round to 0 here, and a p-value is never 0.
    return max((greater + u * (1 + equal)) / (n + 1), math.ulp(0.0))


def kolmogorov(x: float) -> float:
    """P(K > x) of Kolmogorov's distribution: the limit of sqrt(n) times the distance of n uniform draws.

    Example:
        >>> round(kolmogorov(1.358), 3)
        0.05
    """
    if x <= 0.0:
        return 1.0
    if x < 1.0:  # The usual series converges slowly here; this is its theta-function twin.
        terms = (math.exp(-(((2 * k - 1) * math.pi / x) ** 2) / 8.0) for k in range(1, 6))
        return 1.0 - math.sqrt(2.0 * math.pi) / x * math.fsum(terms)
    return 2.0 * math.fsum((-1) ** (k - 1) * math.exp(-2.0 * (k * x) ** 2) for k in range(1, 6))


def _distance_from_uniform(p_values: Sequence[float]) -> float:
    n = len(p_values)
    return max(max((rank + 1) / n - p, p - rank / n) for rank, p in enumerate(sorted(p_values)))
