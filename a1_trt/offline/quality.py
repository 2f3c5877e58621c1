"""What a score is worth: does it tell, within a problem, the chains that end right from those that end wrong?

A valid p-value says how often the target steps in, not whether it steps in at the right place.
"""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from a1_trt.benchmarks.statistics import (
    Booleans,
    Floats,
    Integers,
    Interval,
    bootstrap,
    effective_n,
    ratio_interval,
    totals,
)
from a1_trt.errors import InvalidRequestError
from a1_trt.offline.answers import Outcomes, outcomes_of
from a1_trt.offline.recording import Recording
from a1_trt.offline.selectivity import Area, local_area, overall_area

WIDTHS = (0.05, 0.1, 0.15)  # how far from the threshold, in p-value, a takeover counts as near it
N_BINS = 20


@dataclass(frozen=True)
class Chains:
    """Samples whose first segment was scored and whose end is known; arrays of n, None where it was not recorded.

    `margins` is the p-value of the first segment minus its level; at most 0 is a takeover.
    """

    scores: Floats
    good: Booleans
    problem: Integers
    takeovers: Booleans | None
    margins: Floats | None

    def where(self, chosen: Booleans) -> Self:
        arrays: dict[str, Any] = {name: array[chosen] for name, array in vars(self).items() if array is not None}
        return replace(self, **arrays)


def quality(recording: Recording, *, alpha: float = 0.4, seed: int = 0) -> dict[str, Any]:
    """The score-quality report, ready for JSON, of a recording that says what is right or was graded (`with_answers`).

    AUROC is that of a *low* first-turn score for a good end: 0.5 is chance, within a problem over pairs of its chains.
    All intervals are 95 %, resampled by problem; alpha is the level at which the effective number of scores is counted.
    """
    outcomes = outcomes_of(recording)
    scores = {"score": recording.scores, **recording.other_scores}
    first, good = _first_turns(recording, outcomes)
    chains = {name: _chains(recording, values, first, good) for name, values in scores.items()}
    chains = {name: known for name, known in chains.items() if len(known.scores)}
    if not chains:
        message = f"{recording.name} has no sample with both a score and an end"
        raise InvalidRequestError(message, field="turns", remedy="record both")
    main = next(iter(chains.values()))
    n_problems = len(recording.problems)
    return {
        "trace": recording.name,
        "outcome": outcomes.kind,
        "note": outcomes.note,
        "n_samples": len(main.scores),
        "n_problems": len(np.unique(main.problem)),
        "effective_n": effective_n(main.scores, main.problem, n_problems, alpha),
        "rate_good": _ratio(main.good.astype(np.float64), main.problem, n_problems, seed),
        "scores": {name: _areas(known, seed) for name, known in chains.items()},
        "near_threshold": _near_threshold(main, n_problems, seed),
        "takeover_effect_within_problem": _within_problem(main, n_problems, seed),
        "histogram": _histogram(main),
    }


def _first_turns(recording: Recording, outcomes: Outcomes) -> tuple[Integers, Booleans]:
    samples = zip(outcomes.problem.tolist(), outcomes.sample.tolist(), strict=True)
    ends = dict(zip(samples, outcomes.good.tolist(), strict=True))
    first = np.flatnonzero(recording.turn == 0)
    keys = list(zip(recording.problem[first].tolist(), recording.sample[first].tolist(), strict=True))
    known = np.asarray([key in ends for key in keys], dtype=np.bool_)
    good = np.asarray([ends[key] for key in keys if key in ends], dtype=np.bool_)
    return first[known].astype(np.int64), good


def _chains(recording: Recording, values: Floats, first: Integers, good: Booleans) -> Chains:
    picked = recording.reordered(first)
    chains = Chains(values[first], good, picked.problem, picked.takeovers, picked.margins)
    return chains.where(~np.isnan(values[first]))


