"""What a replay did: rates with intervals clustered by problem, their deviations, selectivity, alarms."""

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from a1_trt.benchmarks.statistics import (
    Booleans,
    Floats,
    Integers,
    band,
    design_effect,
    effective_n,
    rate_interval,
    totals,
    uniformity,
)
from a1_trt.core.conformal.controllers.registry import CALIBRATED
from a1_trt.offline.run import Replay
from a1_trt.offline.selectivity import Area, local_area, overall_area

WINDOW = 200  # consecutive decisions over which the worst deviation is looked for
CONFIDENCE = 0.95  # of all bands together: at most one in twenty reports of a rule that holds its rate raises any alarm
MIN_PROBLEMS = 10  # bands of fewer problems raise no alarm: how widely clusters spread cannot be told from so few


def report(done: Replay, *, intervals: bool = True) -> dict[str, Any]:
    """Everything that is said about a replay, ready for JSON; the figures are explained in docs/statistics.md.

    Without intervals no problems are resampled, which takes the most time.
    """
    recording, x = done.recording, done.takeovers.astype(np.float64)
    n_problems = len(recording.problems)
    seed = done.seed if intervals else None
    everything = rate_row(done.takeovers, recording.problem, n_problems, seed=seed)
    categories = _rates_by(done, np.asarray(done.buckets)[done.bucket], done.buckets, seed)
    groups = {
        group: _rates_by(done, names := np.asarray(of_problem)[recording.problem], np.unique(names).tolist(), seed)
        for group, of_problem in recording.groups.items()
    }
    own = totals(np.ones(len(x)), recording.problem, n_problems)
    overall = overall_area(recording.scores, done.takeovers, recording.problem, seed=seed)
    local = local_area(recording.scores, done.takeovers, recording.problem, done.bucket, seed=seed)
    held = own > 0
    return {
        "trace": recording.name,
        "controller": done.controller,
        "alpha": done.alpha,
        "order": done.order,
        "seed": done.seed,
        "horizon": done.settings.horizon / recording.samples_a_problem,
        "horizon_decisions": done.settings.horizon,
        "n": len(recording),
        "n_problems": int(held.sum()),
        "n_unscored": recording.n_unscored,
        "effective_n": effective_n(recording.scores, recording.problem, n_problems, done.alpha),
        "overall_rate": everything["rate"],
        "overall_low": everything["low"],
        "overall_high": everything["high"],
        "overall_error": abs(everything["rate"] - done.alpha),
        "category_rates": categories,
        "category_error_max": max(abs(row["rate"] - done.alpha) for row in categories.values()),
        "group_rates": groups,
        "window": min(WINDOW, len(x)),
        "window_error_max": window_error(x, done.alpha),
        "problem_rate_sd": float(np.std(totals(x, recording.problem, n_problems)[held] / own[held])),
        "seconds_per_decision": done.seconds_per_decision,
        **_area_rows("selectivity", overall),
        **_area_rows("selectivity_local", local),
        "n_forced": sum(done.forced.values()),
        "forced": done.forced,
        "p_values": uniformity(done.p_values, recording.problem, n_problems, done.alpha),
        "calibration": _calibration(done, n_problems),
        "alarms": alarms(done, everything, categories, groups),
    }


def rate_row(takeovers: Booleans, problem: Integers, n_problems: int, *, seed: int | None) -> dict[str, Any]:
    """A rate, its 95 % interval over problems (none without a seed), and what its decisions are worth."""
    counts = totals(np.ones(len(problem)), problem, n_problems)
    taken = totals(takeovers.astype(np.float64), problem, n_problems)
    n = len(takeovers)
    low, high = (None, None) if seed is None else rate_interval(taken, counts, seed=seed)
    ends = {"low": low, "high": high, "design_effect": design_effect(taken, counts)}
    return {"rate": float(taken.sum() / n), "count": n, "n_problems": int((counts > 0).sum()), **ends}


def window_error(x: Floats, alpha: float, window: int = WINDOW) -> float:
    """The worst deviation from alpha over any `window` consecutive decisions, or over all where there are fewer.

    Example:
        >>> window_error(np.array([0.0, 0.0, 1.0, 1.0, 1.0]), 0.5, window=2)
        0.5
    """
    return float(np.abs(rolling_rate(x, window) - alpha).max())


def rolling_rate(x: Floats, window: int = WINDOW) -> Floats:
    """Rate of every `window` consecutive decisions, float[n - window + 1]."""
    window = min(window, len(x))
    sums = np.concatenate(([0.0], np.cumsum(x)))
    rates: Floats = (sums[window:] - sums[:-window]) / window
    return rates


def alarms(
    done: Replay, everything: dict[str, Any], categories: dict[str, Any], groups: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """The bands that a rate has left.

    A band is that of independent decisions, widened by the design effect (at least 1) of the decisions in it. Bands
    together hold with 95 % (Bonferroni).

    The window's band is not widened: it says whether the rate over any 200 decisions is as near to alpha as that of
    independent decisions would be, which clustered decisions are not.
    """
    rows = {"overall": everything, **categories}
    rows |= {f"{group} {name}": row for group, named in groups.items() for name, row in named.items()}
    rows = {where: row for where, row in rows.items() if row["n_problems"] >= MIN_PROBLEMS}
    bands = []
    for where, row in rows.items():
        worth = row["count"] / max(1.0, row["design_effect"])
        bands.append((where, row["rate"], row["count"], band(done.alpha, worth, _z(len(rows)))))
    n_windows = max(1, len(done.takeovers) - WINDOW + 1)
    rates = rolling_rate(done.takeovers.astype(np.float64))
    worst = float(rates[np.argmax(np.abs(rates - done.alpha))])
    window = min(WINDOW, len(done.takeovers))
    bands.append((f"window of {window}", worst, window, band(done.alpha, window, _z(n_windows))))
    return [
        {"where": where, "rate": rate, "count": count, "low": low, "high": high}
        for where, rate, count, (low, high) in bands
        if not low <= rate <= high
    ]


def _z(n_bands: int) -> float:
    return NormalDist().inv_cdf(1.0 - (1.0 - CONFIDENCE) / (2 * n_bands))


def _rates_by(
    done: Replay, name_of_each: np.ndarray[Any, Any], names: Sequence[str], seed: int | None
) -> dict[str, dict[str, Any]]:
    problem, n_problems = done.recording.problem, len(done.recording.problems)
    chosen = {name: name_of_each == name for name in names}
    return {name: rate_row(done.takeovers[own], problem[own], n_problems, seed=seed) for name, own in chosen.items()}


def _area_rows(name: str, area: Area) -> dict[str, float | None]:
    return {name: area.value, f"{name}_low": area.low, f"{name}_high": area.high}


def _calibration(done: Replay, n_problems: int) -> dict[str, Any] | None:
    """How much the scores are worth that were there before the run; None where the controller uses none."""
    scores, problem = done.recording.calibration_scores, done.recording.calibration_problem
    if scores is None or done.controller not in CALIBRATED:
        return None
    worth = None if problem is None else effective_n(scores, problem, n_problems, done.alpha)
    return {"n": len(scores), "effective_n": worth, "same_problems": problem is not None}
