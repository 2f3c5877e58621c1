"""Which past scores a new one is ranked among."""

from __future__ import annotations

from typing import Literal

from a1_trt.errors import InvalidRequestError

Category = Literal["none", "turn", "problem"]


def category_of(kind: Category, turn: int, problem_id: str) -> str:
    """The category a score belongs to: it is ranked among earlier scores of that category only.

    Args:
        kind: "none" (one for all), "turn" (1, 2, 3, 4-6 and 7+, counted from 1 as people do) or "problem".
        turn: Turn of the sample, from 0.
        problem_id: Name of the problem.

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
