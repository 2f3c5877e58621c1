"""Measuring strategies against each other: the same problems, seeds, settings and engines."""

from a1_trt.benchmarks.comparison import Comparison, OnProgress, Plan, blocks_for
from a1_trt.benchmarks.document import read_document, settings_of, summarise, write_document
from a1_trt.benchmarks.machine import commit, machine, versions

__all__ = [
    "Comparison",
    "OnProgress",
    "Plan",
    "blocks_for",
    "commit",
    "machine",
    "read_document",
    "settings_of",
    "summarise",
    "versions",
    "write_document",
]
