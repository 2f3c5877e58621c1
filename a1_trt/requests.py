"""What a caller may ask for: the one place where arguments of a request are checked.

Python, command line, gRPC and HTTP all come through here, so a wrong argument gives the same error everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any

from a1_trt.errors import InvalidRequestError
from a1_trt.types import Parameters, Problem

MAX_PROBLEM_CHARS = 256 * 1024
MAX_SAMPLES = 1024

_RANGES: dict[str, tuple[float, float]] = {
    "n_samples": (1, MAX_SAMPLES),
    "max_turns": (1, 1000),
    "draft_tokens": (1, 32768),
    "target_tokens": (1, 32768),
    "temperature": (0.0, 5.0),
    "seed": (0, 2**63 - 1),
}
_CHOICES = {
    "strategy": ("a1", "target_only", "draft_only"),
    "admission": ("async", "barrier"),
    "on_score_error": ("takeover", "fail"),
    "takeover_from": ("end", "surprise"),
}
_KINDS: dict[str, type[int] | type[float] | type[str]] = {
    "n_samples": int,
    "max_turns": int,
    "draft_tokens": int,
    "target_tokens": int,
    "seed": int,
    "alpha": float,
    "temperature": float,
    "early_stop": bool,
    "verify_answers": bool,
    "optimistic": bool,
    "exact_budget": bool,
    "strategy": str,
    "admission": str,
    "on_score_error": str,
    "takeover_from": str,
}

INPUTS: Mapping[str, str] = MappingProxyType(
    {
        "problem": "STRING",
        "n_samples": "INT32",
        "max_turns": "INT32",
        "alpha": "FP32",
        "budget": "INT32",
        "draft_tokens": "INT32",
        "target_tokens": "INT32",
        "temperature": "FP32",
        "seed": "INT64",
        "early_stop": "BOOL",
        "verify_answers": "BOOL",
        "optimistic": "BOOL",
        "exact_budget": "BOOL",
        "takeover_from": "STRING",
        "strategy": "STRING",
        "admission": "STRING",
        "stream": "BOOL",
        "return_trajectories": "BOOL",
    }
)
"""Input tensors of the served model and Triton's types of them, all of shape [1]; only the problem must be there."""


def check_problem(text: object, *, id: str = "0", answer: str | None = None) -> Problem:
    """A problem, or an error that says what is wrong with its text.

    Raises:
        InvalidRequestError: `text` is no string, empty, or longer than 256 Ki characters.

    Example:
        >>> check_problem("What is 1 + 1?").text
        'What is 1 + 1?'
    """
    if not isinstance(text, str):
        raise InvalidRequestError(
            f"the problem is of type {type(text).__name__}", field="problem", remedy="give its text as a string"
        )
    if not text.strip():
        raise InvalidRequestError("the problem is empty", field="problem", remedy="give the text of a question")
    if len(text) > MAX_PROBLEM_CHARS:
        raise InvalidRequestError(
            f"the problem has {len(text)} characters",
            field="problem",
            remedy=f"give at most {MAX_PROBLEM_CHARS} characters",
        )
    return Problem(text, id=id, answer=answer)


def make_parameters(defaults: Parameters, *, budget: int | None = None, **overrides: Any) -> Parameters:
    """Parameters of a request: `defaults`, replaced by every override that is not None, checked.

    Args:
        defaults: What the pair says.
        budget: Number B of n_samples that the target may take over: alpha = B / n_samples. Excludes `alpha`.
        **overrides: Any field of `Parameters`.

    Raises:
        InvalidRequestError: An unknown name, a wrong type or a value out of range.

    Example:
        >>> make_parameters(Parameters(), n_samples=8, budget=2).alpha
        0.25
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    known = {item.name for item in fields(Parameters)}
    for name in given:
        if name not in known:
            raise InvalidRequestError(
                f"{name} is not a parameter", field=name, remedy=f"choose from {', '.join(sorted(known | {'budget'}))}"
            )
    if budget is not None and "alpha" in given:
        raise InvalidRequestError("alpha and budget are both given", field="budget", remedy="give one of the two")
    checked = {name: _checked(name, value) for name, value in given.items()}
    merged = replace(defaults, **checked)
    if budget is not None:
        merged = replace(merged, alpha=_alpha_of(budget, merged.n_samples))
    return merged


def _alpha_of(budget: int, n_samples: int) -> float:
    if isinstance(budget, bool) or not isinstance(budget, int) or not 0 < budget < n_samples:
        raise InvalidRequestError(
            f"budget is {budget}",
            field="budget",
            remedy=f"give a whole number from 1 to n_samples - 1 = {n_samples - 1}",
        )
    return budget / n_samples


def _checked(name: str, value: Any) -> Any:
    kind: Any = _KINDS[name]
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InvalidRequestError(
            f"{name} is {value!r}, of type {type(value).__name__}", field=name, remedy=f"give it as {kind.__name__}"
        )
    if name == "alpha" and not 0.0 < value < 1.0:
        raise InvalidRequestError(f"alpha is {value}", field="alpha", remedy="choose a rate in (0, 1), such as 0.4")
    if name in _RANGES:
        low, high = _RANGES[name]
        if not (math.isfinite(value) and low <= value <= high):
            raise InvalidRequestError(f"{name} is {value}", field=name, remedy=f"choose a value from {low} to {high}")
    if name in _CHOICES and value not in _CHOICES[name]:
        raise InvalidRequestError(
            f"{name} is {value!r}", field=name, remedy=f"choose one of {', '.join(_CHOICES[name])}"
        )
    return value
