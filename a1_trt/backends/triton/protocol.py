"""How a model is asked to generate and to score, and how a score is read from what it answers.

This project's own models score `draft_input_ids` and answer with `output_log_probs`, one a token. TensorRT-LLM's
`tensorrt_llm` has no such thing; there are two ways to get at the log-probs of a segment:

external_draft
    The segment is passed as the draft of speculative decoding (`draft_input_ids`), and `generation_logits` are asked
    for: 1 + n_segment rows, of which row i predicts token i of the segment. KV reuse makes no difference. Whether the
    server leaves out the rows behind the first draft token that it rejects, or drops draft tokens in a full batch, is
    not documented: any other number of rows is an error, never a score.

context_logits
    Prompt and segment are one prompt, and `context_logits` are asked for: one row for each of its tokens. Rows of
    tokens that came from the KV cache are not written, and nothing marks them, so the server is asked how many blocks
    it reused, and a segment that begins inside them is an error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from a1_trt.backends.triton.connection import Tensors
from a1_trt.errors import EngineError, ScoreShapeError

Scoring = Literal["log_probs", "external_draft", "context_logits"]
TOKENS_PER_BLOCK = 32
"""Tokens in a block of the KV cache: the default of trtllm-build, which `a1_trt.build` leaves as it is."""
_NEEDS: dict[Scoring, tuple[set[str], set[str]]] = {
    "log_probs": ({"draft_input_ids", "return_log_probs"}, {"output_log_probs"}),
    "external_draft": ({"draft_input_ids", "return_generation_logits"}, {"generation_logits"}),
    "context_logits": ({"return_context_logits", "return_perf_metrics"}, {"context_logits", "kv_cache_reused_blocks"}),
}
"""The inputs and outputs that a way of scoring needs."""


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    prompt: Sequence[int]
    tensors: Tensors
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one model is asked; `end_ids` end a text, the chief one first; empty where the server knows them itself."""

    scoring: Scoring
    is_tensorrt_llm: bool
    end_ids: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        inputs: frozenset[str],
        outputs: frozenset[str],
        end_ids: Sequence[int] = (),
        *,
        context_logits: bool = False,
    ) -> Self:
        """The dialect of a model with these tensors; EngineError where it cannot score so, or lacks an `end_ids`."""
        is_tensorrt_llm = "generation_logits" in outputs
        way: Scoring = ("context_logits" if context_logits else "external_draft") if is_tensorrt_llm else "log_probs"
        lacking = sorted((_NEEDS[way][0] - inputs) | (_NEEDS[way][1] - outputs))
        if lacking:
            message = f"the model has no {', '.join(lacking)}, which scoring by {way} needs"
            remedy = "serve a model with the tensors of tensorrt_llm; see 'a1-trt deploy check'"
            raise EngineError(message, field=lacking[0], remedy=remedy)
        if is_tensorrt_llm and not end_ids:
            message = "tensorrt_llm does not know which token ends a text, and was not told"
            remedy = "give a model directory whose generation_config.json or tokenizer names the end-of-text token"
            raise EngineError(message, field="end_id", remedy=remedy)
        return cls(way, is_tensorrt_llm, tuple(end_ids))

    def generate(self, prompt: Sequence[int], *, max_tokens: int, temperature: float, seed: int) -> InferenceRequest:
        tensors: Tensors = {"request_output_len": ("INT32", [max_tokens]), "seed": ("UINT64", [seed])}
        if temperature > 0.0:
            # With neither top_k nor top_p the backend takes the likeliest token, whatever the temperature.
            tensors |= {"temperature": ("FP32", [temperature]), "runtime_top_p": ("FP32", [1.0])}
        else:
            tensors["runtime_top_k"] = ("INT32", [1])
        return InferenceRequest(prompt, tensors | self._ending() | self._whole(), ("output_ids", "sequence_length"))

    def score(self, prompt: Sequence[int], segment: Sequence[int]) -> InferenceRequest:
        draft: Tensors = {"draft_input_ids": ("INT32", segment)}
        if self.scoring == "log_probs":
            return InferenceRequest(prompt, draft | _asked(1, "return_log_probs"), ("output_log_probs",))
        more: Tensors = {"runtime_top_k": ("INT32", [1]), **self._ending(), **self._whole()}
        if self.scoring == "external_draft":
            asked = draft | _asked(len(segment) + 1, "return_generation_logits")
            return InferenceRequest(prompt, asked | more, ("generation_logits",))
        asked = _asked(1, "return_context_logits", "return_perf_metrics")
        return InferenceRequest([*prompt, *segment], asked | more, ("context_logits", "kv_cache_reused_blocks"))

    def read_score(self, answer: Mapping[str, Any], n_prompt: int, segment: Sequence[int]) -> list[float]:
        """The log-probs of `segment` in an answer to `score`, float64[n_segment]; ScoreShapeError for other rows."""
        if self.scoring == "log_probs":
            values = answer["output_log_probs"].astype(np.float64).ravel()
            return _checked(values[: len(segment)], segment, "output_log_probs")
        if self.scoring == "external_draft":
            rows = _rows(answer["generation_logits"], 1 + len(segment), "generation_logits")
            return _log_probs(rows[:-1], segment, "generation_logits")
        rows = _rows(answer["context_logits"], n_prompt + len(segment), "context_logits")
        n_blocks = int(answer["kv_cache_reused_blocks"].ravel()[0])
        if n_blocks * TOKENS_PER_BLOCK > n_prompt - 1:
            message = (
                f"{n_blocks} blocks came from the KV cache and reach into the segment, whose logits are not written"
            )
            remedy = "score with external_draft, or render the target with KV cache reuse off"
            raise ScoreShapeError(message, field="context_logits", remedy=remedy)
        return _log_probs(rows[n_prompt - 1 : -1], segment, "context_logits")

    def stop(self, prompt: Sequence[int]) -> InferenceRequest:
        """Stop the request of the same id; the prompt is not looked at, but the backend wants one."""
        return InferenceRequest(prompt[:1], _asked(1, "stop"), ())

    def _ending(self) -> Tensors:
        """What ends a text; the backend generates to the end of its room without it."""
        if not self.end_ids:
            return {}
        tensors: Tensors = {"end_id": ("INT32", [self.end_ids[0]])}
        if self.is_tensorrt_llm:
            tensors["pad_id"] = ("INT32", [self.end_ids[0]])
            others = self.end_ids[1:]
            if others:  # words of one token each: all their tokens, and where each ends
                tensors["stop_words_list"] = ("INT32", [list(others), list(range(1, len(others) + 1))])
        return tensors

    def _whole(self) -> Tensors:
        """One response with the new tokens alone, said explicitly."""
        if not self.is_tensorrt_llm:
            return {}
        return {"streaming": ("BOOL", [False]), "exclude_input_in_output": ("BOOL", [True])}


