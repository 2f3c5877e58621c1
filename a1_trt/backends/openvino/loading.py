"""From a model directory or a .gguf file to a pipeline, or to an error that says what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from a1_trt.backends.checks import last_line
from a1_trt.backends.openvino.gguf import read_metadata
from a1_trt.backends.openvino.pipeline import Setup
from a1_trt.backends.prefixes import BLOCK_TOKENS
from a1_trt.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Shape:
    """What a model says about itself; `kv_bytes` are what one token takes in a KV cache of 32-bit numbers."""

    max_context_tokens: int
    vocabulary: int
    kv_bytes: int

    def n_blocks(self, kv_cache_gb: int) -> int:
        return max(4, kv_cache_gb * 2**30 // (self.kv_bytes * BLOCK_TOKENS))


def openvino_genai() -> Any:
    try:
        import openvino_genai as genai
    except ImportError as error:
        message = f"the CPU engine needs the package openvino-genai ({error})"
        raise ConfigError(message, field="engine", remedy="pip install 'a1_trt[cpu]'") from None
    return genai


def checked_model(model: Path) -> None:
    if not model.exists():
        raise _wrong(model, "does not exist", "give a compiled model directory or a .gguf file")
    if model.is_file():
        if model.suffix != ".gguf":
            raise _wrong(model, "is a file, but not a .gguf file", "give a compiled model directory or a .gguf file")
        with loading(model):
            read_metadata(model)
        return
    missing = [name for name in ("openvino_model.xml", "openvino_model.bin") if not (model / name).is_file()]
    if missing and any(model.glob("*.safetensors")):
        raise _wrong(model, "is a Hugging Face checkpoint, not compiled yet", "build it with 'a1-trt engine build'")
    if missing:
        raise _wrong(model, f"has no {' and no '.join(missing)}", "build it with 'a1-trt engine build'")


@contextmanager
def loading(model: Path) -> Iterator[None]:
    """Turn whatever the runtime raises while it loads `model` into a ConfigError of one line."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001  the runtime raises many kinds for a damaged file
        remedy = "it may be damaged: build or download it again"
        raise _wrong(model, f"cannot be loaded ({last_line(error)})", remedy) from None


def load_pipeline(setup: Setup) -> Any:
    """A continuous-batching pipeline on the CPU, as openvino-genai has it.

    With the "device" precision (bfloat16 arithmetic and an 8-bit KV cache on some processors) a log-prob depends on the
    machine, and on what is in the cache, by up to 0.05.
    """
    genai = openvino_genai()
    from openvino import Type

    scheduler = genai.SchedulerConfig()
    scheduler.num_kv_blocks = setup.n_blocks
    scheduler.max_num_seqs = setup.max_in_flight
    scheduler.max_num_batched_tokens = max(setup.max_batched_tokens, setup.max_in_flight)
    scheduler.dynamic_split_fuse = True
    scheduler.enable_prefix_caching = setup.reuse_prefixes
    # Each pipeline would pin its threads to the same first cores, and all of them wait there while others are idle.
    properties: dict[str, Any] = {"ENABLE_CPU_PINNING": False}
    if setup.precision == "f32":
        properties |= {"INFERENCE_PRECISION_HINT": Type.f32, "KV_CACHE_PRECISION": Type.f32}
    if setup.threads is not None:
        properties["INFERENCE_NUM_THREADS"] = setup.threads
    with loading(setup.proposer or setup.model):
        if setup.proposer is not None:
            properties["draft_model"] = genai.draft_model(str(setup.proposer), "CPU")
    with loading(setup.model):
        if setup.model.is_file():  # a .gguf file brings its own tokenizer; the constructor takes no other
            return genai.ContinuousBatchingPipeline(str(setup.model), scheduler, "CPU", properties)
        tokenizer = genai.Tokenizer(str(setup.model))
        return genai.ContinuousBatchingPipeline(str(setup.model), tokenizer, scheduler, "CPU", **properties)


def context_length(model: Path) -> int:
    """Longest prompt plus generation of a model, in tokens, read without loading it."""
    checked_model(model)
    return read_shape(model).max_context_tokens


def read_shape(model: Path) -> Shape:
    with loading(model):
        if model.is_file():
            metadata = read_metadata(model)
            kind = metadata["general.architecture"].decode()
            heads = metadata[f"{kind}.attention.head_count"]
            width = metadata.get(f"{kind}.attention.key_length", metadata[f"{kind}.embedding_length"] // heads)
            kv_heads = metadata.get(f"{kind}.attention.head_count_kv", heads)
            kv_bytes = _kv_bytes(metadata[f"{kind}.block_count"], kv_heads, width)
            return Shape(metadata[f"{kind}.context_length"], len(metadata["tokenizer.ggml.tokens"]), kv_bytes)
        config = json.loads((model / "config.json").read_text(encoding="utf-8"))
        config = config.get("text_config", config)
        heads = config["num_attention_heads"]
        width = config.get("head_dim") or config["hidden_size"] // heads
        kv_bytes = _kv_bytes(config["num_hidden_layers"], config.get("num_key_value_heads") or heads, width)
        return Shape(int(config["max_position_embeddings"]), int(config["vocab_size"]), kv_bytes)


def _kv_bytes(layers: int, kv_heads: int, width: int) -> int:
    return layers * 2 * kv_heads * width * 4


def _wrong(model: Path, what: str, remedy: str) -> ConfigError:
    return ConfigError(f"the model {model} {what}", path=str(model), field="model", remedy=remedy)
