"""Arguments of a command line as values, with errors that name the argument. All raise `InvalidRequestError`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

from a1_trt.errors import InvalidRequestError
from a1_trt.simulate.sweep import AXES
from a1_trt.simulate.workload import Lengths

T = TypeVar("T")
_AXIS_KINDS: dict[str, Callable[[str], Any]] = {"samples": int, "turns": int, "alpha": float, "replicas": int}
"""The other axes take text."""


def pairs_of(words: Sequence[str], field: str) -> dict[str, float]:
    """NAME=VALUE words as numbers."""
    pairs = {}
    for word in words:
        name, equals, value = word.partition("=")
        pairs[name.strip()] = number(value, float, field) if equals else _refuse(word, field)
    return pairs


def lengths_of(words: Sequence[str]) -> Lengths:
    """Distributions of a drawn workload."""
    given = pairs_of(words, "lengths")
    for name in given:
        _check_name(name, Lengths.__slots__, "lengths")
    if "prompt_tokens" in given:
        given["prompt_tokens"] = int(given["prompt_tokens"])
    return Lengths(**given)  # type: ignore[arg-type]


def axes_of(words: Sequence[str]) -> dict[str, list[Any]]:
    """NAME=A,B,... words as what a sweep varies.

    Example:
        >>> axes_of(["samples=1,4", "alpha=0.3"])
        {'samples': [1, 4], 'alpha': [0.3]}
    """
    axes: dict[str, list[Any]] = {}
    for word in words:
        name, _, values = word.partition("=")
        _check_name(name, AXES, "vary")
        axes[name] = [number(value.strip(), _AXIS_KINDS.get(name, str), "vary") for value in values.split(",")]
    return axes


def range_of(word: str, field: str) -> tuple[float, float]:
    """LOW:HIGH, or one number for both."""
    low, colon, high = word.partition(":")
    ends = number(low, float, field), number(high if colon else low, float, field)
    if ends[0] > ends[1]:
        raise InvalidRequestError(f"{field} is {word!r}", field=field, remedy="write LOW:HIGH")
    return ends


def number(word: str, kind: Callable[[str], T], field: str) -> T:
    """A word as a finite number of a kind."""
    try:
        value = kind(word)
    except ValueError:
        _refuse(word, field)
    if isinstance(value, float) and not math.isfinite(value):
        _refuse(word, field)
    return value


def _refuse(word: str, field: str) -> NoReturn:
    raise InvalidRequestError(f"{word[:60]!r} is not a valid value of {field}", field=field, remedy="see --help")


def _check_name(name: str, known: Sequence[str], field: str) -> None:
    if name not in known:
        message = f"{name[:60]!r} is not a valid name in --{field}"
        raise InvalidRequestError(message, field=field, remedy=f"choose from {', '.join(known)}")
