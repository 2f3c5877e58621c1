"""Controllers with a level that never moves: take over when the p-value among past scores is <= alpha."""

from __future__ import annotations

from collections import deque

from a1_trt.core.conformal.controllers.candidate import Candidate, Decision
from a1_trt.core.conformal.controllers.lru import LRU, MAX_CATEGORIES
from a1_trt.core.conformal.controllers.pools import ALL, Pools


def at_level(p_value: float, level: float) -> Decision:
    return Decision(p_value, level, p_value <= level)


class Growing:
    """One pool for all scores; every score joins it (the paper's online calibration).

    Guarantee: if all scores are exchangeable, the smoothed p-values are independent and uniform, so the number of
    takeovers in T decisions is binomial(T, alpha) (Vovk 2002). Between turns and problems scores are not exchangeable,
    and then nothing is promised. Equals `Mondrian` with a single category.

    Example:
        >>> controller = Growing(Pools())
        >>> asked = Candidate(score=1.5, category="turn 1", problem="p", alpha=0.4, u=0.3)
        >>> controller.decide(asked)
        Decision(p_value=0.3, level=0.4, takeover=True, forced=None)
    """

    def __init__(self, pools: Pools) -> None:
        self._pools = pools

    def __len__(self) -> int:
        return len(self._pools)

    def sizes(self) -> dict[str, int]:
        return self._pools.sizes()

    def category(self, candidate: Candidate) -> str:
        """The pool that a candidate belongs to."""
        return ALL

    def decide(self, candidate: Candidate) -> Decision:
        return at_level(self._pools.p_value(self.category(candidate), candidate.score, candidate.u), candidate.alpha)

    def update(self, candidate: Candidate, decision: Decision) -> None:
        self._pools.add(self.category(candidate), candidate.score)


class Mondrian(Growing):
    """A pool per category, each growing (Mondrian conformal prediction: Vovk, Gammerman and Shafer 2005, chapter 4).

    Guarantee: that of `Growing` in every category by itself, if the scores within a category are exchangeable.
    """

    def category(self, candidate: Candidate) -> str:
        return candidate.category


class Static(Mondrian):
    """Pools that stay as they are; a category without scores is ranked among all of them.

    Guarantee: a p-value is uniform if its score and its pool are exchangeable, but all share the luck of one pool: with
    n scores the rate is off by about sqrt(alpha (1 - alpha) / (n + 2)) for good.
    """

    def decide(self, candidate: Candidate) -> Decision:
        if candidate.category in self._pools.stores:
            return super().decide(candidate)
        return at_level(self._pools.pooled_p_value(candidate.score, candidate.u), candidate.alpha)

    def update(self, candidate: Candidate, decision: Decision) -> None:
        """The pools are fixed."""


class Window(Mondrian):
    """A pool per category that holds its latest `length` scores only, so that it follows a slow drift.

    Guarantee: if any n + 1 consecutive scores of a category are exchangeable, each p-value is uniform; they are not
    independent, since consecutive windows overlap.
    """

    def __init__(self, pools: Pools, length: int) -> None:
        super().__init__(pools)
        self._length = length
        self._latest: LRU[str, deque[float]] = LRU(MAX_CATEGORIES)

    def update(self, candidate: Candidate, decision: Decision) -> None:
        super().update(candidate, decision)
        # As the pools do, so that both forget the same categories.
        self._latest[candidate.category] = latest = self._latest.get(candidate.category, deque())
        latest.append(candidate.score)
        if len(latest) > self._length:
            self._pools.remove(candidate.category, latest.popleft())
