"""TensorRT-LLM's own Triton model `tensorrt_llm`, field by field: what its config.pbtxt has to say.

Read in NVIDIA/TensorRT-LLM, triton_backend/all_models/inflight_batcher_llm/tensorrt_llm/config.pbtxt, as it is for the
versions 1.x that have compiled engines (up to 1.2.1), and in the backend's docs/model_config.md. Where the backend is
to use a default of its own, its parameter is empty: it takes a parameter that does not parse as one that is not there.
"""

from __future__ import annotations

from dataclasses import dataclass

from a1_trt.triton.tensors import Tensor


@dataclass(frozen=True, slots=True)
class Setting:
    """One parameter of the model.

    Args:
        key: Its name.
        kind: "int", "float", "bool" or "string": what its text has to be.
        allowed: The only values there are, where these are known.
        most: Largest number, where there is one; the smallest is 0.
        needed: It may not be empty.
    """

    key: str
    kind: str
    allowed: tuple[str, ...] = ()
    most: float | None = None
    needed: bool = False


def _number(name: str, data_type: str, *, optional: bool = True) -> Tensor:
    return Tensor(name, data_type, optional=optional, scalar=True)


def _ragged(name: str, data_type: str, dims: tuple[int, ...] = (-1,)) -> Tensor:
    return Tensor(name, data_type, dims, optional=True, ragged=True)


INPUTS = (
    _ragged("input_ids", "INT32"),
    _ragged("encoder_input_features", "FP16", (-1, -1)),
    _number("encoder_output_lengths", "INT32"),
    _number("input_lengths", "INT32", optional=False),
    _number("request_output_len", "INT32", optional=False),
    _number("num_return_sequences", "INT32"),
    _ragged("draft_input_ids", "INT32"),
    _ragged("decoder_input_ids", "INT32"),
    _number("decoder_input_lengths", "INT32"),
    _ragged("draft_logits", "FP32", (-1, -1)),
    _number("draft_acceptance_threshold", "FP32"),
    _number("end_id", "INT32"),
    _number("pad_id", "INT32"),
    _ragged("stop_words_list", "INT32", (2, -1)),
    _ragged("bad_words_list", "INT32", (2, -1)),
    _ragged("embedding_bias", "FP32"),
    _number("beam_width", "INT32"),
    _number("temperature", "FP32"),
    _number("runtime_top_k", "INT32"),
    _number("runtime_top_p", "FP32"),
    _number("runtime_top_p_min", "FP32"),
    _number("runtime_top_p_decay", "FP32"),
    _number("runtime_top_p_reset_ids", "INT32"),
    _number("len_penalty", "FP32"),
    _number("early_stopping", "BOOL"),
    _number("repetition_penalty", "FP32"),
    _number("min_tokens", "INT32"),
    _number("beam_search_diversity_rate", "FP32"),
    _number("presence_penalty", "FP32"),
    _number("frequency_penalty", "FP32"),
    _number("seed", "UINT64"),
    _number("return_log_probs", "BOOL"),
    _number("return_context_logits", "BOOL"),
    _number("return_generation_logits", "BOOL"),
    _number("return_perf_metrics", "BOOL"),
    _number("return_num_input_tokens", "BOOL"),
    _number("return_num_output_tokens", "BOOL"),
    _number("exclude_input_in_output", "BOOL"),
    _number("stop", "BOOL"),
    _number("streaming", "BOOL"),
    _ragged("prompt_embedding_table", "FP16", (-1, -1)),
    _ragged("prompt_table_extra_ids", "UINT64"),
    _number("prompt_vocab_size", "INT32"),
    _ragged("cross_attention_mask", "BOOL", (-1, -1)),
    Tensor("mrope_rotary_cos_sin", "FP32", (-1,), optional=True),
    Tensor("mrope_position_deltas", "INT64", optional=True),
    _number("lora_task_id", "UINT64"),
    _ragged("lora_weights", "FP16", (-1, -1)),
    _ragged("lora_config", "INT32", (-1, 3)),
    _ragged("context_phase_params", "UINT8"),
    _ragged("skip_cross_attn_blocks", "BOOL", (1,)),
    _ragged("retention_token_range_starts", "INT32"),
    _ragged("retention_token_range_ends", "INT32"),
    _ragged("retention_token_range_priorities", "INT32"),
    _ragged("retention_token_range_durations_ms", "INT32"),
    _ragged("retention_decode_priority", "INT32", (1,)),
    _ragged("retention_decode_duration_ms", "INT32", (1,)),
    _ragged("guided_decoding_guide_type", "STRING", (1,)),
    _ragged("guided_decoding_guide", "STRING", (1,)),
    _ragged("lookahead_window_size", "INT32", (1,)),
    _ragged("lookahead_ngram_size", "INT32", (1,)),
    _ragged("lookahead_verification_set_size", "INT32", (1,)),
)

