"""Solving a data set, keeping every sample, and saying how well it went."""

from a1_trt.benchmarks.evaluation.datasets import Dataset, read_dataset
from a1_trt.benchmarks.evaluation.folder import Folder
from a1_trt.benchmarks.evaluation.run import Evaluation
from a1_trt.benchmarks.evaluation.summary import summarise

__all__ = ["Dataset", "Evaluation", "Folder", "read_dataset", "summarise"]
