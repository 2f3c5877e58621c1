"""What a level alpha does to many samples at once, and the ranks of samples that are judged together.

`rejection_set` looks at each p-value by itself: this is why no sample has to wait for another. `ordinal_rank` ranks all
candidates of a turn against each other; it is for the synchronous rule that the conformal one replaces (`Rank`).
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


def ordinal_rank(scores: Sequence[float]) -> tuple[int, ...]:
    """Rank of each candidate among all of them, from 1 for the strangest; of two equal ones the first ranks first.

    Args:
        scores: Nonconformity scores of all candidates of a turn, float64[n_candidates].

    Returns:
        Ranks, int[n_candidates], a permutation of 1..n_candidates.

    Raises:
        CalibrationError: A score is not finite.

    Example:
        >>> ordinal_rank([1.5, 3.0, 1.5])
        (2, 1, 3)
    """
    values = [check_score(score) for score in scores]
    strangest_first = sorted(range(len(values)), key=lambda index: (-values[index], index))
    place = {index: rank for rank, index in enumerate(strangest_first, start=1)}
    return tuple(place[index] for index in range(len(values)))


def _check_alpha(alpha: float) -> None:
    if not 0.0 < alpha < 1.0:
        raise InvalidRequestError(f"alpha is {alpha}", field="alpha", remedy="choose a rate in (0, 1), such as 0.4")
