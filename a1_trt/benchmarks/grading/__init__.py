"""Is an answer right?"""

from a1_trt.benchmarks.grading.answers import all_correct, is_correct

__all__ = ["all_correct", "is_correct"]
