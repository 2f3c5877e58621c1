"""Controllers to compare with: the published rule, ranks, chance, and a counter that never looks at the score."""

from __future__ import annotations

from collections.abc import Sequence

from a1_trt.core.conformal.calibration import CalibrationSet
from a1_trt.core.conformal.controllers.candidate import Candidate, Decision
from a1_trt.core.conformal.controllers.lru import LRU, MAX_CATEGORIES
from a1_trt.core.conformal.controllers.pooled import at_level
from a1_trt.errors import CalibrationError

_ROUNDING = 1e-12


class _Scoreless:
    """A controller that keeps no scores."""

    def __len__(self) -> int:
        return 0

    def sizes(self) -> dict[str, int]:
        return {}

    def update(self, candidate: Candidate, decision: Decision) -> None:
        pass


class Published:
    """The rule of the published code: take over when the score's percentile among fixed scores is >= 1 - alpha.

    The fixed scores, float64[n], are those of first turns; the percentile is their share that is strictly smaller,
    without the score itself (no +1). Guarantee: none for later turns; for first turns of exchangeable problems, that
    of `Static` up to 1 / n.
    """

    def __init__(self, scores: Sequence[float]) -> None:
        if len(scores) == 0:
            raise CalibrationError(
                "the published rule has no calibration scores",
                field="calibration",
                remedy="give the first-turn scores of other problems, or choose another controller",
            )
        self._scores = CalibrationSet.from_scores(scores)

    def __len__(self) -> int:
        return len(self._scores)

    def sizes(self) -> dict[str, int]:
        return {"first turns": len(self)}

    def decide(self, candidate: Candidate) -> Decision:
        greater, equal = self._scores.count(candidate.score)
        return at_level((greater + equal) / len(self), candidate.alpha + _ROUNDING)

    def update(self, candidate: Candidate, decision: Decision) -> None:
        """The scores are fixed."""


class Rank(_Scoreless):
    """The classical synchronous rule: the strangest round(alpha m) of the m segments that are judged together.

    It needs `admission = "barrier"`, and is no choice for a pair file: a segment that is judged alone is the strangest
    of one. Guarantee: exactly that many takeovers a phase.
    """

    def decide(self, candidate: Candidate) -> Decision:
        """Take over while the rank is within the budget."""
        rank, n_together = candidate.rank
        return at_level(rank / n_together, round(candidate.alpha * n_together) / n_together)


class Chance(_Scoreless):
    """Takes over at rate alpha by chance, whatever the score: what every score must beat.

    Guarantee: takeovers are independent, each with probability alpha.
    """

    def decide(self, candidate: Candidate) -> Decision:
        return at_level(candidate.u, candidate.alpha)


class Counter(_Scoreless):
    """Takes over whenever the running count of its category is behind: it holds any rate and knows nothing.

    Guarantee: in every category the number of takeovers is within 1 of alpha times the decisions, always. A rule that
    is judged by its rate alone is not judged: look at selectivity, too.
    """

    def __init__(self) -> None:
        self._debts: LRU[tuple[str, float], float] = LRU(MAX_CATEGORIES)

    def decide(self, candidate: Candidate) -> Decision:
        """Take over when that leaves the count nearer to where it should be."""
        debt = self._debts.get((candidate.category, candidate.alpha), 0.0)
        behind = debt < candidate.alpha - 0.5
        return Decision(candidate.u, 1.0 if behind else 0.0, behind)

    def update(self, candidate: Candidate, decision: Decision) -> None:
        key = candidate.category, candidate.alpha
        self._debts[key] = self._debts.get(key, 0.0) + decision.takeover - candidate.alpha
