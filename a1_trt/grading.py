"""Is an answer right, and how sure is an accuracy?

Whole numbers are compared as such. Everything else goes to the library math-verify, in a worker process of its own:
computer algebra may run for ever on a strange answer, and only a process can be stopped from outside for certain.
"""

from __future__ import annotations

import json
import math
import re
import select
import subprocess
import sys
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from statistics import NormalDist

from a1_trt.errors import ConfigError
from a1_trt.reasoning.answers import normalise

_INTEGER = re.compile(r"-?\d+")


def is_correct(answer: str | None, truth: str, *, timeout_s: float = 10.0) -> bool:
    r"""Whether `answer` says the same as `truth`.

    Args:
        answer: What was answered, the content of a \boxed{}; None, no answer, is wrong.
        truth: The right answer.
        timeout_s: Longest comparison by computer algebra; an answer that takes longer is wrong.

    Raises:
        ConfigError: The comparison needs math-verify, which is not installed.

    Example:
        >>> is_correct("042", "42"), is_correct("41", "42"), is_correct(None, "42")
        (True, False, False)
    """
    if answer is None:
        return False
    left, right = normalise(answer), normalise(truth)
    if left == right or (_INTEGER.fullmatch(left) and _INTEGER.fullmatch(right)):
        return left == right
    return _WORKER.equal(answer, truth, timeout_s)


def wilson_interval(n_correct: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a proportion; (0, 1) where nothing was observed.

    Example:
        >>> low, high = wilson_interval(8, 10)
        >>> round(low, 3), round(high, 3)
        (0.49, 0.943)
    """
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    rate = n_correct / n
    middle = rate + z * z / (2 * n)
    half = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def paired_difference(
    correct_a: Sequence[bool], correct_b: Sequence[bool], *, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Accuracy of a minus accuracy of b on the same problems, with Newcombe's interval for paired proportions.

    Method 10 of Newcombe (1998): Wilson's intervals of both, joined with their correlation. Unlike a bootstrap it does
    not shrink to a point when a and b agree on every problem.

    Args:
        correct_a: Whether a solved each problem, bool[n].
        correct_b: The same of b, in the same order.
        confidence: Level of the interval.

    Returns:
        Difference, lower and upper end.

    Raises:
        ValueError: The two differ in length.

    Example:
        >>> difference, low, high = paired_difference([True] * 9 + [False], [True] * 8 + [False] * 2)
        >>> round(difference, 3), low < difference < high
        (0.1, True)
    """
    n = len(correct_a)
    pairs = [(bool(a), bool(b)) for a, b in zip(correct_a, correct_b, strict=True)]
    if n == 0:
        return 0.0, -1.0, 1.0
    rate_a, rate_b = sum(a for a, _ in pairs) / n, sum(b for _, b in pairs) / n
    low_a, high_a = wilson_interval(sum(a for a, _ in pairs), n, confidence=confidence)
    low_b, high_b = wilson_interval(sum(b for _, b in pairs), n, confidence=confidence)
    phi = _correlation(*(pairs.count(cell) for cell in ((True, True), (True, False), (False, True), (False, False))))
    below = _joined(rate_a - low_a, high_b - rate_b, phi)
    above = _joined(high_a - rate_a, rate_b - low_b, phi)
    difference = rate_a - rate_b
    return difference, max(-1.0, difference - below), min(1.0, difference + above)


def _joined(one: float, other: float, phi: float) -> float:
    return math.sqrt(max(0.0, one * one - 2 * phi * one * other + other * other))


def _correlation(both: int, only_a: int, only_b: int, neither: int) -> float:
    """Newcombe's phi, with his continuity correction of a positive one; 0 where a margin is empty."""
    n = both + only_a + only_b + neither
    margins = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    product = float(both * neither - only_a * only_b)
    if product > 0:
        product = max(0.0, product - n / 2)
    return product / math.sqrt(margins) if margins else 0.0


class _Worker:
    """The process that runs math-verify; one for all comparisons, started on first use, replaced when it hangs."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def equal(self, answer: str, truth: str, timeout_s: float) -> bool:
        if find_spec("math_verify") is None:
            raise ConfigError(
                "math-verify, which compares answers that are no whole numbers, is not installed",
                field="math-verify",
                remedy="pip install math-verify",
            )
        with self._lock:
            process = self._running()
            if process.stdin is None or process.stdout is None:  # both are pipes; this tells the type checker
                return False
            try:
                process.stdin.write(json.dumps([answer, truth]).encode() + b"\n")
                process.stdin.flush()
                ready, _, _ = select.select([process.stdout], [], [], timeout_s)
                verdict = process.stdout.readline() if ready else b""
            except BrokenPipeError:
                verdict = b""
            if not verdict:
                self.stop()
            return verdict.strip() == b"true"

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        self._process.communicate()
        self._process = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.stop()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "a1_trt.grading"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            # Loading the algebra takes seconds on a busy machine and belongs to no comparison's time.
            if self._process.stdout is not None:
                self._process.stdout.readline()
        return self._process


_WORKER = _Worker()


def _serve() -> None:
    """The worker's loop: a JSON line [answer, truth] in, "true" or "false" out, until the parent closes the pipe."""
    from math_verify import parse, verify

    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        answer, truth = (parse(f"${text}$", parsing_timeout=None) for text in json.loads(line))
        same = bool(answer and truth) and verify(truth, answer, timeout_seconds=None)
        sys.stdout.write("true\n" if same else "false\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
