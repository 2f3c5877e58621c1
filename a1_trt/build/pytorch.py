"""TensorRT-LLM's LLM API on its PyTorch backend (1.2.1 and 1.3). Nothing here has been run on a GPU.

There is nothing to compile: a build fetches or quantises the checkpoint, writes the arguments of `tensorrt_llm.LLM`,
and starts the engine once to see that it answers and, for a target, that its scores are right.
"""

import json
from pathlib import Path
from typing import Any

import yaml

from a1_trt.build.fit import Fit
from a1_trt.build.hardware import ModelDimensions
from a1_trt.build.sizes import TOKENS_PER_BLOCK
from a1_trt.build.steps import Step, checkpoint, examples
from a1_trt.build.tensorrt import CONTAINER, quantize_flags
from a1_trt.config import Pair
from a1_trt.types import Role

VERSIONS = {"tensorrt_llm": "1.2.1", "at_least": "1.2.0", "at_most": "1.3", "container_tag": CONTAINER}
"""What the settings are held to, and which versions are let through; `at_most` means any release of that line."""
SETTINGS = "settings.json"  # arguments of `LLM`, as the in-process adapter reads them
YAML = "llm.yaml"  # the same without the model, for NVIDIA's own programs (trtllm-serve --extra_llm_api_options)


def settings(pair: Pair, role: Role, model: ModelDimensions, fit: Fit, output: Path) -> dict[str, Any]:
    sizes, split = fit.sizes[role], fit.placement[role].split
    is_target = role == "target"
    return {
        "model": str(_weights(pair, role, model, fit, output)),
        "backend": "pytorch",
        "tensor_parallel_size": split.tensor,
        "pipeline_parallel_size": split.pipeline,
        "max_seq_len": sizes.max_seq_len,
        "max_batch_size": sizes.max_batch_size,
        "max_num_tokens": sizes.max_num_tokens,
        "max_beam_width": 1,
        # A cut through a prompt of the target would lose the log-prob at the cut.
        "enable_chunked_prefill": not is_target,
        "cuda_graph_config": {"max_batch_size": sizes.max_batch_size, "enable_padding": True},
        "scheduler_config": {"capacity_scheduler_policy": "GUARANTEED_NO_EVICT"},
        "kv_cache_config": {
            "enable_block_reuse": True,
            # Reuse up to the middle of a block would reach into segments that are still to be scored.
            "enable_partial_reuse": not is_target,
            "free_gpu_memory_fraction": fit.kv_fraction[role],
            "max_tokens": fit.kv_tokens[role],
            "tokens_per_block": TOKENS_PER_BLOCK,
            "dtype": pair.role(role).gpu.kv_cache_dtype,
        },
    }


def steps(pair: Pair, role: Role, model: ModelDimensions, fit: Fit, output: Path) -> list[Step]:
    source, planned = checkpoint(pair, role, output)
    weights = _weights(pair, role, model, fit, output)
    if weights != source:
        script = f"{examples()}/quantization/quantize.py"
        layout = ("--model_dir", str(source), "--output_dir", str(weights), "--dtype", "bfloat16")
        argv = ("python3", script, *layout, "--export_format", "hf", *quantize_flags(fit, role))
        planned.append(Step("quantize", role, weights, argv, (source,), explanation=f"to {fit.quantization[role]}"))
    arguments = settings(pair, role, model, fit, output)
    files = {
        SETTINGS: json.dumps(arguments, indent=2) + "\n",
        YAML: yaml.safe_dump({key: value for key, value in arguments.items() if key != "model"}, sort_keys=False),
    }
    built, report = output / role, output / "warm-up" / role
    planned.append(Step("configure", role, built, inputs=(weights,), files=files, explanation="arguments of LLM"))
    scoring = ("--scoring", str(fit.sizes[role].scoring)) if role == "target" else ()
    warm_up = ("python3", "-m", "a1_trt.build.warmup", role, str(built / SETTINGS), str(report), *scoring)
    gpus, explanation = fit.placement[role].replicas[0], "start it once, alone; a target has to pass its canary"
    planned.append(Step("warm-up", role, report, warm_up, (built, weights), gpus=gpus, explanation=explanation))
    return planned


def _weights(pair: Pair, role: Role, model: ModelDimensions, fit: Fit, output: Path) -> Path:
    """The checkpoint that the engine loads: that of the pair, or the quantised one."""
    if model.quantization is None and fit.quantization[role] != "none":
        return (output / "quantized" / role).absolute()
    return checkpoint(pair, role, output)[0].absolute()
