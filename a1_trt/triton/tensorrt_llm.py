"""TensorRT-LLM's own Triton model `tensorrt_llm`: its configuration, and what its parameters may be.

The backend takes a parameter that does not parse as one that is not there, so a wrong value is never an error there.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from a1_trt.triton.pbtxt import parse

TEMPLATES = Path(__file__).parent / "templates"
_WHOLE = r"\d{1,18}"
_DEVICES = r"\d+(,\d+)*"
_DECODING = ("top_k", "top_p", "top_k_top_p", "beam_search", "medusa", "redrafter", "lookahead", "eagle")


@dataclass(frozen=True, slots=True)
class Setting:
    """What one parameter of the model may be.

    Args:
        kind: "int", "float", "bool" or "string": what its text has to be.
        allowed: The only values there are, where these are known.
        most: Largest number, where there is one; the smallest is 0.
        needed: It may not be empty.
        why: What goes wrong otherwise.
    """

    key: str
    kind: str
    allowed: tuple[str, ...] = ()
    most: float | None = None
    needed: bool = False
    pattern: str | None = None
    why: str = ""

    def fault(self, text: str) -> str | None:
        """What is wrong with a text for it; None when nothing is.

        Example:
            >>> Setting("max_beam_width", "int").fault("-1")
            'not a whole number'
        """
        if not text:
            return (self.why or "and has to be given") if self.needed else None
        if self.allowed and text not in self.allowed:
            return self.why or f"not {' or '.join(self.allowed)}"
        if self.pattern and not re.fullmatch(self.pattern, text):
            return self.why
        if self.kind == "bool" and text not in ("true", "false"):
            return "not true or false"
        if self.kind == "int" and not self.pattern and not re.fullmatch(_WHOLE, text):
            return "not a whole number"
        return (
            f"not a number from 0 to {self.most or 'any'}"
            if self.kind == "float" and not self._is_float(text)
            else None
        )

    def _is_float(self, text: str) -> bool:
        try:
            value = float(text)
        except ValueError:
            return False
        return math.isfinite(value) and 0.0 <= value <= (self.most or math.inf)


def _settings(kind: str, keys: str, most: float | None = None) -> tuple[Setting, ...]:
    return tuple(Setting(key, kind, most=most) for key in keys.split())


SETTINGS = (
    *_settings(
        "int",
        "max_beam_width max_tokens_in_paged_kv_cache sink_token_length kv_cache_host_memory_bytes "
        "cancellation_check_period_ms stats_check_period_ms iter_stats_max_iterations request_stats_max_iterations "
        "num_nodes lora_cache_optimal_adapter_size lora_cache_max_adapter_size lora_cache_host_memory_bytes "
        "lookahead_window_size lookahead_ngram_size lookahead_verification_set_size cuda_graph_cache_size",
    ),
    *_settings("float", "kv_cache_free_gpu_mem_fraction cross_kv_cache_fraction gpu_weights_percent", 1.0),
    *_settings("float", "lora_cache_gpu_memory_fraction"),
    *_settings(
        "bool",
        "kv_cache_onboard_blocks exclude_input_in_output normalize_log_probs enable_chunked_context "
        "enable_context_fmha_fp32_acc multi_block_mode cuda_graph_mode speculative_decoding_fast_logits",
    ),
    *_settings(
        "string",
        "encoder_model_path participant_ids lora_prefetch_dir medusa_choices eagle_choices tokenizer_dir "
        "xgrammar_tokenizer_info_path",
    ),
    Setting("FORCE_CPU_ONLY_INPUT_TENSORS", "string", ("no",), needed=True),
    Setting("batch_scheduler_policy", "string", ("max_utilization", "guaranteed_no_evict")),
    Setting("decoding_mode", "string", _DECODING),
    Setting(
        "enable_kv_cache_reuse",
        "bool",
        ("true",),
        needed=True,
        why="so every turn would read its whole chain again; it is off unless it says 'true'",
    ),
    Setting(
        "executor_worker_path", "string", ("/opt/tritonserver/backends/tensorrtllm/trtllmExecutorWorker",), needed=True
    ),
    Setting(
        "gpt_model_type",
        "string",
        ("inflight_fused_batching",),
        needed=True,
        why="so requests would wait for each other; it has to be 'inflight_fused_batching'",
    ),
    Setting("gpt_model_path", "string", needed=True, pattern="/.*", why="which is not an absolute path"),
    Setting("gpu_device_ids", "string", needed=True, pattern=f"{_DEVICES}(;{_DEVICES})*", why="not numbers of GPUs"),
    Setting("guided_decoding_backend", "string", ("xgrammar",)),
    # What the backend reads as a list of windows.
    Setting("max_attention_window_size", "int", pattern=f"{_WHOLE}(,{_WHOLE})*", why="not whole numbers"),
)


def template() -> Any:
    """The model's configuration with usual parameters; name, batch size, engine and GPUs are to be filled in."""
    return parse((TEMPLATES / "tensorrt_llm.pbtxt").read_text(encoding="utf-8"))
