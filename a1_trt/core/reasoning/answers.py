r"""Finding the answer in a chain: the last ``\boxed{...}``."""

from __future__ import annotations

import re
from functools import lru_cache

_BOX = re.compile(r"\\boxed\s*\{")
_BRACE = re.compile(r"[{}]")
_INTEGER = re.compile(r"([+-]?)0*(\d+)(?:\.0+)?")


def boxed(text: str) -> str | None:
    r"""The content of the last ``\boxed{...}``, or None.

    Braces are balanced. A last box that is not terminated is no answer, and neither is an earlier one: the chain was
    still writing.

    Example:
        >>> boxed(r"so \boxed{\frac{1}{2}}.")
        '\\frac{1}{2}'
        >>> boxed(r"first \boxed{1}, then \boxed{2") is None
        True
    """
    span = _last_box(text)
    return text[span[1] : span[2]].strip() if span and span[2] >= 0 else None


def take_back(text: str) -> str:
    r"""The text before its last ``\boxed``, or all of it where there is none.

    Example:
        >>> take_back(r"2 = 2, so \boxed{3} it is")
        '2 = 2, so '
    """
    span = _last_box(text)
    return text[: span[0]] if span else text


@lru_cache(maxsize=4096)
def normalise(answer: str) -> str:
    r"""The form in which answers are compared when votes are counted: spacing, dollar signs and leading zeros removed.

    Whether an answer is *right* is decided by `benchmarks.grading`, which knows mathematics; this only groups votes.

    Example:
        >>> normalise(" $007$. "), normalise("27.0"), normalise("1,000"), normalise(r"\dfrac{1}{2}")
        ('7', '27', '1000', '\\frac{1}{2}')
    """
    text = re.sub(r"\\[,;! ]|\s+", "", answer.strip().strip("$").rstrip("."))
    text = text.strip("$").replace("\\left", "").replace("\\right", "").replace("\\dfrac", "\\frac")
    text = text.replace("\\tfrac", "\\frac")
    if re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+", text):
        text = text.replace(",", "")
    integer = _INTEGER.fullmatch(text)
    if integer:
        return ("-" if integer[1] == "-" and integer[2] != "0" else "") + integer[2]
    return text


def _last_box(text: str) -> tuple[int, int, int] | None:
    """Where the last box begins, where its content begins, and where that ends (-1: nowhere)."""
    start, box = len(text), None
    while box is None:
        start = text.rfind("\\boxed", 0, start)
        if start < 0:
            return None
        box = _BOX.match(text, start)
    depth = 1
    for brace in _BRACE.finditer(text, box.end()):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return start, box.end(), brace.start()
    return start, box.end(), -1
