"""Controllers whose level moves, so that the rate holds whatever the scores do."""

from __future__ import annotations

from a1_trt.core.conformal.controllers.candidate import Candidate, Decision
from a1_trt.core.conformal.controllers.lru import LRU, MAX_ALPHAS, MAX_CATEGORIES
from a1_trt.core.conformal.controllers.pooled import Growing, Mondrian, at_level
from a1_trt.core.conformal.controllers.pools import Pools


def scale_of(alpha: float) -> float:
    """How steps shrink towards the ends: min(alpha, 1 - alpha) / 0.4.

    With one step size for all, a rate of 0.05 would be held by steps as large as itself, and the score would hardly
    matter any more.

    Example:
        >>> scale_of(0.4), round(scale_of(0.05), 3)
        (1.0, 0.125)
    """
    return min(alpha, 1.0 - alpha) / 0.4


class Adaptive(Growing):
    """One growing pool and an adaptive level (adaptive conformal inference: Gibbs and Candes 2021).

    Take over when p <= alpha + t; afterwards t grows by step (alpha - x), where x is 1 for a takeover and else 0.

    Guarantee, for any sequence of scores at all: |mean of x over T decisions - alpha| <= (max(alpha, 1 - alpha) + g) /
    (g T), with g the step (proposition 4.1 there; a level outside [0, 1] means always, or never).

    Args:
        pools: Empty pools.
        step: Step size at alpha = 0.4; see `scale_of`.
    """

    def __init__(self, pools: Pools, step: float) -> None:
        super().__init__(pools)
        self._step = step
        self._terms: LRU[float, float] = LRU(MAX_ALPHAS)

    def decide(self, candidate: Candidate) -> Decision:
        p_value = self._pools.p_value(self.category(candidate), candidate.score, candidate.u)
        return at_level(p_value, candidate.alpha + self._terms.get(candidate.alpha, 0.0))

    def update(self, candidate: Candidate, decision: Decision) -> None:
        alpha = candidate.alpha
        self._terms[alpha] = self._terms.get(alpha, 0.0) + self._step * scale_of(alpha) * (alpha - decision.takeover)
        super().update(candidate, decision)


class TwoLevel(Mondrian):
    """A pool and a slow term per category, and a fast term shared by all: the default.

    Take over when p <= alpha + t_category + t_shared. After the decision x in {0, 1}

        t_category += g_c (alpha - x), clipped to [-c, c]        t_shared += g (alpha - x)

    The category's term corrects a bucket whose scores drift; the shared one holds the rate over a short horizon.

    Guarantee, for any sequence of scores at all, at every T:

        |mean of x - alpha| <= (max(1 - alpha + g alpha, alpha + g (1 - alpha)) + c) / (g T)

    17.4 / T at alpha = 0.40 with g = 0.05 and c = 0.25 (docs/statistics.md has the proof, which needs the clip and
    nothing about g_c). Under exchangeable scores the terms stay near 0 and the p-value decides.

    Args:
        pools: Empty pools.
        step: g at alpha = 0.4; see `scale_of`, by which all three are scaled.
        category_step: g_c, likewise.
        clip: c, likewise.

    Example:
        >>> controller = TwoLevel(Pools(), step=0.05, category_step=0.02, clip=0.25)
        >>> asked = Candidate(score=1.5, category="turn 1", problem="p", alpha=0.4, u=0.3)
        >>> decision = controller.decide(asked)
        >>> controller.update(asked, decision)
        >>> round(controller.decide(asked).level, 3)  # lower, after a takeover: 0.4 - (0.05 + 0.02) 0.6
        0.358
    """

    def __init__(self, pools: Pools, *, step: float, category_step: float, clip: float) -> None:
        super().__init__(pools)
        self._step = step
        self._category_step = category_step
        self._clip = clip
        self._shared: LRU[float, float] = LRU(MAX_ALPHAS)
        self._by_category: LRU[float, LRU[str, float]] = LRU(MAX_ALPHAS)

    def decide(self, candidate: Candidate) -> Decision:
        p_value = self._pools.p_value(candidate.category, candidate.score, candidate.u)
        alpha = candidate.alpha
        of_category = self._terms_of(alpha).get(candidate.category, 0.0)
        return at_level(p_value, alpha + of_category + self._shared.get(alpha, 0.0))

    def update(self, candidate: Candidate, decision: Decision) -> None:
        alpha, scale = candidate.alpha, scale_of(candidate.alpha)
        missed = alpha - decision.takeover
        terms = self._terms_of(alpha)
        moved = terms.get(candidate.category, 0.0) + self._category_step * scale * missed
        terms[candidate.category] = min(max(moved, -self._clip * scale), self._clip * scale)
        self._by_category[alpha] = terms
        self._shared[alpha] = self._shared.get(alpha, 0.0) + self._step * scale * missed
        super().update(candidate, decision)

    def _terms_of(self, alpha: float) -> LRU[str, float]:
        return self._by_category.get(alpha) or LRU(MAX_CATEGORIES)
