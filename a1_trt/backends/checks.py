"""Argument checks that every engine makes before it accepts a request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from a1_trt.errors import ContextLengthError, InvalidRequestError
from a1_trt.types import Role


@dataclass(frozen=True, slots=True)
class ArgumentChecks:
    """Refuses calls that a model cannot answer.

    Args:
        role: "draft" or "target", for error messages.
        max_context_tokens: Longest prompt plus generation.
        vocabulary: Number of token ids; not checked when None.

    Example:
        >>> checks = ArgumentChecks("draft", 8)
        >>> checks.generate([1, 2], max_tokens=6)  # 7 would be a ContextLengthError
    """

    role: Role
    max_context_tokens: int
    vocabulary: int | None = None

    def generate(self, prompt: Sequence[int], max_tokens: int) -> None:
        """Check the arguments of `a1_trt.engine.Engine.generate`.

        Raises:
            InvalidRequestError: The prompt is empty or has foreign ids, or `max_tokens` is less than 1.
            ContextLengthError: Both exceed the context.
        """
        self._check_ids(prompt, "prompt")
        if max_tokens < 1:
            raise InvalidRequestError(f"max_tokens is {max_tokens}", field="max_tokens", remedy="ask for at least 1")
        self._check_length(len(prompt), max_tokens)

    def score(self, prompt: Sequence[int], segment: Sequence[int]) -> None:
        """Check the arguments of `a1_trt.engine.Engine.score`.

        Raises:
            InvalidRequestError: The prompt or the segment is empty or has foreign ids.
            ContextLengthError: Both exceed the context.
        """
        self._check_ids(prompt, "prompt")
        self._check_ids(segment, "segment")
        self._check_length(len(prompt), len(segment))

    def _check_ids(self, token_ids: Sequence[int], name: str) -> None:
        if not token_ids:
            raise InvalidRequestError(f"the {name} has no tokens", field=name, remedy="give at least one token")
        if self.vocabulary is not None and not 0 <= min(token_ids) <= max(token_ids) < self.vocabulary:
            raise InvalidRequestError(
                f"the {name} holds token ids outside the vocabulary of {self.vocabulary}",
                field=name,
                remedy="encode the text with this engine's own tokenizer",
            )

    def _check_length(self, n_prompt: int, n_more: int) -> None:
        if n_prompt + n_more > self.max_context_tokens:
            raise ContextLengthError(
                f"{n_prompt} prompt tokens and {n_more} more exceed the {self.role} engine's context of "
                f"{self.max_context_tokens}",
                role=self.role,
                field="prompt",
                remedy="shorten the prompt, ask for fewer tokens, or choose a model with a longer context",
            )
