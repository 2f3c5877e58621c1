"""Recorded scores through any controller, without a model."""

from a1_trt.replay.rates import WINDOW, report, rolling_rate, window_error
from a1_trt.replay.recording import Recording, Samples, read_recording
from a1_trt.replay.run import Order, Replay, replay

__all__ = [
    "WINDOW",
    "Order",
    "Recording",
    "Replay",
    "Samples",
    "read_recording",
    "replay",
    "report",
    "rolling_rate",
    "window_error",
]
