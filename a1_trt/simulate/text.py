"""Text that holds nothing but its length: a character is a token, and so is a boxed answer at the end."""

from __future__ import annotations

from a1_trt.core.scheduler.seeds import uniform
from a1_trt.types import Problem


def filler(n_tokens: int, answer: int | None = None) -> str:
    r"""Text of so many tokens, with an answer at its end where there is one.

    Example:
        >>> filler(3), filler(3, answer=7), filler(0)
        ('xxx', 'xx\\boxed{7}', '')
    """
    if answer is None or not n_tokens:
        return "x" * n_tokens
    return "x" * (n_tokens - 1) + f"\\boxed{{{answer}}}"


def count_tokens(text: str) -> int:
    return text.find("\\") + 1 or len(text)


def calm_tokens(problem: int, sample: int, turn: int, n_tokens: int) -> int:
    """Tokens of a draft's segment before the first that surprises the target: anywhere in it, equally likely."""
    return int(n_tokens * uniform(0, f"surprise {problem}", sample, turn))


def script_problem(number: int, n_tokens: int) -> Problem:
    """A problem whose prompt has `n_tokens` tokens, the first of which is its number in brackets: "⟦3⟧ppp"."""
    return Problem(f"⟦{number}⟧" + "p" * (n_tokens - 1), id=str(number))
