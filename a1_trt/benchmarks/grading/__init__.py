"""Is an answer right, and how sure is an accuracy?"""

from a1_trt.benchmarks.grading.answers import all_correct, is_correct
from a1_trt.benchmarks.grading.intervals import paired_difference, wilson_interval

__all__ = ["all_correct", "is_correct", "paired_difference", "wilson_interval"]
