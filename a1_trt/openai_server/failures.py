"""Errors as status and OpenAI's error object."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from a1_trt.errors import (
    A1Error,
    ConfigError,
    ContextLengthError,
    DeadlineExceeded,
    EngineOverloaded,
    InvalidRequestError,
)

_INVALID = "invalid_request_error"


class Refused(Exception):
    """A request that the endpoint itself turns away, with a status that no error of the package has.

    Args:
        reason: OpenAI's code of it, and `kind` its type.
        field: The field that is wrong.
        remedy: What to do about it.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        reason: str = "invalid_value",
        kind: str = _INVALID,
        field: str | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(f"{message}; {remedy}" if remedy else message)
        self.field, self.status, self.reason, self.kind = field, status, reason, kind


@dataclass(frozen=True, slots=True)
class Failure:
    """How an error is told to a caller: the HTTP status, OpenAI's error document, headers to add."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def code(self) -> str:
        """OpenAI's code, which is also a label of metrics."""
        return str(self.body["error"]["code"])


def failure_of(error: BaseException, *, retry_after_s: int = 1) -> Failure:
    """What a caller is told about an error; of an unexpected one nothing but that it is one.

    Example:
        >>> failure = failure_of(InvalidRequestError("alpha is 2.0", field="a1.alpha"))
        >>> failure.status, failure.body["error"]["param"]
        (400, 'a1.alpha')
        >>> failure_of(EngineOverloaded("the queue is full")).headers
        {'Retry-After': '1'}
    """
    come_back = {"Retry-After": str(retry_after_s)}
    if isinstance(error, Refused):
        return _failure(error.status, error, error.kind, error.reason, come_back if error.status == 429 else {})
    if isinstance(error, ContextLengthError):
        return _failure(400, error, _INVALID, "context_length_exceeded")
    if isinstance(error, InvalidRequestError | ConfigError):
        return _failure(400, error, _INVALID, error.code)
    if isinstance(error, EngineOverloaded):
        return _failure(429, error, "rate_limit_error", "rate_limit_exceeded", come_back)
    if isinstance(error, DeadlineExceeded):
        # OpenAI's clients retry a 504, which would take as long again.
        return _failure(504, error, "timeout_error", error.code, {"x-should-retry": "false"})
    if isinstance(error, A1Error):
        return _failure(503, error, "server_error", error.code)
    return _failure(500, A1Error("the endpoint failed", remedy="see its log"), "server_error", "internal_error")


def _failure(
    status: int, error: A1Error | Refused, kind: str, code: str, headers: dict[str, str] | None = None
) -> Failure:
    document = {"message": str(error), "type": kind, "param": error.field, "code": code}
    return Failure(status, {"error": document}, headers or {})
