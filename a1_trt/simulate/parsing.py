"""From the words of a command line to numbers, with errors that name the word."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

from a1_trt.errors import InvalidRequestError
from a1_trt.simulate.sweep import AXES
from a1_trt.simulate.workload import Lengths

T = TypeVar("T")
_AXIS_KINDS: dict[str, Callable[[str], Any]] = {
    "strategy": str,
    "samples": int,
    "turns": int,
    "alpha": float,
    "split": str,
    "replicas": int,
    "in_flight": str,
}


def pairs_of(words: Sequence[str], field: str) -> dict[str, float]:
    """NAME=VALUE words as numbers.

    Raises:
        InvalidRequestError: A word is none.

    Example:
        >>> pairs_of(["spread=0.5"], "lengths")
        {'spread': 0.5}
    """
    numbers = {}
    for word in words:
        name, equals, value = word.partition("=")
        numbers[name.strip()] = number(value, float, field) if equals else _no_number(word, field)
    return numbers


def lengths_of(words: Sequence[str]) -> Lengths:
    """Distributions of a drawn workload.

    Raises:
        InvalidRequestError: There is no such distribution.

    Example:
        >>> lengths_of(["median_tokens=300"]).median_tokens
        300.0
    """
    given = pairs_of(words, "lengths")
    for name in given:
        if name not in Lengths.__slots__:
            raise InvalidRequestError(
                f"a workload has no {name!r}", field="lengths", remedy=f"choose from {', '.join(Lengths.__slots__)}"
            )
    if "prompt_tokens" in given:
        given["prompt_tokens"] = int(given["prompt_tokens"])
    return Lengths(**given)  # type: ignore[arg-type]


def axes_of(words: Sequence[str]) -> dict[str, list[Any]]:
    """NAME=A,B,... words as what a sweep varies.

    Raises:
        InvalidRequestError: There is no such axis, or a value is none of it.

    Example:
        >>> axes_of(["samples=1,4", "alpha=0.3"])
        {'samples': [1, 4], 'alpha': [0.3]}
    """
    axes: dict[str, list[Any]] = {}
    for word in words:
        name, _, values = word.partition("=")
        if name not in AXES:
            raise InvalidRequestError(
                f"there is nothing {name!r} to vary", field="vary", remedy=f"choose from {', '.join(AXES)}"
            )
        axes[name] = [number(value.strip(), _AXIS_KINDS[name], "vary") for value in values.split(",")]
    return axes


def range_of(word: str, field: str) -> tuple[float, float]:
    """LOW:HIGH, or one number for both.

    Raises:
        InvalidRequestError: It is none.

    Example:
        >>> range_of("0.3:0.5", "alpha"), range_of("0.4", "alpha")
        ((0.3, 0.5), (0.4, 0.4))
    """
    low, colon, high = word.partition(":")
    ends = number(low, float, field), number(high if colon else low, float, field)
    if ends[0] > ends[1]:
        raise InvalidRequestError(f"{field} is {word!r}", field=field, remedy="write LOW:HIGH")
    return ends


def number(word: str, kind: Callable[[str], T], field: str) -> T:
    """A word as a number.

    Raises:
        InvalidRequestError: It is none.
    """
    try:
        value = kind(word)
    except ValueError:
        _no_number(word, field)
    if isinstance(value, float) and not math.isfinite(value):
        _no_number(word, field)
    return value


def _no_number(word: str, field: str) -> NoReturn:
    raise InvalidRequestError(f"{word[:60]!r} is no value of {field}", field=field, remedy="see --help")
