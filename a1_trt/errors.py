"""Every error that this package raises on purpose.

::

    A1Error
    ├── InvalidRequestError    a caller's argument is wrong        .field .remedy   exit 2
    ├── ConfigError            a pair file is wrong                .path .field     exit 2
    ├── CalibrationError       a calibration state does not fit                     exit 3
    ├── EngineError            an engine failed                    .role            exit 4
    │   ├── EngineUnavailable      cannot be reached               (retryable)
    │   ├── EngineTimeout          did not answer in time          (retryable)
    │   ├── EngineOverloaded       its queue is full               (retryable)
    │   ├── ContextLengthError     the prompt does not fit the model's context
    │   ├── ScoreShapeError        fewer log-probs than segment tokens; never retried, never a score
    │   ├── EmptySegment           the draft wrote nothing that could be scored
    │   └── ScoringUnavailable     too many segments go unscored for results to be given   (retryable)
    ├── DeadlineExceeded       the caller's deadline passed                         exit 4
    ├── Cancelled              the caller cancelled the request                     exit 130
    ├── ProtocolError          a caller misused the scheduler; its state is unchanged
    ├── BuildError             a build step failed                 .command .log    exit 5
    └── DeployError            a server or repository failed       .model           exit 6

Every error carries the `field` it is about and a `remedy`, where there is one. An error crosses a server as one line
of text, `A1Error.to_wire`, and `from_wire` makes the same typed error of it again.
"""

from __future__ import annotations

import re
from typing import ClassVar


class A1Error(Exception):
    """Root of the tree.

    Args:
        message: What is wrong, in one sentence without a full stop.
        field: The argument, key or tensor that is wrong.
        remedy: What to do about it.

    Example:
        >>> str(InvalidRequestError("alpha is 1.5", field="alpha", remedy="choose a rate in (0, 1)"))
        'alpha is 1.5; choose a rate in (0, 1)'
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init_subclass__(cls, *, code: str, exit_code: int | None = None, retryable: bool = False) -> None:
        cls.code, cls.exit_code, cls.retryable = code, exit_code or cls.exit_code, retryable

    def __init__(self, message: str, *, field: str | None = None, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message

    def to_wire(self) -> str:
        """One line of text from which `from_wire` makes this error again."""
        field = f"[{self.field}]" if self.field else ""
        remedy = f"; remedy: {self.remedy}" if self.remedy else ""
        return f"{self.code}{field}: {self.message}{remedy}".replace("\n", " ")


class InvalidRequestError(A1Error, ValueError, code="invalid_request", exit_code=2):
    """An argument of a request is missing, of the wrong type or out of range."""


class ConfigError(A1Error, code="config", exit_code=2):
    """A pair file, or what it names, is wrong; `path` is the file."""

    def __init__(
        self, message: str, *, path: str | None = None, field: str | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(message, field=field, remedy=remedy)
        self.path = path


class CalibrationError(A1Error, code="calibration", exit_code=3):
    """A calibration state is empty, damaged or belongs to another pair."""


class EngineError(A1Error, code="engine", exit_code=4):
    """An engine failed; `role` is "draft" or "target"."""

    def __init__(
        self, message: str, *, role: str | None = None, field: str | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(message, field=field, remedy=remedy)
        self.role = role


class EngineUnavailable(EngineError, code="engine_unavailable", retryable=True):
    """The engine cannot be reached."""


class EngineTimeout(EngineError, code="engine_timeout", retryable=True):
    """The engine did not answer in time."""


class EngineOverloaded(EngineError, code="engine_overloaded", retryable=True):
    """The engine takes no more requests now."""


class ContextLengthError(EngineError, code="context_length"):
    """Prompt and requested tokens together exceed the model's context."""


class ScoreShapeError(EngineError, code="score_shape"):
    """An engine returned fewer log-probs than the segment has tokens. Such an answer never becomes a score."""


class EmptySegment(EngineError, code="empty_segment"):
    """The draft wrote an empty segment, which has no score."""


class ScoringUnavailable(EngineError, code="scoring_unavailable", retryable=True):
    """So many segments could not be scored that no result is given."""


class DeadlineExceeded(A1Error, code="deadline", exit_code=4):
    """The deadline that the caller gave has passed."""


class Cancelled(A1Error, code="cancelled", exit_code=130):
    """The caller cancelled the request."""


class ProtocolError(A1Error, code="protocol"):
    """The scheduler was told something impossible, such as a completion of a call it never made."""


class BuildError(A1Error, code="build", exit_code=5):
    """A build step failed; `command` is the step's command, and `log` the path of its log file."""

    def __init__(
        self,
        message: str,
        *,
        command: str | None = None,
        log: str | None = None,
        field: str | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message, field=field, remedy=remedy)
        self.command = command
        self.log = log


class DeployError(A1Error, code="deploy", exit_code=6):
    """A server cannot start or a model repository is wrong; `model` is the Triton model it is about."""

    def __init__(
        self, message: str, *, model: str | None = None, field: str | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(message, field=field, remedy=remedy)
        self.model = model


def _tree(root: type[A1Error]) -> dict[str, type[A1Error]]:
    codes = {root.code: root}
    for child in root.__subclasses__():
        codes |= _tree(child)
    return codes


_WIRE = re.compile(
    r"(?P<code>[a-z_]+)(?:\[(?P<field>[^\]]*)\])?: (?P<message>.*?)(?:; remedy: (?P<remedy>.*))?", re.DOTALL
)


def from_wire(text: str) -> A1Error | None:
    """The typed error that `A1Error.to_wire` wrote, or None when `text` is anything else.

    Servers put words of their own before the error's line; these are skipped.

    Example:
        >>> error = from_wire("in model 'a1': invalid_request[alpha]: alpha is 2.0; remedy: choose a rate in (0, 1)")
        >>> type(error).__name__, error.field, error.remedy
        ('InvalidRequestError', 'alpha', 'choose a rate in (0, 1)')
        >>> from_wire("something else") is None
        True
    """
    codes = _tree(A1Error)
    for start in re.finditer(r"[a-z_]+(?=[\[:])", text):
        kind = codes.get(start.group())
        match = _WIRE.fullmatch(text, start.start()) if kind else None
        if kind and match:
            return kind(match["message"], field=match["field"], remedy=match["remedy"])
    return None