def _areas(chains: Chains, seed: int) -> dict[str, Any]:
    """AUROC of a low score, pooled and within problems; also of those taken over, and of those kept."""
    rows = {"pooled": overall_area(-chains.scores, chains.good, chains.problem, seed=seed)._asdict()}
    groups = {"within_problem": chains}
    if chains.takeovers is not None:
        groups["within_problem_kept"] = chains.where(~chains.takeovers)
        groups["within_problem_taken_over"] = chains.where(chains.takeovers)
    for name, group in groups.items():
        one = np.zeros(len(group.scores), dtype=np.int64)
        area = local_area(-group.scores, group.good, group.problem, one, seed=seed) if len(one) else Area(None)
        rows[name] = {**area._asdict(), "n_samples": len(one)}
    return rows


def _near_threshold(chains: Chains, n_problems: int, seed: int) -> list[dict[str, Any]] | None:
    """Share of good ends with p just below the level (taken over) minus just above it (kept), by width."""
    if chains.margins is None:
        return None
    rows = []
    for width in WIDTHS:
        below = (chains.margins > -width) & (chains.margins <= 0)
        above = (chains.margins > 0) & (chains.margins <= width)
        rows.append({"width": width, **_difference(chains, below, above, n_problems, seed)})
    return rows


def _difference(
    chains: Chains, chosen: Booleans, others: Booleans, n_problems: int, seed: int
) -> dict[str, float | int | None]:
    """Share of good ends among the chosen minus that among the others, resampled by problem."""
    good = chains.good.astype(np.float64)
    counted = (good * chosen, chosen.astype(np.float64), good * others, others.astype(np.float64))
    table = [totals(value, chains.problem, n_problems) for value in counted]
    n_chosen, n_others = int(table[1].sum()), int(table[3].sum())

    def gap(weights: Floats) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn = (weights @ table[0]) / (weights @ table[1]) - (weights @ table[2]) / (weights @ table[3])
            return np.asarray(drawn, dtype=np.float64)

    known = bool(n_chosen and n_others)
    value = float(gap(np.ones((1, n_problems)))[0]) if known else None
    interval = bootstrap(gap, n_problems, seed=seed) if known else Interval(None, None)
    return {
        "difference": value,
        **interval._asdict(),
        "n_taken_over": n_chosen,
        "n_kept": n_others,
        "good_taken_over": float(table[0].sum() / n_chosen) if n_chosen else None,
        "good_kept": float(table[2].sum() / n_others) if n_others else None,
    }


def _within_problem(chains: Chains, n_problems: int, seed: int) -> dict[str, Any] | None:
    """Share of good ends of first turns taken over minus that of those kept, mean over problems that have both."""
    if chains.takeovers is None:
        return None
    good, taken = chains.good.astype(np.float64), chains.takeovers.astype(np.float64)
    n_taken, n_kept = (totals(group, chains.problem, n_problems) for group in (taken, 1 - taken))
    both = (n_taken > 0) & (n_kept > 0)
    if not both.any():
        return {"difference": None, "low": None, "high": None, "n_problems": 0}
    good_taken, good_kept = (totals(good * group, chains.problem, n_problems) for group in (taken, 1 - taken))
    gaps = good_taken[both] / n_taken[both] - good_kept[both] / n_kept[both]
    low, high = ratio_interval(gaps, np.ones(len(gaps)), seed=seed)
    return {"difference": float(gaps.mean()), "low": low, "high": high, "n_problems": len(gaps)}


def _ratio(values: Floats, problem: Integers, n_problems: int, seed: int) -> dict[str, float | None]:
    counts = totals(np.ones(len(values)), problem, n_problems)
    low, high = ratio_interval(totals(values, problem, n_problems), counts, seed=seed)
    return {"value": float(values.mean()), "low": low, "high": high}


def _histogram(chains: Chains) -> dict[str, list[float]]:
    """First-turn scores of good and of other ends, in bins of equal width; the outer bins hold what lies beyond."""
    low, high = np.quantile(chains.scores, (0.005, 0.995))
    edges = np.linspace(low, max(high, np.nextafter(low, np.inf)), N_BINS + 1)
    clipped = np.clip(chains.scores, edges[0], edges[-1])
    good, other = (np.histogram(clipped[chosen], edges)[0].tolist() for chosen in (chains.good, ~chains.good))
    return {"edges": edges.tolist(), "good": good, "other": other}
