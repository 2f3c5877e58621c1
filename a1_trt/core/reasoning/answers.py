r"""Finding the answer in a chain: the last ``\boxed{...}``."""

from __future__ import annotations

import re
from functools import lru_cache

from a1_trt.core.reasoning.signs import plain

_BOX = re.compile(r"\\boxed\s*\{")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)  # \{ and \} are signs, no groups
_INTEGER = re.compile(r"([+-]?)0*(\d+)(?:\.0+)?")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+")
_COMMA = re.compile(r",\s*(?=\d{3}(?!\d))")  # would be one between thousands if there were no space after it
_LOOSE = re.compile(r"(?<![\w.,]) | (?![\w.])|(?<=,) (?!\d{3}(?!\d))")


def boxed(text: str) -> str | None:
    r"""The content of the last ``\boxed{...}`` that says something, or None.

    Braces are balanced; ``\{`` and ``\}`` are signs. An empty box (`normalise` leaves nothing of it) is as good as not
    there: it is no answer, and an answer before it stands. A last box that is not terminated is no answer, and neither
    is an earlier one: the chain was still writing.

    Example:
        >>> boxed(r"so \boxed{\frac{1}{2}}.")
        '\\frac{1}{2}'
        >>> boxed(r"first \boxed{1}, then \boxed{2") is None
        True
        >>> boxed(r"\boxed{5} \boxed{}"), boxed(r"\boxed{\,}")
        ('5', None)
    """
    span = _last_box(text)
    return text[span[1] : span[2]].strip() if span and span[2] >= 0 else None


def take_back(text: str) -> str:
    r"""The text before its last ``\boxed`` that is not empty, or all of it where there is none.

    Example:
        >>> take_back(r"2 = 2, so \boxed{3} it is")
        '2 = 2, so '
    """
    span = _last_box(text)
    return text[: span[0]] if span else text


@lru_cache(maxsize=4096)
def normalise(answer: str) -> str:
    r"""The form in which answers are compared when votes are counted; empty for one that says nothing.

    Spelling is set aside (`signs.plain`), spaces that separate nothing, leading zeros and the comma between thousands,
    which has no space after it. Numbers with a space between them stay two. Whether an answer is *right* is decided by
    `benchmarks.grading`, which knows mathematics; this only groups votes.

    Example:
        >>> normalise(" $007$. "), normalise("27.0"), normalise("1,000"), normalise("1, 000"), normalise(r"\dfrac12")
        ('7', '27', '1000', '1, 000', '\\frac{1}{2}')
    """
    text = ", ".join(_without_thousands(item) for item in plain(answer).split(", "))
    text = _LOOSE.sub("", _COMMA.sub(", ", text))
    integer = _INTEGER.fullmatch(text)
    if integer:
        return ("-" if integer[1] == "-" and integer[2] != "0" else "") + integer[2]
    return text


def _without_thousands(item: str) -> str:
    return item.replace(",", "") if _THOUSANDS.fullmatch(item) else item


def _last_box(text: str) -> tuple[int, int, int] | None:
    """Where the last box that is not empty begins, where its content begins, and where that ends (-1: nowhere)."""
    start = len(text)
    while (start := text.rfind("\\boxed", 0, start)) >= 0:
        if (box := _BOX.match(text, start)) is None:
            continue
        end = _closing(text, box.end())
        if end < 0 or normalise(text[box.end() : end]):
            return start, box.end(), end
    return None


def _closing(text: str, start: int) -> int:
    depth = 1
    for brace in _BRACE.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if depth == 0:
            return brace.start()
    return -1
