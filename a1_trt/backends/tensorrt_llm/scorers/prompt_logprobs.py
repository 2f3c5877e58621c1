"""Score by ``prompt_logprobs``: only to check another scorer, on an engine that does nothing else meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from a1_trt.backends.tensorrt_llm.scorers.scorer import Tail, checked_rows
from a1_trt.errors import ScoreShapeError

SINCE = "1.3.0rc11"
"""Before, the answer holds the most probable tokens only, not the ones that the prompt goes on with."""


class PromptLogprobsScorer:
    """For TensorRT-LLM 1.3.0rc11 and later; of use only when nothing came from the KV cache.

    With a cached prefix the engine pairs rows of the prompt's tail with tokens of its head. The request asks for
    context logits behind the scenes, so it must not share a batch with requests that do not.
    """

    name = "prompt_logprobs"
    sampling: Mapping[str, Any] = {"prompt_logprobs": 1}
    every_request: Mapping[str, Any] = {}

    def __init__(self, vocabulary: int) -> None:
        self._vocabulary = vocabulary

    def held_bytes(self, n_prompt: int) -> int:
        """As with context logits, which the engine makes for this."""
        return n_prompt * self._vocabulary * 4

    def read(self, output: Any, tokens: Sequence[int]) -> Tail:
        """The whole prompt but its first token, or an error."""
        entries = output.outputs[0].prompt_logprobs or []
        if output.cached_tokens or len(entries) != len(tokens):
            checked_rows(len(entries), len(tokens) + 1, int(output.cached_tokens) + 1, "prompt_logprobs")
            raise ScoreShapeError("prompt_logprobs are of no use with a cached prefix", field="prompt_logprobs")
        missing = [i for i, token in enumerate(tokens[1:]) if token not in entries[i]]
        if missing:
            raise ScoreShapeError(
                f"prompt_logprobs at {missing[0]} does not hold the prompt's next token", field="prompt_logprobs"
            )
        return Tail(1, tuple(float(entries[i][token].logprob) for i, token in enumerate(tokens[1:])))
