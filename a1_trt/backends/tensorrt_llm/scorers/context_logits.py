"""Score by the logits of the prompt: right, but a request holds [prompt, vocabulary] numbers on the GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from a1_trt.backends.tensorrt_llm.scorers.scorer import Tail, checked_rows
from a1_trt.errors import ScoreShapeError

_BLOCK_ROWS = 512
_LOGIT_BYTES = 4


class ContextLogitsScorer:
    """For TensorRT-LLM 1.2 and later, where the model's forward cannot be replaced.

    Every request of the engine asks for the logits. If only some did, the engine would count one row for the others
    while the model makes one a token, and all rows behind would be read in the wrong place, also by requests that
    only generate.

    Args:
        vocabulary: Number of token ids.
    """

    name = "context_logits"
    sampling: Mapping[str, Any] = {"return_context_logits": True}
    every_request: Mapping[str, Any] = {"return_context_logits": True}

    def __init__(self, vocabulary: int) -> None:
        self._vocabulary = vocabulary

    def held_bytes(self, n_prompt: int) -> int:
        """Float32 logits of the whole prompt: the engine allocates them all, however many it fills.

        Example:
            >>> ContextLogitsScorer(152_064).held_bytes(8192) // 2**20
            4752
        """
        return n_prompt * self._vocabulary * _LOGIT_BYTES

    def read(self, output: Any, tokens: Sequence[int]) -> Tail:
        """The tail of the prompt; counted from the end, so rows of a cached prefix are not missed."""
        logits = output.context_logits
        if logits is None:
            raise ScoreShapeError("the engine returned no context logits", field="context_logits")
        cached, width = int(output.cached_tokens), int(logits.shape[-1])
        checked_rows(int(logits.shape[0]), len(tokens), cached, "context_logits")
        if width < self._vocabulary:
            raise ScoreShapeError(
                f"context_logits has {width} columns for a vocabulary of {self._vocabulary}", field="context_logits"
            )
        values: list[float] = []
        targets = list(tokens[cached + 1 :])
        for start in range(0, len(targets), _BLOCK_ROWS):
            wanted = targets[start : start + _BLOCK_ROWS]
            rows = logits[start : start + len(wanted), : self._vocabulary].float()
            values += (rows[list(range(len(wanted))), wanted] - rows.logsumexp(-1)).tolist()
        return Tail(cached + 1, tuple(values))
