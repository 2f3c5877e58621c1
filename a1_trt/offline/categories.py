"""How the stored scores of a calibration are distributed, category by category."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import quantiles
from typing import Any

from a1_trt.core.conformal import CalibrationSet
from a1_trt.runtime.calibration import CalibrationLog


def describe_categories(log: CalibrationLog) -> dict[str, dict[str, Any]]:
    """Size, deciles and rejection rate of each category, and its distance (Kolmogorov and Smirnov) from all others."""
    scores: dict[str, list[float]] = defaultdict(list)
    takeovers: dict[str, list[bool]] = defaultdict(list)
    for batch in log.batches:
        for category, _, score, _, takeover in batch.decisions:
            scores[category].append(score)
            takeovers[category].append(takeover)
    return {
        name: {**_described(name, scores), "rejection_rate": sum(takeovers[name]) / len(takeovers[name])}
        for name in sorted(scores)
    }


def _described(name: str, by_category: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    scores = sorted(by_category[name])
    deciles = quantiles(scores, n=10, method="inclusive") if len(scores) > 1 else [*scores] * 9
    row: dict[str, Any] = {"n": len(scores), "q10": deciles[0], "q50": deciles[4], "q90": deciles[8]}
    others = CalibrationSet.from_scores(s for other, values in by_category.items() if other != name for s in values)
    if not len(others):
        return {**row, "ks": None, "ks_p_value": None}
    # Middle draws instead of random ones: the same file gives the same figures.
    compared = others.evaluate(scores, 0.5, [0.5] * len(scores))
    return {**row, "ks": compared.ks_statistic, "ks_p_value": compared.ks_p_value}
