"""The calibration state on disk: read, checked, merged, and written as it grows."""

from a1_trt.runtime.calibration.loading import check_held_out, controller_of, provenance_of, stored_log
from a1_trt.runtime.calibration.log import Batch, CalibrationLog, Provenance, merge, read_log, write_log
from a1_trt.runtime.calibration.writer import CalibrationWriter, Recorded

__all__ = [
    "Batch",
    "CalibrationLog",
    "CalibrationWriter",
    "Provenance",
    "Recorded",
    "check_held_out",
    "controller_of",
    "merge",
    "provenance_of",
    "read_log",
    "stored_log",
    "write_log",
]
