"""Asynchronous test-time scaling of reasoning models.

A small *draft* writes, a large *target* verifies, a conformal p-value decides who goes on, and no sample waits for
another. This module holds the public names; the heavy ones are imported on first use, so that importing the package
needs neither an engine nor a client library.

Example:
    >>> import a1_trt
    >>> a1_trt.Problem("What is 1 + 1?").text
    'What is 1 + 1?'
"""

from __future__ import annotations

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

from a1_trt.config import Pair, load_pair
from a1_trt.errors import (
    A1Error,
    BuildError,
    CalibrationError,
    Cancelled,
    ConfigError,
    ContextLengthError,
    DeadlineExceeded,
    DeployError,
    EmptySegment,
    EngineError,
    EngineOverloaded,
    EngineTimeout,
    EngineUnavailable,
    InvalidRequestError,
    ProtocolError,
    ScoreShapeError,
    ScoringUnavailable,
)
from a1_trt.locations import list_pairs
from a1_trt.types import (
    Event,
    Parameters,
    Problem,
    ProblemFinished,
    Result,
    SampleEnd,
    SampleFinished,
    Segment,
    SegmentScored,
    SegmentUnscored,
    SegmentWritten,
    Trajectory,
    Turn,
    Usage,
)

if TYPE_CHECKING:
    from a1_trt.client import AsyncClient, Client, Progress
    from a1_trt.core.conformal import CalibrationSet, make_controller
    from a1_trt.runtime.session import Session, open_session

_LAZY = {
    **dict.fromkeys(("AsyncClient", "Client", "Progress"), "a1_trt.client"),
    **dict.fromkeys(("CalibrationSet", "make_controller"), "a1_trt.core.conformal"),
    **dict.fromkeys(("Session", "open_session"), "a1_trt.runtime.session"),
}

try:
    __version__ = metadata.version("a1_trt")
except metadata.PackageNotFoundError:  # a checkout that is not installed
    __version__ = "0+unknown"

__all__ = [
    "A1Error", "AsyncClient", "BuildError", "CalibrationError", "CalibrationSet", "Cancelled", "Client", "ConfigError",
    "ContextLengthError", "DeadlineExceeded", "DeployError", "EmptySegment", "EngineError", "EngineOverloaded",
    "EngineTimeout", "EngineUnavailable", "Event", "InvalidRequestError", "Pair", "Parameters", "Problem",
    "ProblemFinished", "Progress", "ProtocolError", "Result", "SampleEnd", "SampleFinished", "ScoreShapeError",
    "ScoringUnavailable", "Segment", "SegmentScored", "SegmentUnscored", "SegmentWritten", "Session", "Trajectory",
    "Turn", "Usage", "__version__", "list_pairs", "load_pair", "make_controller", "open_session",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
