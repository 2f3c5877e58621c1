"""Majority voting over the samples of a problem."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from a1_trt.core.reasoning.answers import normalise


def count_votes(answers: Iterable[str | None]) -> tuple[tuple[str, int], ...]:
    """Answers with their number of votes, most first; equal numbers in the order of the first sample that voted so.

    None and an empty answer, which a recording may hold, are no vote.

    Example:
        >>> count_votes(["7", "07", None, "12"])
        (('7', 2), ('12', 1))
    """
    return tuple(
        Counter(vote for answer in answers if answer is not None and (vote := normalise(answer))).most_common()
    )


def is_settled(votes: tuple[tuple[str, int], ...], n_open: int) -> bool:
    """Whether the `n_open` samples that are still at work can no longer change the winner, however they vote.

    Example:
        >>> is_settled((("7", 3), ("12", 1)), n_open=2), is_settled((("7", 3), ("12", 1)), n_open=1)
        (False, True)
    """
    if not votes:
        return False
    second = votes[1][1] if len(votes) > 1 else 0
    return votes[0][1] - second > n_open
