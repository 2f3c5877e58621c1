"""Conformal calibration: scores, p-values, categories and sets. Pure: values in, values out.

The mathematics, with what it does and does not guarantee, is in ``docs/statistics.md``.
"""

from a1_trt.conformal.calibration import CalibrationSet, Evaluation, kolmogorov, p_value_of_counts
from a1_trt.conformal.online import SCHEMA, Category, OnlineCalibration, budget_alpha, category_of
from a1_trt.conformal.scores import SCORES, check_score, mean_nll, perplexity, tail_nll
from a1_trt.conformal.sets import ordinal_rank, prediction_set, rejection_set, worst

__all__ = [
    "SCHEMA",
    "SCORES",
    "CalibrationSet",
    "Category",
    "Evaluation",
    "OnlineCalibration",
    "budget_alpha",
    "category_of",
    "check_score",
    "kolmogorov",
    "mean_nll",
    "ordinal_rank",
    "p_value_of_counts",
    "perplexity",
    "prediction_set",
    "rejection_set",
    "tail_nll",
    "worst",
]
