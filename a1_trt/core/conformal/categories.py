"""Which past scores a new one is ranked among, and what a budget of takeovers means as a rate."""

from __future__ import annotations

from typing import Literal

from a1_trt.errors import InvalidRequestError

Category = Literal["none", "turn", "problem"]


def category_of(kind: Category, turn: int, problem_id: str) -> str:
    """The category a score belongs to: it is ranked among earlier scores of that category only.

    Args:
        kind: "none" (one category for all scores), "turn" (buckets 1, 2, 3, 4-6 and 7+, counted from 1 as people do) or
            "problem".
        turn: Turn of the sample, from 0.
        problem_id: Name of the problem.

    Raises:
        InvalidRequestError: Another kind, or a turn below 0.

    Example:
        >>> [category_of("turn", turn, "p7") for turn in (0, 3, 9)]
        ['turn 1', 'turn 4-6', 'turn 7+']
        >>> category_of("none", 0, "p7"), category_of("problem", 0, "p7")
        ('all', 'problem p7')
    """
    if kind == "none":
        return "all"
    if kind == "problem":
        return f"problem {problem_id}"
    if kind != "turn":
        raise InvalidRequestError(f"category is {kind!r}", field="category", remedy="choose none, turn or problem")
    if turn < 0:
        raise InvalidRequestError(f"turn is {turn}", field="turn", remedy="count turns from 0")
    if turn < 3:
        return f"turn {turn + 1}"
    return "turn 4-6" if turn < 6 else "turn 7+"


def budget_alpha(budget: int, n_samples: int) -> float:
    """The rejection rate alpha = B / m at which B of m samples are taken over on average.

    Args:
        budget: B, from 1 to n_samples - 1.
        n_samples: m, at least 2.

    Raises:
        InvalidRequestError: One of them is out of range.

    Example:
        >>> budget_alpha(4, 16)
        0.25
    """
    whole = isinstance(budget, int) and not isinstance(budget, bool)
    if not whole or not 0 < budget < n_samples:
        raise InvalidRequestError(
            f"budget is {budget!r} of {n_samples} samples",
            field="budget",
            remedy="give a whole number of at least 1 and less than n_samples",
        )
    return budget / n_samples
