"""Conformal control: scores, p-values, categories, and controllers that hold a rejection rate. Values in, values out.

The mathematics, with what it does and does not guarantee, is in ``docs/statistics.md``. Nothing here needs the rest of
the package, an engine or a clock.
"""

from a1_trt.core.conformal.calibration import CalibrationSet, Evaluation, kolmogorov, p_value_of_counts
from a1_trt.core.conformal.categories import Category, category_of
from a1_trt.core.conformal.controllers import (
    CONTROLLERS,
    FIRST_TURN,
    Candidate,
    Controller,
    ControllerSettings,
    Decision,
    Rank,
    make_controller,
)
from a1_trt.core.conformal.scores import SCORES, Score, check_score, mean_nll, perplexity, tail_nll
from a1_trt.core.conformal.sets import ordinal_rank, rejection_set
from a1_trt.core.conformal.stores import Histogram

__all__ = [
    "CONTROLLERS",
    "FIRST_TURN",
    "SCORES",
    "CalibrationSet",
    "Candidate",
    "Category",
    "Controller",
    "ControllerSettings",
    "Decision",
    "Evaluation",
    "Histogram",
    "Rank",
    "Score",
    "category_of",
    "check_score",
    "kolmogorov",
    "make_controller",
    "mean_nll",
    "ordinal_rank",
    "p_value_of_counts",
    "perplexity",
    "rejection_set",
    "tail_nll",
]
