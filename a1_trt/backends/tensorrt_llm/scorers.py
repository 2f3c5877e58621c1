"""Ways to get the log-probs of prompt tokens, behind one interface; `choose` takes the cheapest that is right.

What they cannot give: compiled engines (TensorRT-LLM <= 1.2.1) return neither additional outputs nor, through the LLM
API, the logits of tokens passed as a draft; score those behind Triton (`a1_trt.backends.triton`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from a1_trt.backends.tensorrt_llm.runtime import ModelShape, at_least
from a1_trt.errors import ConfigError, ScoreShapeError

ARCHITECTURES = ("LlamaForCausalLM", "Qwen2ForCausalLM")  # those that `model.py` has a version of
SINCE = "1.2.0"  # the first version that counts cached tokens and returns additional outputs of prompts
PROMPT_LOGPROBS_SINCE = "1.3.0rc11"
"""Before, the answer holds the most probable tokens only, not the ones that the prompt goes on with."""
OUTPUT = "a1_token_logprob"  # name of the model output: float32[n_tokens, 1]
_BLOCK_ROWS = 512
_LOGIT_BYTES = 4
_REMEDY = "leave torch_compile_config and attention data parallelism off, or score with 'context_logits'"


@dataclass(frozen=True, slots=True)
class Tail:
    """Log-probs of the last tokens of a prompt: those that the engine computed anew.

    Example:
        >>> Tail(3, (-0.5, None)).after(2)
        [None, -0.5, None]
    """

    start: int  # index in the prompt of the token that `values[0]` belongs to
    values: tuple[float | None, ...]  # up to the prompt's last token; None where the engine has none

    def after(self, n_prompt: int) -> list[float | None]:
        missing = max(self.start - n_prompt, 0)
        return [None] * missing + list(self.values[max(n_prompt - self.start, 0) :])


class Scorer(Protocol):
    """A way to get the log-probs of prompt tokens out of TensorRT-LLM.

    `sampling` are parameters of a request that scores, `every_request` those that *every other* request on the engine
    has to carry: requests of one batch that differ in them would get the wrong rows, or fail together.
    """

    sampling: Mapping[str, Any]
    every_request: Mapping[str, Any]

    def held_bytes(self, n_prompt: int) -> int:
        """GPU memory that a request holds beyond the KV cache."""

    def read(self, output: Any, tokens: Sequence[int]) -> Tail:
        """What a finished RequestOutput says about its prompt: exactly one row for each token that was computed."""


def _checked_rows(n_rows: int, n_tokens: int, n_cached: int, what: str) -> None:
    """Refuse an answer whose rows are not exactly the prompt tokens that did not come from the KV cache.

    Rows are told from tokens by counting from the end; with one row too few or too many, every value would belong to
    another token.
    """
    if n_rows != n_tokens - n_cached or n_rows < 1:
        message = f"{what} has {n_rows} rows for a prompt of {n_tokens} tokens of which {n_cached} were cached"
        raise ScoreShapeError(message, field=what, remedy=_REMEDY)


class AdditionalOutputScorer:
    """For TensorRT-LLM 1.2 and later, with the models of `model.py`.

    Every request carries the list of outputs it wants, an empty one where it wants none: a batch in which some carry a
    list and others do not fails as a whole.
    """

    sampling: Mapping[str, Any] = {"additional_model_outputs": [OUTPUT]}
    every_request: Mapping[str, Any] = {"additional_model_outputs": []}

    def held_bytes(self, n_prompt: int) -> int:
        return 0

    def read(self, output: Any, tokens: Sequence[int]) -> Tail:
        """The tail of the prompt; None at the edges of chunks, where the model saw no next token."""
        rows = (output.outputs[0].additional_context_outputs or {}).get(OUTPUT)
        if rows is None:
            raise ScoreShapeError(f"the engine returned no {OUTPUT}", field=OUTPUT, remedy=_REMEDY)
        cached = int(output.cached_tokens)
        _checked_rows(int(rows.shape[0]), len(tokens), cached, OUTPUT)
        values = [float(value) for (value,) in rows.tolist()]
        # The last row would belong to a token behind the prompt.
        return Tail(cached + 1, tuple(None if math.isnan(value) else value for value in values[:-1]))


class ContextLogitsScorer:
    """For TensorRT-LLM 1.2 and later, where the model's forward cannot be replaced.

    Every request of the engine asks for the logits. If only some did, the engine would count one row for the others
    while the model makes one a token, and all rows behind would be read in the wrong place, also by requests that
    only generate.
    """

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
        logits = output.context_logits
        if logits is None:
            raise ScoreShapeError("the engine returned no context logits", field="context_logits")
        cached, width = int(output.cached_tokens), int(logits.shape[-1])
        _checked_rows(int(logits.shape[0]), len(tokens), cached, "context_logits")
        if width < self._vocabulary:
            message = f"context_logits has {width} columns for a vocabulary of {self._vocabulary}"
            raise ScoreShapeError(message, field="context_logits")
        values: list[float] = []
        targets = list(tokens[cached + 1 :])
        for start in range(0, len(targets), _BLOCK_ROWS):
            wanted = targets[start : start + _BLOCK_ROWS]
            rows = logits[start : start + len(wanted), : self._vocabulary].float()
            values += (rows[list(range(len(wanted))), wanted] - rows.logsumexp(-1)).tolist()
        return Tail(cached + 1, tuple(values))


class PromptLogprobsScorer(ContextLogitsScorer):
    """For TensorRT-LLM 1.3.0rc11 and later; of use only when nothing came from the KV cache.

    With a cached prefix the engine pairs rows of the prompt's tail with tokens of its head. The request asks for
    context logits behind the scenes, so it must not share a batch with requests that do not.
    """

    sampling: Mapping[str, Any] = {"prompt_logprobs": 1}
    every_request: Mapping[str, Any] = {}

    def read(self, output: Any, tokens: Sequence[int]) -> Tail:
        entries = output.outputs[0].prompt_logprobs or []
        if output.cached_tokens or len(entries) != len(tokens):
            _checked_rows(len(entries), len(tokens) + 1, int(output.cached_tokens) + 1, "prompt_logprobs")
            raise ScoreShapeError("prompt_logprobs are of no use with a cached prefix", field="prompt_logprobs")
        missing = [i for i, token in enumerate(tokens[1:]) if token not in entries[i]]
        if missing:
            message = f"prompt_logprobs at {missing[0]} does not hold the prompt's next token"
            raise ScoreShapeError(message, field="prompt_logprobs")
        return Tail(1, tuple(float(entries[i][token].logprob) for i, token in enumerate(tokens[1:])))


def choose(wanted: str, *, version: str, shape: ModelShape, settings: Mapping[str, Any]) -> Scorer:
    """The scorer of a name, or for "auto" the cheapest right one; ConfigError where version or settings rule it out."""
    if not at_least(version, SINCE):
        raise _wrong(f"tensorrt_llm {version} cannot score", "engine", f"install version {SINCE} or later")
    if settings.get("speculative_config") is not None:
        message = "an engine with speculative_config returns no logits of the prompt"
        raise _wrong(message, "speculative_config", "leave it out for the target")
    obstacle = _obstacle(shape.architecture, settings)
    if wanted == "additional_output" and obstacle:
        raise _wrong(f"additional_output cannot be used: {obstacle}", "scorer", "score with 'context_logits'")
    if wanted not in ("auto", "additional_output", "context_logits"):
        raise _wrong(f"there is no scorer {wanted!r}", "scorer", "choose auto, additional_output or context_logits")
    return ContextLogitsScorer(shape.vocabulary) if wanted == "context_logits" or obstacle else AdditionalOutputScorer()


def _obstacle(architecture: str, settings: Mapping[str, Any]) -> str | None:
    """What keeps the model's forward from returning log-probs, if anything."""
    if architecture not in ARCHITECTURES:
        return f"it knows {' and '.join(ARCHITECTURES)}, the model is a {architecture}"
    for key in ("torch_compile_config", "checkpoint_loader", "checkpoint_format"):
        if settings.get(key) is not None:
            return f"{key} is set"
    return "enable_attention_dp is set" if settings.get("enable_attention_dp") else None


def _wrong(what: str, field: str, remedy: str) -> ConfigError:
    return ConfigError(what, field=field, remedy=remedy)
