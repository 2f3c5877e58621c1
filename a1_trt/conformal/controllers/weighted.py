"""Controllers in which some past scores count for more than others."""

from __future__ import annotations

from a1_trt.conformal.calibration import CalibrationSet
from a1_trt.conformal.controllers.candidate import Candidate, Decision
from a1_trt.conformal.controllers.pooled import Mondrian, at_level
from a1_trt.conformal.controllers.pools import Pools
from a1_trt.conformal.controllers.recent import MOST_CATEGORIES, Recent
from a1_trt.conformal.stores import Histogram

_LARGEST = 1e12


class Exponential:
    """A pool per category in which a score counts for half as much after every `half_life` later ones.

    Guarantee: none exactly, since weights that depend on the order of arrival break exchangeability; by Barber, Candes,
    Ramdas and Tibshirani (2023, theorem 2) the plain p-value misses its level by at most the weighted sum of the total
    variation distances between the sequence and the one with the newest and an older score exchanged. That is little
    under a slow drift and nothing for independent scores of one law.

    Args:
        half_life: Decisions of the category after which a score counts for half.
    """

    def __init__(self, half_life: float) -> None:
        self._growth = 2.0 ** (1.0 / half_life)
        self._histograms: Recent[str, Histogram] = Recent(MOST_CATEGORIES)
        self._weights: Recent[str, float] = Recent(MOST_CATEGORIES)

    def __len__(self) -> int:
        return sum(len(each) for each in self._histograms.values())

    def sizes(self) -> dict[str, int]:
        """Scores by category."""
        return {name: len(self._histograms[name]) for name in sorted(self._histograms)}

    def decide(self, candidate: Candidate) -> Decision:
        """Take over when the weighted p-value is <= alpha."""
        histogram = self._histograms.get(candidate.category)
        greater, equal = (histogram or Histogram()).count(candidate.score)
        weight = self._weights.get(candidate.category, 1.0)
        total = histogram.weight if histogram else 0.0
        return at_level((greater + candidate.u * (weight + equal)) / (total + weight), candidate.alpha)

    def update(self, candidate: Candidate, decision: Decision) -> None:
        """The score enters with the weight of the newest one."""
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
    """The pool of the candidate's own problem, shrunk towards the pool of its category (conditional coverage).

    The n scores of the problem count 1 each and those of the category together `prior`, whatever their number: the
    p-value starts as the category's and becomes the problem's own,

        p = (G_p + prior g_c + U (1 + E_p + prior e_c)) / (n + prior + 1),

    with G, E the numbers of greater and equal scores in the problem and g, e their shares in the category. Without it,
    a hard problem is always taken over and an easy one never.

    Guarantee: with `prior` = 0, that of `Growing` within each problem; with a prior the p-value is a mixture, exactly
    uniform only where the problem's scores and the category's have one law. The rate within a problem tends to alpha
    as 1 / (n + prior) where its own scores are exchangeable.

    Args:
        pools: Empty pools.
        prior: Number of scores that the category's pool stands for.
    """

    def __init__(self, pools: Pools, prior: float) -> None:
        super().__init__(pools)
        self._prior = prior
        self._problems: Recent[str, CalibrationSet] = Recent(MOST_CATEGORIES)

    def decide(self, candidate: Candidate) -> Decision:
        """Take over when the shrunken p-value is <= alpha."""
        own = self._problems.get(candidate.problem, CalibrationSet())
        greater, equal = (float(n) for n in own.count(candidate.score))
        shared = self._pools.stores.get(candidate.category)
        prior = self._prior if shared else 0.0
        if shared:
            above, beside = shared.count(candidate.score)
            greater += prior * above / len(shared)
            equal += prior * beside / len(shared)
        draw = self._pools.draw(candidate.u)
        part = equal + 1.0 if draw is None else draw * (equal + 1.0)
        return at_level((greater + part) / (len(own) + prior + 1.0), candidate.alpha)

    def update(self, candidate: Candidate, decision: Decision) -> None:
        """The score enters both pools; problems that nobody has asked for longest are forgotten."""
        super().update(candidate, decision)
        self._problems[candidate.problem] = own = self._problems.get(candidate.problem, CalibrationSet())
        own.add(candidate.score)
