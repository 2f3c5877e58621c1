r"""The worker process: compares answers with math-verify, one JSON line in, "true" or "false" out.

math-verify reads LaTeX, and two things are set right around it. Before: what models write beside LaTeX (``pi/2``,
``sqrt(3)``, ``\sqrt(2)``) becomes LaTeX. After: numbers that it calls equal because both round to zero are compared
again relative to their size, and k, m and n count as positive, as in ``\sqrt{1/n} = 1/\sqrt{n}``.
"""

from __future__ import annotations

import json
import math
import re
import signal
import sys
from typing import Any

MEMORY_BYTES = 4 << 30  # most memory of a worker: a tower of powers would take all there is before its time is over
_GRACE_S = 5.0
_RELATIVE = 1e-6
_POSITIVE = ("k", "m", "n")
_BASED = re.compile(r"([0-9][0-9A-Fa-f]*)_\{?(\d+)\}?")
_TWO_NUMBERS = re.compile(r"\d\s+\.?\d")
_LENGTH = r"(?:[ckm]?m|mi|miles?|ft|feet)"
_UNIT = re.compile(
    rf"(?<=\d)(?:\s*{_LENGTH}\s*(?:/|per)\s*(?:h|hr|hours?|s|sec|seconds?|min|minutes?)(?:\^\{{?2\}}?)?"
    r"|\s+(?:dollars?|euros?|cents?|mph))$"
)
_WORDS = (
    (_UNIT, ""),
    (re.compile(r"\\emptyset(?![A-Za-z])"), r"\\varnothing"),
    (re.compile(r"(?<![\\A-Za-z])(pi|theta|infty|sin|cos|tan|ln|log)(?![A-Za-z])"), r"\\\1"),
    (re.compile(r"\\(?:mathrm|text|operatorname)\{(e|i)\}"), r"\1"),
    (re.compile(r"\\(?:,|;|!|:|quad|qquad)(?![A-Za-z])"), " "),
    (re.compile(r"\*\*"), "^"),
    (re.compile(r"(?<!\*)\*(?!\*)"), r" \\cdot "),
)
_CALLS = re.compile(r"(?<![A-Za-z])\\?(sqrt|exp)\s*\(")


def to_latex(text: str) -> str:
    r"""What stands for itself in plain writing, as LaTeX.

    Example:
        >>> to_latex("pi/2"), to_latex("2*sqrt(1+(n))"), to_latex(r"\frac{\pi}{2}")
        ('\\pi/2', '2 \\cdot \\sqrt{1+(n)}', '\\frac{\\pi}{2}')
    """
    while call := _CALLS.search(text):
        end = _closing(text, call.end() - 1)
        if end is None:
            break
        name = r"\sqrt" if call[1] == "sqrt" else "e^"
        text = f"{text[: call.start()]}{name}{{{text[call.end() : end]}}}{text[end + 1 :]}"
    for pattern, latex in _WORDS:
        text = pattern.sub(latex, text)
    return text


def based(answer: str, truth: str) -> bool | None:
    """Whether numbers with a base subscript agree; None where neither has one.

    Problems that ask for base 8 are often answered without saying so again; another base is another answer.

    Example:
        >>> based("2516_{8}", "2516_8"), based("2516", "2516_8"), based("2516_7", "2516_8"), based("5", "6")
        (True, True, False, None)
    """
    left, right = (_BASED.fullmatch(re.sub(r"\s|\\text|\\mathrm", "", text)) for text in (answer, truth))
    if left and right:
        return left.groups() == right.groups()
    if left or right:
        one, other = (left, truth) if left else (right, answer)
        return one is not None and one[1] == other.strip()
    return None


def same(answer: str, truth: str) -> bool:
    """Whether two answers are the same by algebra. May run for ever: call it where it can be killed."""
    decided = based(answer, truth)
    if decided is not None:
        return decided
    from math_verify import LatexExtractionConfig, parse, verify

    texts = to_latex(answer), to_latex(truth)
    if any(_TWO_NUMBERS.search(text) for text in texts):  # math-verify would add or multiply them
        return False
    left, right = (
        parse(f"${text}$", extraction_config=[LatexExtractionConfig()], parsing_timeout=None) for text in texts
    )
    if not left or not right:
        return False
    if verify(right, left, timeout_seconds=None):
        return "%" in answer + truth or _close(left[0], right[0])
    return _equal_if_positive(left[0], right[0])


def _closing(text: str, start: int) -> int | None:
    """Where the bracket that opens at `start` closes."""
    depth = 0
    for index in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[index], 0)
        if depth == 0:
            return index
    return None


def _close(left: Any, right: Any) -> bool:
    """False for numbers that are further apart than rounding explains, however small both are."""
    from sympy import Expr  # type: ignore[import-untyped]

    if not all(isinstance(side, Expr) and side.is_number and side.is_finite for side in (left, right)):
        return True
    one, other = left.evalf(30), right.evalf(30)
    return bool(abs(one - other) <= _RELATIVE * max(abs(one), abs(other)))


def _equal_if_positive(left: Any, right: Any) -> bool:
    from sympy import Expr, Symbol, simplify

    if not isinstance(left, Expr) or not isinstance(right, Expr):
        return False
    counted = [symbol for symbol in left.free_symbols | right.free_symbols if str(symbol) in _POSITIVE]
    if not counted:
        return False
    positive = {symbol: Symbol(str(symbol), positive=True) for symbol in counted}
    return bool(simplify(left.subs(positive) - right.subs(positive)) == 0)


def _judged(answer: str, truth: str) -> bool:
    try:
        return same(answer, truth)
    except Exception:  # noqa: BLE001 - whatever algebra stumbles over, the answer was not shown to be right
        return False


def serve() -> None:
    """Answer lines [answer, truth, timeout_s] until the parent closes the pipe."""
    import resource

    import math_verify  # noqa: F401 - loading it takes seconds, which belong to no comparison

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        answer, truth, timeout_s = json.loads(line)
        # The parent kills a worker that is late; this is for one whose parent is gone.
        signal.alarm(math.ceil(timeout_s + _GRACE_S))
        verdict = _judged(answer, truth)
        signal.alarm(0)
        sys.stdout.write("true\n" if verdict else "false\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
