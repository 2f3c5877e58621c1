"""Controllers whose level moves, so that the rate holds whatever the scores do."""

from __future__ import annotations

from dataclasses import dataclass, field

from a1_trt.core.conformal.controllers.candidate import Candidate, Decision
from a1_trt.core.conformal.controllers.lru import MOST_ALPHAS, MOST_CATEGORIES, Recent
from a1_trt.core.conformal.controllers.pooled import Growing, Mondrian, at_level
from a1_trt.core.conformal.controllers.pools import Pools


@dataclass(slots=True)
class Terms:
    """What is added to alpha: one term for all decisions, and one per category."""

    shared: float = 0.0
    by_category: Recent[str, float] = field(default_factory=lambda: Recent(MOST_CATEGORIES))


class AlphaTerms:
    """The terms of each alpha; of very many alphas, those least recently used start anew."""

    def __init__(self) -> None:
        self._terms: Recent[float, Terms] = Recent(MOST_ALPHAS)

    def of(self, alpha: float) -> Terms:
        """The terms of an alpha; looking changes nothing."""
        return self._terms.get(alpha) or Terms()

    def use(self, alpha: float) -> Terms:
        """The same, to be changed."""
        self._terms[alpha] = terms = self.of(alpha)
        return terms


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
        self._terms = AlphaTerms()

    def decide(self, candidate: Candidate) -> Decision:
        """Take over when the p-value is at most the level."""
        p_value = self._pools.p_value(self.category(candidate), candidate.score, candidate.u)
        return at_level(p_value, candidate.alpha + self._terms.of(candidate.alpha).shared)

    def update(self, candidate: Candidate, decision: Decision) -> None:
        """The level moves, and the score enters."""
        terms = self._terms.use(candidate.alpha)
        terms.shared += self._step * scale_of(candidate.alpha) * (candidate.alpha - decision.takeover)
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
        self._terms = AlphaTerms()

    def decide(self, candidate: Candidate) -> Decision:
        """Take over when the p-value is at most the level."""
        p_value = self._pools.p_value(candidate.category, candidate.score, candidate.u)
        terms = self._terms.of(candidate.alpha)
        level = candidate.alpha + terms.by_category.get(candidate.category, 0.0) + terms.shared
        return at_level(p_value, level)

    def update(self, candidate: Candidate, decision: Decision) -> None:
        """Both terms move, and the score enters."""
        terms, scale = self._terms.use(candidate.alpha), scale_of(candidate.alpha)
        missed = candidate.alpha - decision.takeover
        moved = terms.by_category.get(candidate.category, 0.0) + self._category_step * scale * missed
        terms.by_category[candidate.category] = min(max(moved, -self._clip * scale), self._clip * scale)
        terms.shared += self._step * scale * missed
        super().update(candidate, decision)