def _asked(n_tokens: int, *flags: str) -> Tensors:
    return {"request_output_len": ("INT32", [n_tokens]), **{flag: ("BOOL", [True]) for flag in flags}}


def _rows(logits: Any, n_wanted: int, field: str) -> Any:
    """The rows of one beam, floating[n_rows, vocabulary]."""
    if logits.ndim < 2 or any(size != 1 for size in logits.shape[:-2]) or logits.shape[-2] != n_wanted:
        message = f"{field} has the shape {list(logits.shape)} where {n_wanted} rows are wanted"
        remedy = "build the target with logits gathered and max_draft_len for the longest segment"
        raise ScoreShapeError(message, field=field, remedy=remedy)
    return logits.reshape(n_wanted, logits.shape[-1])


def _log_probs(rows: Any, segment: Sequence[int], field: str) -> list[float]:
    values = np.empty(len(segment))
    for index, token in enumerate(segment):  # a row at a time: all of them in float64 would take twice their memory
        row = rows[index].astype(np.float64)
        if not 0 <= token < row.size:
            raise ScoreShapeError(f"token {token} has no logit among {row.size}", field=field)
        top = row.max()
        values[index] = row[token] - top - np.log(np.exp(row - top).sum()) if np.isfinite(top) else np.nan
    return _checked(values, segment, field)


def _checked(values: Any, segment: Sequence[int], field: str) -> list[float]:
    if len(values) < len(segment) or not np.isfinite(values).all():
        message = f"{int(np.isfinite(values).sum())} usable log-probs came for {len(segment)} tokens"
        raise ScoreShapeError(message, field=field)
    return [float(value) for value in values]
