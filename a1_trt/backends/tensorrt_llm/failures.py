"""What TensorRT-LLM raises, as this package's errors."""

from __future__ import annotations

from a1_trt.errors import ContextLengthError, EngineError, EngineOverloaded, EngineTimeout, EngineUnavailable
from a1_trt.types import Role

_SIGNS: tuple[tuple[str, type[EngineError]], ...] = (
    ("maximum queue size", EngineOverloaded),
    ("out of memory", EngineOverloaded),
    ("shutting down", EngineUnavailable),
    ("shut down", EngineUnavailable),
    ("died", EngineUnavailable),
    ("max_num_tokens", ContextLengthError),
    ("max_seq_len", ContextLengthError),
    ("max_input_len", ContextLengthError),
    ("timed out", EngineTimeout),
)
"""Words by which the library's messages are told apart; its exceptions share few types."""


def typed_error(error: Exception, role: Role) -> EngineError:
    """The error of this package that says what `error` says.

    Example:
        >>> type(typed_error(RuntimeError("LLM is shutting down"), "draft")).__name__
        'EngineUnavailable'
    """
    if isinstance(error, EngineError):
        return error
    message = next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
    kind = EngineTimeout if isinstance(error, TimeoutError) else EngineError
    if type(error).__name__ == "EngineDeadError":
        kind = EngineUnavailable
    for sign, sign_kind in _SIGNS if kind is EngineError else ():
        if sign in str(error).lower():
            kind = sign_kind
            break
    remedy = "start it again, and see its log" if kind is EngineUnavailable else None
    return kind(f"the {role} engine failed: {type(error).__name__}: {message[:300]}", role=role, remedy=remedy)
