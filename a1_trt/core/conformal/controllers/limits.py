"""Hard limits around any controller: they hold for every sequence of scores, and say when they acted."""

from __future__ import annotations

from dataclasses import replace

from a1_trt.core.conformal.controllers.candidate import Candidate, Controller, Decision
from a1_trt.core.conformal.controllers.lru import LRU, MAX_ALPHAS


class _Limit:
    def __init__(self, inner: Controller) -> None:
        self._inner = inner

    def __len__(self) -> int:
        return len(self._inner)

    def sizes(self) -> dict[str, int]:
        return self._inner.sizes()

    def update(self, candidate: Candidate, decision: Decision) -> None:
        self._inner.update(candidate, decision)


class Debt(_Limit):
    """Keeps the running sum d of (takeover - alpha) within [-D, D].

    A takeover that would bring d above D is not made, and an acceptance that would bring it below -D becomes a
    takeover. Both cannot be asked at once, since they are 1 apart and D >= 1/2. Hence, for any sequence at all, the
    overall rate is within D / T of alpha and that of any window of W decisions within 2 D / W.

    Args:
        inner: The controller inside.
        most: D, at least 0.5.

    Example:
        >>> from a1_trt.core.conformal.controllers.baselines import Chance
        >>> controller = Debt(Chance(), most=0.5)
        >>> asked = Candidate(score=1.0, category="all", problem="p", alpha=0.4, u=0.1)
        >>> controller.decide(asked)  # one takeover would be 0.6 too many
        Decision(p_value=0.1, level=0.4, takeover=False, forced='debt')
    """

    def __init__(self, inner: Controller, most: float) -> None:
        super().__init__(inner)
        self._most = most
        self._debts: LRU[float, float] = LRU(MAX_ALPHAS)

    def decide(self, candidate: Candidate) -> Decision:
        decision = self._inner.decide(candidate)
        debt = self._debts.get(candidate.alpha, 0.0)
        if decision.takeover and debt + 1.0 - candidate.alpha > self._most:
            return replace(decision, takeover=False, forced="debt")
        if not decision.takeover and debt - candidate.alpha < -self._most:
            return replace(decision, takeover=True, forced="debt")
        return decision

    def update(self, candidate: Candidate, decision: Decision) -> None:
        self._debts[candidate.alpha] = self._debts.get(candidate.alpha, 0.0) + decision.takeover - candidate.alpha
        super().update(candidate, decision)


class Budget(_Limit):
    """Exactly B takeovers among the m samples of a problem's turn, without waiting for any of them.

    With `used` takeovers among the `seen` samples so far, take over when p <= (B - used) / (m - seen): the last ones
    are forced either way. For independent uniform p-values each sample is taken over with probability B / m. Where
    samples have ended before the turn, fewer than m are seen, and then at most B are taken over.

    It replaces the level of the controller inside, whose p-value it uses; candidates without a quota pass. The caller
    keeps count (`Candidate.quota`), so that two runs of one problem do not share a budget.

    Example:
        >>> from a1_trt.core.conformal.controllers.baselines import Chance
        >>> asked = Candidate(score=1.0, category="all", problem="p", alpha=0.4, u=0.9, quota=(2, 2))
        >>> Budget(Chance()).decide(asked)  # two takeovers left for two samples
        Decision(p_value=0.9, level=1.0, takeover=True, forced='budget')
    """

    def decide(self, candidate: Candidate) -> Decision:
        decision = self._inner.decide(candidate)
        if candidate.quota is None:
            return decision
        takeovers_left, samples_left = candidate.quota
        level = takeovers_left / samples_left
        takeover = takeovers_left > 0 and decision.p_value <= level  # the published rule's p may be 0
        forced = "budget" if takeover != decision.takeover else decision.forced
        return Decision(decision.p_value, level, takeover, forced)
