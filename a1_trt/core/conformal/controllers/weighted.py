"""Controllers in which some past scores count for more than others."""

from __future__ import annotations

from a1_trt.core.conformal.calibration import CalibrationSet
from a1_trt.core.conformal.controllers.candidate import Candidate, Decision
from a1_trt.core.conformal.controllers.lru import LRU, MAX_CATEGORIES
from a1_trt.core.conformal.controllers.pooled import Mondrian, at_level
from a1_trt.core.conformal.controllers.pools import Pools
from a1_trt.core.conformal.stores import Histogram

_LARGEST = 1e12


class Exponential:
    """A pool per category in which a score counts for half as much after every `half_life` later ones.

    Guarantee: none exactly, since weights that depend on the order of arrival break exchangeability; by Barber, Candes,
    Ramdas and Tibshirani (2023, theorem 2) the plain p-value misses its level by at most the weighted sum of the total
    variation distances between the sequence and the one with the newest and an older score exchanged. That is little
    under a slow drift and nothing for independent scores of one law.

    Args:
        half_life: Decisions of the category after which a score counts for half.
        smoothed: Smoothed p-values.
    """

    def __init__(self, half_life: float, *, smoothed: bool = True) -> None:
        self._smoothed = smoothed
        self._growth = 2.0 ** (1.0 / half_life)
        self._histograms: LRU[str, Histogram] = LRU(MAX_CATEGORIES)
        self._weights: LRU[str, float] = LRU(MAX_CATEGORIES)

    def __len__(self) -> int:
        return sum(map(len, self._histograms.values()))

    def sizes(self) -> dict[str, int]:
        return {name: len(self._histograms[name]) for name in sorted(self._histograms)}

    def decide(self, candidate: Candidate) -> Decision:
        histogram = self._histograms.get(candidate.category)
        greater, equal = (histogram or Histogram()).count(candidate.score)
        weight = self._weights.get(candidate.category, 1.0)
        total = histogram.weight if histogram else 0.0
        draw = candidate.u if self._smoothed else 1.0
        return at_level((greater + draw * (weight + equal)) / (total + weight), candidate.alpha)

    def update(self, candidate: Candidate, decision: Decision) -> None:
        name = candidate.category
        histogram = self._histograms.get(name)
        self._histograms[name] = histogram = Histogram() if histogram is None else histogram
        weight = self._weights.get(name, 1.0)
        histogram.add(candidate.score, weight)
        # Rather than shrinking all old weights each time, the new one grows; once in a while all are scaled back.
        weight *= self._growth
        if weight > _LARGEST:
            histogram.scale(1.0 / weight)
            weight = 1.0
        self._weights[name] = weight


class PerProblem(Mondrian):
    """The pool of the candidate's own problem or, while that is small, of its category: conditional coverage.

    With n scores of the problem in the category, the score is ranked among those with probability w = n / (n + prior),
    and else among all of the category. The draw U decides: below w it is the first, and U / w is the draw for the
    p-value; else (U - w) / (1 - w) is. Either is uniform on (0, 1), whatever was chosen.

    Guarantee: w is no function of the scores' values, so if those of a category are exchangeable, every p-value is
    uniform and the rate is alpha, with any prior and at every n. If only the scores within each problem are, the chance
    of a takeover in a problem is (1 - w) r + w alpha, with r what its category's pool alone would give: the deviation
    from alpha shrinks as prior / (n + prior), from the first sample on. Mondrian alone takes a hard problem over always
    and an easy one never. A mean of the two p-values would follow the score better, and is not uniform.

    Args:
        pools: Empty pools.
        prior: Number of scores of the problem at which both pools are as likely; 0 for the problem's own at once.
    """

    def __init__(self, pools: Pools, prior: float) -> None:
        super().__init__(pools)
        self._prior = prior
        self._own: LRU[tuple[str, str], CalibrationSet] = LRU(MAX_CATEGORIES)

    def decide(self, candidate: Candidate) -> Decision:
        own, u = self._own.get(_problem(candidate)), candidate.u
        share = len(own) / (len(own) + self._prior) if own else 0.0
        if own and u < share:
            p_value = own.p_value(candidate.score, u=self._pools.draw(_inside(u / share)))
        else:
            p_value = self._pools.p_value(candidate.category, candidate.score, _inside((u - share) / (1.0 - share)))
        return at_level(p_value, candidate.alpha)

    def update(self, candidate: Candidate, decision: Decision) -> None:
        """The score enters both pools; problems that no score came from for longest are forgotten."""
        super().update(candidate, decision)
        key = _problem(candidate)
        self._own[key] = own = self._own.get(key, CalibrationSet())
        own.add(candidate.score)


def _problem(candidate: Candidate) -> tuple[str, str]:
    return candidate.problem, candidate.category


def _inside(u: float) -> float:
    """A draw in (0, 1), where rounding has put it on an end."""
    return min(max(u, 2.0**-53), 1.0 - 2.0**-53)
