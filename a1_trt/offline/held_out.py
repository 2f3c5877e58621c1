"""A stored calibration against decisions of other problems: does it hold what it promises?"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from a1_trt.benchmarks.statistics import Z95, Booleans, Floats, Integers, band, uniformity
from a1_trt.core.conformal import Candidate, make_controller
from a1_trt.errors import CalibrationError
from a1_trt.offline.rates import rate_row
from a1_trt.runtime.calibration import CalibrationLog

Row = tuple[str, str, float]  # category, problem and score of a decision


@dataclass(frozen=True)
class HeldOut:
    """What n held-out scores give against n_calibration fixed ones: smoothed p-values, and whether p <= alpha."""

    alpha: float
    categories: tuple[str, ...]
    problem: Integers
    n_problems: int
    n_calibration: int
    p_values: Floats
    takeovers: Booleans

    def report(self, *, seed: int = 0) -> dict[str, Any]:
        names = np.asarray(self.categories)
        rows = {"all": self._row(np.ones(len(names), dtype=bool), seed)}
        rows |= {str(name): self._row(names == name, seed) for name in sorted(set(self.categories))}
        counts = {"n": len(names), "n_problems": self.n_problems, "n_calibration": self.n_calibration}
        return {
            "alpha": self.alpha,
            **counts,
            "rates": rows,
            "p_values": uniformity(self.p_values, self.problem, self.n_problems, self.alpha),
        }

    def _row(self, chosen: Booleans, seed: int) -> dict[str, Any]:
        row = rate_row(self.takeovers[chosen], self.problem[chosen], self.n_problems, seed=seed)
        # Both samples are luck: the fixed scores put the threshold off, too.
        worth = row["count"] / max(1.0, row["design_effect"])
        low, high = band(self.alpha, 1.0 / (1.0 / worth + 1.0 / (self.n_calibration + 2)), Z95)
        return {**row, "band": [low, high], "alarm": not low <= row["rate"] <= high}


def halves(log: CalibrationLog, seed: int) -> tuple[list[Row], list[Row]]:
    """The decisions of one half of the problems, chosen by a seed, and those of the other."""
    problems = sorted(log.problems)
    chosen = set(np.random.default_rng(seed).permutation(problems)[: len(problems) // 2].tolist())
    rows = rows_of(log)
    return [row for row in rows if row[1] in chosen], [row for row in rows if row[1] not in chosen]


def rows_of(log: CalibrationLog) -> list[Row]:
    return [(category, problem, score) for batch in log.batches for category, problem, score, _, _ in batch.decisions]


def evaluate(fixed: Sequence[Row], held_out: Sequence[Row], alpha: float, *, seed: int) -> HeldOut:
    """Rank held-out scores among fixed ones, category by category; the seed is that of the draws of the p-values.

    Example:
        >>> fixed = [("turn 1", "p", float(score)) for score in range(99)]
        >>> evaluate(fixed, [("turn 1", "q", 90.5)], 0.4, seed=0).takeovers.tolist()
        [True]
    """
    if not fixed or not held_out:
        message = f"{len(held_out)} held-out scores cannot be ranked among {len(fixed)}"
        raise CalibrationError(message, field="held_out", remedy="calibrate on more problems")
    scores: dict[str, list[float]] = defaultdict(list)
    for category, _, score in fixed:
        scores[category].append(score)
    controller = make_controller("static", calibration_scores=scores)
    us = np.random.default_rng(seed).uniform(1e-12, 1.0, size=len(held_out))
    decisions = [
        controller.decide(Candidate(score=score, category=category, problem=problem, alpha=alpha, u=float(u)))
        for (category, problem, score), u in zip(held_out, us, strict=True)
    ]
    numbers = {problem: number for number, problem in enumerate(dict.fromkeys(row[1] for row in held_out))}
    return HeldOut(
        alpha=alpha,
        categories=tuple(row[0] for row in held_out),
        problem=np.asarray([numbers[row[1]] for row in held_out], dtype=np.int64),
        n_problems=len(numbers),
        n_calibration=len(fixed),
        p_values=np.asarray([decision.p_value for decision in decisions]),
        takeovers=np.asarray([decision.takeover for decision in decisions]),
    )
