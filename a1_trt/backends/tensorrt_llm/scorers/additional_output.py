"""Score by the log-probs that the model's own forward returns as an additional output: the cheapest way."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from a1_trt.backends.tensorrt_llm.scorers.scorer import Tail, checked_rows
from a1_trt.errors import ScoreShapeError

OUTPUT = "a1_token_logprob"
"""Name of the model output: float32[n_tokens, 1]."""


class AdditionalOutputScorer:
    """For TensorRT-LLM 1.2 and later, with the models of `model.py`.

    Every request carries the list of outputs it wants, an empty one where it wants none: a batch in which some carry a
    list and others do not fails as a whole.
    """

    name = "additional_output"
    sampling: Mapping[str, Any] = {"additional_model_outputs": [OUTPUT]}
    every_request: Mapping[str, Any] = {"additional_model_outputs": []}

    def held_bytes(self, n_prompt: int) -> int:
        """Nothing worth counting: four bytes a token."""
        return 0

    def read(self, output: Any, tokens: Sequence[int]) -> Tail:
        """The tail of the prompt; None at the edges of chunks, where the model saw no next token."""
        rows = (output.outputs[0].additional_context_outputs or {}).get(OUTPUT)
        if rows is None:
            raise ScoreShapeError(
                f"the engine returned no {OUTPUT}",
                field=OUTPUT,
                remedy="leave torch_compile_config and attention data parallelism off, or score with 'context_logits'",
            )
        cached = int(output.cached_tokens)
        checked_rows(int(rows.shape[0]), len(tokens), cached, OUTPUT)
        values = [float(value) for (value,) in rows.tolist()]
        # The last row would belong to a token behind the prompt.
        return Tail(cached + 1, tuple(None if math.isnan(value) else value for value in values[:-1]))
