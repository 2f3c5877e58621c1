"""The calibration state on disk: read, checked, merged, and written as it grows."""

from a1_trt.calibration.log import (
    Batch,
    CalibrationLog,
    Provenance,
    merge,
    read_log,
    write_log,
)
from a1_trt.calibration.starting import controller_of, provenance_of, stored_log
from a1_trt.calibration.writer import CalibrationWriter, Recorded

__all__ = [
    "Batch",
    "CalibrationLog",
    "CalibrationWriter",
    "Provenance",
    "Recorded",
    "controller_of",
    "merge",
    "provenance_of",
    "read_log",
    "stored_log",
    "write_log",
]
