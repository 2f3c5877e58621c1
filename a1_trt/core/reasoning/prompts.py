"""The prompt around a problem."""

from __future__ import annotations

CHAT = "chat"
"""As a pair's `prompt`: the model's own chat template."""


def render(template: str, problem: str) -> str:
    r"""A prompt of a template with ``{problem}`` in it; other braces mean themselves.

    Example:
        >>> render("Q: {problem} Put the answer in \\\\boxed{}.", "1 + 1?")
        'Q: 1 + 1? Put the answer in \\\\boxed{}.'
    """
    return template.replace("{problem}", problem)
