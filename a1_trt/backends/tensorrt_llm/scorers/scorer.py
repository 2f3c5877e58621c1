"""What a way of scoring has to say, and the tail of a prompt that it yields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from a1_trt.errors import ScoreShapeError


@dataclass(frozen=True, slots=True)
class Tail:
    """Log-probs of the last tokens of a prompt: those that the engine computed anew.

    Args:
        start: Index in the prompt of the token that `values[0]` belongs to.
        values: Natural-log probabilities; None where the engine has none. Token t is the prompt's last at
            ``start + len(values) - 1``.

    Example:
        >>> Tail(3, (-0.5, None)).after(2)
        [None, -0.5, None]
    """

    start: int
    values: tuple[float | None, ...]

    def after(self, n_prompt: int) -> list[float | None]:
        """The values of the tokens from index `n_prompt` on; None where there is none."""
        missing = max(self.start - n_prompt, 0)
        return [None] * missing + list(self.values[max(n_prompt - self.start, 0) :])


class Scorer(Protocol):
    """A way to get the log-probs of prompt tokens out of TensorRT-LLM.

    Attributes:
        name: As a setting names it.
        sampling: Sampling parameters of a request that scores.
        every_request: Sampling parameters that *every other* request on the engine has to carry. Requests of one batch
            that differ in them would get the wrong rows, or fail together.
    """

    name: str
    sampling: Mapping[str, Any]
    every_request: Mapping[str, Any]

    def held_bytes(self, n_prompt: int) -> int:
        """GPU memory that a request with a prompt of `n_prompt` tokens holds beyond the KV cache, bytes."""

    def read(self, output: Any, tokens: Sequence[int]) -> Tail:
        """What a finished request says about its prompt.

        Args:
            output: The RequestOutput.
            tokens: The prompt, int[n_tokens].

        Raises:
            ScoreShapeError: It does not hold exactly one row for each token that was computed.
        """


def checked_rows(n_rows: int, n_tokens: int, n_cached: int, what: str) -> None:
    """Refuse an answer whose rows are not exactly the prompt tokens that did not come from the KV cache.

    Rows are told from tokens by counting from the end; with one row too few or too many, every value would belong to
    another token.

    Raises:
        ScoreShapeError: ``n_rows != n_tokens - n_cached``.
    """
    if n_rows != n_tokens - n_cached or n_rows < 1:
        raise ScoreShapeError(
            f"{what} has {n_rows} rows for a prompt of {n_tokens} tokens of which {n_cached} were cached",
            field=what,
            remedy="leave torch_compile_config and attention data parallelism off, or score with 'context_logits'",
        )
