"""All controllers on a recording, over rates, orders and seeds: which of them keeps what is asked of it?"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from types import MappingProxyType
from typing import Any, get_args

import numpy as np

from a1_trt.benchmarks.statistics import effective_n
from a1_trt.core.conformal import CONTROLLERS, ControllerSettings
from a1_trt.core.conformal.controllers.registry import CALIBRATED
from a1_trt.offline.rates import report
from a1_trt.offline.recording import Recording
from a1_trt.offline.run import Order, replay
from a1_trt.offline.shifts import MIN_SEGMENTS, SHIFTS, replay_shifted

ALPHAS = (0.05, 0.1, 0.2, 0.4, 0.6)
DEFAULT = "two-level"
HORIZONS = (50.0, 100.0, 200.0, 400.0, 1000.0, 4000.0)

FIGURES = (
    "overall_rate",
    "overall_error",
    "category_error_max",
    "window_error_max",
    "problem_rate_sd",
    "selectivity",
    "selectivity_local",
    "n_forced",
)

_BY_PROBLEM = ("served", "permuted", "interleaved")

AT_MOST: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {order: {"overall_error": 0.01, "category_error_max": 0.02, "window_error_max": 0.07} for order in _BY_PROBLEM}
    | {"shuffled": {"overall_error": 0.01, "category_error_max": 0.015, "window_error_max": 0.05}}
)
"""The largest errors that a rule may make."""

AT_LEAST: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {order: {"selectivity": 0.87, "selectivity_local": 0.95} for order in _BY_PROBLEM}
    | {"shuffled": {"selectivity": 0.95, "selectivity_local": 0.955}}
)
"""The least selectivity: a counter that never looks at the score keeps every rate."""

SHIFT_ERROR = 0.05  # how near the rate must be to alpha again after a change


def study(
    recording: Recording,
    *,
    controllers: Sequence[str] = tuple(CONTROLLERS),
    alphas: Sequence[float] = ALPHAS,
    orders: Sequence[str] = get_args(Order),
    n_seeds: int = 5,
    n_shift_seeds: int = 10,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Replay a recording through controllers, and compare with what is asked of them.

    Controllers that need calibration scores are left out where there are none; simulated changes are at the rate 0.4.

    Returns:
        `rows` (one a combination: mean and worst over the seeds), `checks` (what is asked, and whether it holds for
        the mean and for every seed), `shifts` (simulated), `horizons` (of the default rule), `split_by_problem` (fixed
        scores of other problems: what honest calibration ahead of time gives).
    """
    usable = [name for name in controllers if recording.calibration_scores is not None or name not in CALIBRATED]
    # Two orders say it all: a change alone, and one on top of the changes between problems.
    shifted = [order for order in orders if order in ("permuted", "shuffled")] or list(orders)
    shifts = [*product(shifted, SHIFTS, usable)] if len(recording) >= MIN_SEGMENTS else []
    total = len(orders) * len(alphas) * len(usable) * n_seeds + len(shifts) * n_shift_seeds
    done = iter(range(1, total + 1))

    def tick() -> None:
        on_progress(next(done), total)

    rows = [_row(recording, *asked, n_seeds, tick) for asked in product(orders, alphas, usable)]
    changed = [_shift_row(recording, *shift, n_shift_seeds, tick) for shift in shifts]
    return {
        "trace": recording.name,
        "n": len(recording),
        "n_unscored": recording.n_unscored,
        "n_problems": len(recording.problems),
        "effective_n": effective_n(recording.scores, recording.problem, len(recording.problems), 0.4),
        "left_out": [name for name in controllers if name not in usable],
        "n_seeds": n_seeds,
        "n_shift_seeds": n_shift_seeds,
        "rows": rows,
        "checks": [check for row in rows for check in _checks(row)],
        "shifts": changed,
        "horizons": [
            _row(recording, "served", 0.4, DEFAULT, n_seeds, settings=ControllerSettings(horizon=horizon))
            for horizon in (HORIZONS if DEFAULT in usable else ())
        ],
        "split_by_problem": _split_by_problem(recording, n_splits=20 * n_seeds),
    }


