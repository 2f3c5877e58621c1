"""Right or wrong.

Whole numbers are compared as such. Everything else goes to the library math-verify, in worker processes: computer
algebra may run for ever on a strange answer, and only a process can be stopped from outside for certain.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from a1_trt.benchmarks.grading.workers import N_WORKERS, WORKERS
from a1_trt.core.reasoning import normalise, plain

MAX_CHARS = 10_000  # longer answers are wrong unless they are the truth to the letter
_INTEGER = re.compile(r"-?\d+")


def is_correct(answer: str | None, truth: str, *, timeout_s: float = 10.0) -> bool:
    r"""Whether `answer`, the content of a \boxed{}, says the same as `truth`; works in any thread.

    No answer, None, is wrong, and so is one whose comparison by computer algebra takes longer than `timeout_s`.
    ConfigError where the comparison needs math-verify, and that is not installed.

    Example:
        >>> is_correct("042", "42"), is_correct("41", "42"), is_correct(None, "42")
        (True, False, False)
    """
    if answer is None:
        return False
    left, right = normalise(answer), normalise(truth)
    if not left:
        return False
    if left == right or len(answer) > MAX_CHARS or (_INTEGER.fullmatch(left) and _INTEGER.fullmatch(right)):
        return left == right
    return WORKERS.equal(plain(answer), plain(truth), timeout_s)


def all_correct(pairs: Sequence[tuple[str | None, str]], *, timeout_s: float = 10.0) -> list[bool]:
    """`is_correct` of many (answer, truth), in their order; several are compared at a time, and equal ones once."""
    different = list(dict.fromkeys(pairs))
    with ThreadPoolExecutor(N_WORKERS, thread_name_prefix="grading") as threads:
        verdicts = list(threads.map(lambda pair: is_correct(*pair, timeout_s=timeout_s), different))
    known = dict(zip(different, verdicts, strict=True))
    return [known[pair] for pair in pairs]
