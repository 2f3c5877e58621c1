"""What a level alpha does to many samples at once, and the classical rule that has to see them all.

`rejection_set` looks at each p-value by itself: this is why no sample has to wait for another. `worst` ranks all
candidates of a turn against each other; it is the synchronous rule that the conformal one replaces, kept as a baseline.
"""

from __future__ import annotations

from collections.abc import Sequence

from a1_trt.core.conformal.scores import check_score
from a1_trt.errors import InvalidRequestError


def rejection_set(p_values: Sequence[float], alpha: float) -> tuple[int, ...]:
    """The samples that the target takes over at level alpha: those with p <= alpha.

    Args:
        p_values: Conformal p-values, float64[n_samples].
        alpha: Rejection rate in (0, 1).

    Returns:
        Indices in increasing order, int[n_rejected].

    Raises:
        InvalidRequestError: alpha is not in (0, 1).

    Example:
        >>> rejection_set([0.9, 0.4, 0.1], alpha=0.4)
        (1, 2)
    """
    if not 0.0 < alpha < 1.0:
        raise InvalidRequestError(f"alpha is {alpha}", field="alpha", remedy="choose a rate in (0, 1), such as 0.4")
    return tuple(index for index, p in enumerate(p_values) if p <= alpha)


def worst(scores: Sequence[float], budget: int) -> tuple[int, ...]:
    """The classical, synchronous rule: the `budget` strangest of all candidates of a turn.

    It takes over exactly B candidates, but can decide on none of them before the slowest one is there.

    Args:
        scores: Nonconformity scores of all candidates of a turn, float64[n_candidates].
        budget: How many the target takes over, B, from 0 to n_candidates.

    Returns:
        Indices in increasing order, int[budget]; ties go to the smaller index.

    Raises:
        InvalidRequestError: budget is not a whole number from 0 to n_candidates.
        CalibrationError: A score is not finite.

    Example:
        >>> worst([1.5, 3.0, 1.5], budget=2)
        (0, 1)
    """
    if isinstance(budget, bool) or not isinstance(budget, int) or not 0 <= budget <= len(scores):
        raise InvalidRequestError(
            f"budget is {budget!r}", field="budget", remedy=f"give a whole number from 0 to {len(scores)}"
        )
    values = [check_score(score) for score in scores]
    strangest_first = sorted(range(len(values)), key=lambda index: (-values[index], index))
    return tuple(sorted(strangest_first[:budget]))
