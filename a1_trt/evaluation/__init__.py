"""Solving a data set, keeping every sample, and saying how well it went."""

from a1_trt.evaluation.datasets import Dataset, read_dataset
from a1_trt.evaluation.folder import Folder
from a1_trt.evaluation.run import Evaluation
from a1_trt.evaluation.summary import summarise

__all__ = ["Dataset", "Evaluation", "Folder", "read_dataset", "summarise"]
