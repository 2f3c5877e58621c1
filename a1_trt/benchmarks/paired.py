"""Strategies against each other, in pairs: the same problems, seeds, block and repeat."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from a1_trt.benchmarks.intervals import accuracy_difference, ratio_of_sums

Cell = Mapping[str, Any]


def against(one: Sequence[Cell], other: Sequence[Cell]) -> dict[str, Any] | None:
    """One strategy against another, where both have run; None where they have not yet.

    Returns:
        `speedup`, the other's time over this one's, with an interval by resampling pairs of blocks and its value in
        each repeat; `cpu_speedup`, the same of processor time; and the difference of their accuracies, with its
        interval.
    """
    mine, theirs = ({(cell["repeat"], cell["block"]): cell for cell in cells} for cells in (one, other))
    pairs = sorted(mine.keys() & theirs.keys())
    if not pairs:
        return None
    speedup, interval = ratio_of_sums([theirs[at]["wall_s"] for at in pairs], [mine[at]["wall_s"] for at in pairs])
    repeats = sorted({repeat for repeat, _ in pairs})
    by_repeat = [
        sum(theirs[at]["wall_s"] for at in pairs if at[0] == repeat)
        / sum(mine[at]["wall_s"] for at in pairs if at[0] == repeat)
        for repeat in repeats
    ]
    difference, difference_ci95 = accuracy_difference(
        _right([mine[at] for at in pairs]), _right([theirs[at] for at in pairs])
    )
    return {
        "speedup": speedup,
        "cpu_speedup": _cpu_ratio([mine[at] for at in pairs], [theirs[at] for at in pairs]),
        "speedup_ci95": interval,
        "speedup_by_repeat": by_repeat,
        "n_pairs": len(pairs),
        "accuracy_difference": difference,
        "accuracy_difference_ci95": difference_ci95,
    }


def _cpu_ratio(mine: Sequence[Cell], theirs: Sequence[Cell]) -> float | None:
    both = [cell["cpu_s"] for cell in (*mine, *theirs)]
    if any(not value for value in both):
        return None
    return float(sum(cell["cpu_s"] for cell in theirs) / sum(cell["cpu_s"] for cell in mine))


def _right(cells: Sequence[Cell]) -> list[list[bool]]:
    """Right or wrong by problem and repeat."""
    found: dict[int, list[bool]] = defaultdict(list)
    for cell in cells:
        for problem in cell["problems"]:
            found[problem["problem"]].append(problem["correct"])
    return [found[problem] for problem in sorted(found)]
