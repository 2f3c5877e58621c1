"""Whether scores come at all: what the last score calls of all problems came to."""

from __future__ import annotations

from collections import deque

from a1_trt.errors import ScoringUnavailable

WINDOW = 200  # score calls that are looked at, over all problems
FEWEST = 20  # score calls before their share says anything; scores in a row after which scoring is available again
OWN = 4  # failed scores after which a problem that has got none at all is given up


class Scoring:
    """The share of failed score calls, and what follows where it is too high.

    Scoring is unavailable from when more than `max_unscored` of the last `WINDOW` score calls (of `FEWEST` at least)
    have failed, until `FEWEST` in a row have given a score; then it starts again with nothing. Empty segments and full
    contexts ask nothing of the scorer and do not count.

    Args:
        max_unscored: Largest share, in [0, 1]; 1 lets every share pass.

    Example:
        >>> scoring = Scoring(0.05)
        >>> for _ in range(FEWEST):
        ...     scoring.add(scored=False)
        >>> scoring.is_available, scoring.share
        (False, 1.0)
        >>> for _ in range(FEWEST):
        ...     scoring.add(scored=True)
        >>> scoring.is_available, scoring.share
        (True, 0.0)
    """

    def __init__(self, max_unscored: float = 0.05) -> None:
        self.max_unscored = max_unscored
        self.is_available = True
        self._outcomes: deque[bool] = deque(maxlen=WINDOW)
        self._n_in_a_row = 0

    @property
    def share(self) -> float:
        """Share of the last score calls that failed; 0 where there was none."""
        return self._outcomes.count(False) / len(self._outcomes) if self._outcomes else 0.0

    def add(self, *, scored: bool) -> None:
        self._n_in_a_row = self._n_in_a_row + 1 if scored else 0
        if not self.is_available and self._n_in_a_row >= FEWEST:
            self._outcomes.clear()
            self.is_available = True
            return
        self._outcomes.append(scored)
        if not scored and len(self._outcomes) >= FEWEST and self.share > self.max_unscored:
            self.is_available = False

    def verdict(self, *, has_scores: bool, n_failed: int) -> ScoringUnavailable | None:
        """What ends a problem whose score has just failed: the state of all, or that it got no score itself."""
        if not self.is_available:
            message = f"{100 * self.share:.0f} % of the last segments could not be scored"
        elif self.max_unscored < 1 and not has_scores and n_failed >= OWN:
            message = f"none of the problem's {n_failed} segments could be scored"
        else:
            return None
        return ScoringUnavailable(
            message, role="target", field="max_unscored", remedy="see why the target does not score, or try again later"
        )
