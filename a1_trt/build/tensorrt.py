"""Compiled engines: TensorRT-LLM up to 1.2.1. Not run on a GPU; flags are held to TensorRT-LLM's documentation."""

from pathlib import Path
from typing import Any

from a1_trt.build.fit import Fit
from a1_trt.build.hardware import ModelDimensions
from a1_trt.build.sizes import TOKENS_PER_BLOCK
from a1_trt.build.steps import Step, checkpoint, examples
from a1_trt.config import Pair
from a1_trt.errors import ConfigError
from a1_trt.types import Role

CONTAINER = "26.04-trtllm-python-py3"
"""Tag of the Triton container that carries the version that flags and settings are held to."""
VERSIONS = {"tensorrt_llm": "1.2.1", "at_least": "1.1.0", "at_most": "1.2.1", "container_tag": CONTAINER}
"""What the flags are held to, and which versions are let through."""
_CONVERTERS = {"Qwen2ForCausalLM": "qwen", "LlamaForCausalLM": "llama"}
CALIBRATION_SAMPLES = 512  # texts that quantisation is calibrated with; the default of TensorRT-LLM's quantize.py


def settings(pair: Pair, role: Role, model: ModelDimensions, fit: Fit, output: Path) -> dict[str, Any]:
    """The flags of trtllm-build, without those that name directories. True stands for a flag without a value."""
    del pair, model, output
    sizes, split = fit.sizes[role], fit.placement[role].split
    flags: dict[str, Any] = {
        "--max_batch_size": sizes.max_batch_size,
        "--max_input_len": sizes.max_seq_len - 1,
        "--max_seq_len": sizes.max_seq_len,
        "--max_num_tokens": sizes.max_num_tokens,
        "--max_beam_width": 1,
        # In-flight batching with a paged cache, whose pages may be shared and whose prompts may be cut.
        "--kv_cache_type": "paged",
        "--tokens_per_block": TOKENS_PER_BLOCK,
        "--remove_input_padding": "enable",
        "--gpt_attention_plugin": "auto",
        "--context_fmha": "enable",
        "--use_paged_context_fmha": "enable",
        "--workers": split.n_gpus,
    }
    if fit.quantization[role] in ("none", "int4_awq"):
        flags["--gemm_plugin"] = "auto"
    if sizes.scoring == "external_draft":
        flags |= {
            "--speculative_decoding_mode": "draft_tokens_external",
            "--max_draft_len": sizes.max_draft_len,
            "--gather_generation_logits": True,
            "--logits_dtype": "float32",
        }
    elif sizes.scoring == "context_logits":
        flags |= {"--gather_context_logits": True, "--logits_dtype": "float32"}
    return flags


def runtime(role: Role, fit: Fit, output: Path) -> dict[str, str]:
    """Parameters of Triton's `tensorrt_llm` model; text, as that model wants them."""
    return {
        "gpt_model_type": "inflight_fused_batching",
        "gpt_model_path": str(output / role),
        "max_beam_width": "1",
        "batch_scheduler_policy": "guaranteed_no_evict",
        "kv_cache_free_gpu_mem_fraction": f"{fit.kv_fraction[role]:g}",
        "max_tokens_in_paged_kv_cache": str(fit.kv_tokens[role]),
        "enable_kv_cache_reuse": "true",  # off unless it is said
        "enable_chunked_context": "true",
        "gpu_device_ids": ";".join(",".join(map(str, replica)) for replica in fit.placement[role].replicas),
    }


def steps(pair: Pair, role: Role, model: ModelDimensions, fit: Fit, output: Path) -> list[Step]:
    source, planned = checkpoint(pair, role, output)
    converted = output / "converted" / role
    planned.append(_conversion(pair, role, model, fit, source, converted))
    argv = ["trtllm-build", "--checkpoint_dir", str(converted), "--output_dir", str(output / role)]
    for flag, value in settings(pair, role, model, fit, output).items():
        argv += [flag] if value is True else [flag, str(value)]
    planned.append(Step("build", role, output / role, tuple(argv), (converted,), explanation="compile the engine"))
    return planned


def _conversion(pair: Pair, role: Role, model: ModelDimensions, fit: Fit, source: Path, output: Path) -> Step:
    split, quantization = fit.placement[role].split, fit.quantization[role]
    kv_cache_dtype = pair.role(role).gpu.kv_cache_dtype
    if model.quantization is not None:
        message = f"{model.name} is quantised already ({model.quantization}); compiled engines start from 16 bits"
        remedy = "give the 16-bit checkpoint and quantization = 'auto', or take the profile pytorch"
        raise ConfigError(message, path=str(pair.path), field=f"{role}.model", remedy=remedy)
    layout = ("--dtype", "bfloat16", "--tp_size", str(split.tensor), "--pp_size", str(split.pipeline))
    place = ("--model_dir", str(source), "--output_dir", str(output))
    if quantization == "none" and kv_cache_dtype == "auto":
        converter = _CONVERTERS.get(model.architecture)
        if converter is None:
            message = f"{model.name} is a {model.architecture}, for which there is no converter here"
            remedy = f"choose a {' or '.join(_CONVERTERS)}, or take the profile pytorch"
            raise ConfigError(message, path=str(pair.path), field=f"{role}.model", remedy=remedy)
        script = f"{examples()}/models/core/{converter}/convert_checkpoint.py"
        argv = ("python3", script, *place, *layout, "--workers", str(split.n_gpus))
        return Step("convert", role, output, argv, (source,), explanation="weights in TensorRT-LLM's own layout")
    command = ("python3", f"{examples()}/quantization/quantize.py", *place, *layout, *quantize_flags(fit, role))
    cache = ("--kv_cache_dtype", "fp8") if kv_cache_dtype == "fp8" else ()
    explanation = f"weights to {quantization}, calibrated"
    return Step("quantize", role, output, (*command, *cache), (source,), explanation=explanation)


def quantize_flags(fit: Fit, role: Role) -> tuple[str, ...]:
    quantization = fit.quantization[role]
    block = ("--awq_block_size", "128") if quantization == "int4_awq" else ()
    qformat = "full_prec" if quantization == "none" else quantization
    return ("--qformat", qformat, "--calib_size", str(CALIBRATION_SAMPLES), *block)
