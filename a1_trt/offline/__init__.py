"""Recorded scores through any controller, without a model."""

from a1_trt.offline.answers import with_answers, with_groups
from a1_trt.offline.quality import quality
from a1_trt.offline.rates import WINDOW, report, rolling_rate, window_error
from a1_trt.offline.reading import read_recording
from a1_trt.offline.recording import Recording, Samples
from a1_trt.offline.run import Order, Replay, replay
from a1_trt.offline.shifts import SHIFTS, Shift, replay_shifted
from a1_trt.offline.study import study

__all__ = [
    "SHIFTS",
    "WINDOW",
    "Order",
    "Recording",
    "Replay",
    "Samples",
    "Shift",
    "quality",
    "read_recording",
    "replay",
    "replay_shifted",
    "report",
    "rolling_rate",
    "study",
    "window_error",
    "with_answers",
    "with_groups",
]