def _row(
    recording: Recording,
    order: Any,
    alpha: float,
    name: str,
    n_seeds: int,
    tick: Callable[[], None] = lambda: None,
    settings: ControllerSettings | None = None,
) -> dict[str, Any]:
    documents = []
    for seed in range(n_seeds):
        done = replay(recording, name, alpha, order=order, seed=seed, settings=settings)
        documents.append(report(done, intervals=False))
        tick()
    row: dict[str, Any] = {"order": order, "alpha": alpha, "controller": name}
    row["horizon"] = documents[0]["horizon_decisions"]
    for figure in FIGURES:
        values = [document[figure] for document in documents if document[figure] is not None]
        worst = min if figure.startswith("selectivity") else max
        row[figure] = _mean_and_worst(values, worst) if values else None
    row["categories"] = {
        bucket: float(np.mean([document["category_rates"][bucket]["rate"] for document in documents]))
        for bucket in documents[0]["category_rates"]
    }
    row["n_alarms"] = float(np.mean([len(document["alarms"]) for document in documents]))
    row["seconds_per_decision"] = float(np.median([document["seconds_per_decision"] for document in documents]))
    return row


def _mean_and_worst(values: Sequence[float], worst: Callable[[Sequence[float]], float]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), "worst": float(worst(values))}


def _checks(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What is asked of a row: errors at most so large, selectivity (at 0.4) at least so large."""
    asked = [(figure, "at most", bound) for figure, bound in AT_MOST[row["order"]].items()]
    if row["alpha"] == 0.4:
        asked += [(figure, "at least", bound) for figure, bound in AT_LEAST[row["order"]].items()]
    for figure, sense, bound in asked:
        values = row[figure]
        if values is not None:
            holds = {name: value <= bound if sense == "at most" else value >= bound for name, value in values.items()}
            yield {
                **{key: row[key] for key in ("order", "alpha", "controller")},
                "figure": figure,
                "asked": f"{sense} {bound:g}",
                **values,
                "mean_holds": holds["mean"],
                "every_seed_holds": holds["worst"],
            }


def _shift_row(
    recording: Recording, order: Any, shift: str, name: str, n_seeds: int, tick: Callable[[], None]
) -> dict[str, Any]:
    runs = []
    for seed in range(n_seeds):
        runs.append(replay_shifted(recording, name, 0.4, SHIFTS[shift], order=order, seed=seed))
        tick()
    errors = [run.error_after for run in runs]
    return {
        "order": order,
        "shift": shift,
        "controller": name,
        "rate": float(np.mean([run.rate_after for run in runs])),
        "error": _mean_and_worst(errors, max),
        "worst_window": _mean_and_worst([run.worst_after for run in runs], max),
        "share_back": float(np.mean([error <= SHIFT_ERROR + 1e-12 for error in errors])),
        "every_seed_holds": max(errors) <= SHIFT_ERROR + 1e-12,
    }


def _split_by_problem(recording: Recording, n_splits: int) -> dict[str, Any] | None:
    """Fixed first-turn scores of one half of the problems decide on first turns of the other half, at 0.4."""
    scores, owner = recording.calibration_scores, recording.calibration_problem
    n_problems = len(recording.problems)
    if scores is None or owner is None or n_problems < 4:
        return None
    first = recording.turn == 0
    rng = np.random.default_rng(4)
    rates = []
    for _ in range(n_splits):
        calibrating = np.zeros(n_problems, dtype=np.bool_)
        calibrating[rng.permutation(n_problems)[: n_problems // 2]] = True
        threshold = np.quantile(scores[calibrating[owner]], 0.6)
        held_out = recording.scores[first & ~calibrating[recording.problem]]
        rates.append(float((held_out >= threshold).mean()))
    n_fixed, n_held = int(len(scores) / 2), int(first.sum() / 2)
    independent = (0.4 * 0.6 * (1 / n_fixed + 1 / n_held)) ** 0.5
    mean, sd = float(np.mean(rates)), float(np.std(rates))
    return {
        "n_splits": n_splits,
        "rate": mean,
        "sd": sd,
        "sd_if_independent": independent,
        "n_calibration": n_fixed,
        "effective_n": n_fixed * (independent / sd) ** 2 if sd else None,
    }
