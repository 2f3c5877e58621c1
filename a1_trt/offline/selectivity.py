"""How well one number tells two groups apart: the area under the ROC curve, overall and within cells."""

from typing import NamedTuple

import numpy as np

from a1_trt.benchmarks.statistics import N_RESAMPLES, Booleans, Floats, Integers, bootstrap, ratio_interval, totals

_MOST_NUMBERS = 2_000_000  # weights that are held at once
_MOST_WORK = 100_000_000  # weights of all resamples together, beyond which there are fewer of them


class Area(NamedTuple):
    """An AUC and its 95 % interval, clustered by problem; None where one group is empty."""

    value: float | None
    low: float | None = None
    high: float | None = None


def overall_area(scores: Floats, chosen: Booleans, problem: Integers, *, seed: int | None = None) -> Area:
    """P(a chosen one has the larger score than one that is not chosen), ties counting half, over all pairs.

    Scores are float[n], chosen bool[n], problem int[n], numbered from 0; without a seed there is no interval.
    """
    order = np.argsort(scores, kind="stable")
    ordered, inside, cluster = scores[order], chosen[order].astype(np.float64), problem[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))

    def area(weights: Floats) -> Floats:
        """Of every resample; values that tie form one group."""
        drawn = weights[:, cluster]
        above = np.add.reduceat(drawn * inside, starts, axis=1)
        below = np.add.reduceat(drawn * (1.0 - inside), starts, axis=1)
        smaller = np.cumsum(below, axis=1) - below / 2
        pairs = above.sum(axis=1) * below.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(pairs > 0, (above * smaller).sum(axis=1) / pairs, np.nan)

    n_problems = int(problem.max(initial=-1)) + 1
    value = float(area(np.ones((1, n_problems)))[0]) if 0 < inside.sum() < len(inside) else None
    if value is None or seed is None:
        return Area(value)
    size = max(1, _MOST_NUMBERS // max(len(scores), 1))

    def in_parts(weights: Floats) -> Floats:
        return np.concatenate([area(weights[at : at + size]) for at in range(0, len(weights), size)])

    n_resamples = int(np.clip(_MOST_WORK // len(scores), 100, N_RESAMPLES))
    return Area(value, *bootstrap(in_parts, n_problems, seed=seed, n_resamples=n_resamples))


def pairs_within(scores: Floats, chosen: Booleans, cell: Integers) -> tuple[Floats, Floats]:
    """Pairs within each cell that the score orders rightly (ties count half), and all pairs of a chosen and another.

    Scores are float[n]; chosen, bool[n], should have the larger ones; cell is int[n], numbered from 0. Both results are
    float[n_cells].
    """
    n_cells = int(cell.max(initial=-1)) + 1
    order = np.lexsort((scores, cell))
    ordered, cells = scores[order], cell[order]
    n = np.bincount(cells, minlength=n_cells)
    place = np.arange(len(cells)) - (np.cumsum(n) - n)[cells]
    new = np.concatenate(([True], (ordered[1:] != ordered[:-1]) | (cells[1:] != cells[:-1])))
    group = np.cumsum(new) - 1
    size = np.bincount(group)
    rank = place[new][group] + (size[group] + 1) / 2  # from 1, ties share their middle
    inside = chosen[order].astype(np.float64)
    n_chosen = totals(inside, cells, n_cells)
    right = totals(rank * inside, cells, n_cells) - n_chosen * (n_chosen + 1) / 2
    return right, n_chosen * (n - n_chosen)


def local_area(
    scores: Floats, chosen: Booleans, problem: Integers, within: Integers, *, seed: int | None = None
) -> Area:
    """The same over pairs of one problem and one group `within` it, int[n] from 0, each pair weighing the same.

    Cells without both outcomes have no pairs and do not count.
    """
    n_groups = int(within.max(initial=0)) + 1
    values, cell = np.unique(problem * n_groups + within, return_inverse=True)
    right, pairs = pairs_within(scores, chosen, cell)
    if not pairs.sum():
        return Area(None)
    value = float(right.sum() / pairs.sum())
    if seed is None:
        return Area(value)
    owner, n_problems = values // n_groups, int(problem.max()) + 1
    return Area(value, *ratio_interval(totals(right, owner, n_problems), totals(pairs, owner, n_problems), seed=seed))
