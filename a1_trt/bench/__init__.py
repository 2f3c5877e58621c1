"""Measuring ways of solving against each other: the same problems, seeds, settings and server."""

from a1_trt.bench.comparison import ARMS, Measured, measure
from a1_trt.bench.machine import machine, versions
from a1_trt.bench.report import summarise

__all__ = ["ARMS", "Measured", "machine", "measure", "summarise", "versions"]
