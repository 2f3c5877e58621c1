"""Measuring strategies against each other: the same problems, seeds, settings and engines."""

from a1_trt.benchmarks.comparison import Comparison, OnProgress
from a1_trt.benchmarks.document import read_document, summarise, write_document
from a1_trt.benchmarks.machine import commit, machine, versions
from a1_trt.benchmarks.plan import Plan, blocks_for

__all__ = [
    "Comparison",
    "OnProgress",
    "Plan",
    "blocks_for",
    "commit",
    "machine",
    "read_document",
    "summarise",
    "versions",
    "write_document",
]