OUTPUTS = (
    Tensor("output_ids", "INT32", (-1, -1)),
    Tensor("sequence_length", "INT32", (-1,)),
    Tensor("cum_log_probs", "FP32", (-1,)),
    Tensor("output_log_probs", "FP32", (-1, -1)),
    Tensor("context_logits", "FP32", (-1, -1)),
    Tensor("generation_logits", "FP32", (-1, -1, -1)),
    Tensor("batch_index", "INT32"),
    Tensor("sequence_index", "INT32"),
    Tensor("context_phase_params", "UINT8", (-1,)),
    Tensor("kv_cache_alloc_new_blocks", "INT32"),
    Tensor("kv_cache_reused_blocks", "INT32"),
    Tensor("kv_cache_alloc_total_blocks", "INT32"),
    Tensor("arrival_time_ns", "INT64"),
    Tensor("first_scheduled_time_ns", "INT64"),
    Tensor("first_token_time_ns", "INT64"),
    Tensor("last_token_time_ns", "INT64"),
    Tensor("acceptance_rate", "FP32"),
    Tensor("total_accepted_draft_tokens", "INT32"),
    Tensor("total_draft_tokens", "INT32"),
    Tensor("num_input_tokens", "INT32"),
    Tensor("num_output_tokens", "INT32"),
)

SETTINGS = (
    Setting("max_beam_width", "int"),
    Setting("FORCE_CPU_ONLY_INPUT_TENSORS", "string", ("no",), needed=True),
    Setting("gpt_model_type", "string", ("inflight_fused_batching", "V1"), needed=True),
    Setting("gpt_model_path", "string", needed=True),
    Setting("encoder_model_path", "string"),
    Setting("max_tokens_in_paged_kv_cache", "int"),
    Setting("max_attention_window_size", "int"),
    Setting("sink_token_length", "int"),
    Setting("batch_scheduler_policy", "string", ("max_utilization", "guaranteed_no_evict")),
    Setting("kv_cache_free_gpu_mem_fraction", "float", most=1.0),
    Setting("cross_kv_cache_fraction", "float", most=1.0),
    Setting("kv_cache_host_memory_bytes", "int"),
    Setting("kv_cache_onboard_blocks", "bool"),
    Setting("exclude_input_in_output", "bool"),
    Setting("cancellation_check_period_ms", "int"),
    Setting("stats_check_period_ms", "int"),
    Setting("iter_stats_max_iterations", "int"),
    Setting("request_stats_max_iterations", "int"),
    Setting("enable_kv_cache_reuse", "bool"),
    Setting("normalize_log_probs", "bool"),
    Setting("enable_chunked_context", "bool"),
    Setting("gpu_device_ids", "string"),
    Setting("participant_ids", "string"),
    Setting("num_nodes", "int"),
    Setting("lora_cache_optimal_adapter_size", "int"),
    Setting("lora_cache_max_adapter_size", "int"),
    Setting("lora_cache_gpu_memory_fraction", "float"),
    Setting("lora_cache_host_memory_bytes", "int"),
    Setting("lora_prefetch_dir", "string"),
    Setting(
        "decoding_mode",
        "string",
        ("top_k", "top_p", "top_k_top_p", "beam_search", "medusa", "redrafter", "lookahead", "eagle"),
    ),
    Setting(
        "executor_worker_path", "string", ("/opt/tritonserver/backends/tensorrtllm/trtllmExecutorWorker",), needed=True
    ),
    Setting("lookahead_window_size", "int"),
    Setting("lookahead_ngram_size", "int"),
    Setting("lookahead_verification_set_size", "int"),
    Setting("medusa_choices", "string"),
    Setting("eagle_choices", "string"),
    Setting("gpu_weights_percent", "float", most=1.0),
    Setting("enable_context_fmha_fp32_acc", "bool"),
    Setting("multi_block_mode", "bool"),
    Setting("cuda_graph_mode", "bool"),
    Setting("cuda_graph_cache_size", "int"),
    Setting("speculative_decoding_fast_logits", "bool"),
    Setting("tokenizer_dir", "string"),
    Setting("guided_decoding_backend", "string", ("xgrammar",)),
    Setting("xgrammar_tokenizer_info_path", "string"),
)

USUAL = {
    "max_beam_width": "1",
    "FORCE_CPU_ONLY_INPUT_TENSORS": "no",
    "gpt_model_type": "inflight_fused_batching",
    "batch_scheduler_policy": "guaranteed_no_evict",
    "kv_cache_free_gpu_mem_fraction": "0.9",
    "kv_cache_host_memory_bytes": "0",
    "kv_cache_onboard_blocks": "true",
    "exclude_input_in_output": "true",
    "cancellation_check_period_ms": "100",
    "stats_check_period_ms": "100",
    # Off here unless said otherwise, in contrast to the LLM API; without it every turn reads its chain from the start.
    "enable_kv_cache_reuse": "true",
    "normalize_log_probs": "true",
    "enable_chunked_context": "true",
    "num_nodes": "1",
    "lora_cache_optimal_adapter_size": "8",
    "lora_cache_max_adapter_size": "64",
    "lora_cache_gpu_memory_fraction": "0.05",
    "lora_cache_host_memory_bytes": "1073741824",
    "executor_worker_path": "/opt/tritonserver/backends/tensorrtllm/trtllmExecutorWorker",
    "gpu_weights_percent": "1.0",
    "enable_context_fmha_fp32_acc": "false",
    "multi_block_mode": "true",
    "cuda_graph_mode": "false",
    "cuda_graph_cache_size": "0",
    "speculative_decoding_fast_logits": "false",
}
"""What parameters are rendered to, where a plan does not say otherwise; the others are empty.

Empty on purpose: decoding_mode follows the engine, which for external drafts has one of its own, and
cross_kv_cache_fraction may be given to encoder-decoder models only.
"""
