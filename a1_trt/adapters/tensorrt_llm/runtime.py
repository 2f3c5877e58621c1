"""tensorrt_llm as far as this adapter uses it: which version there is, and an `LLM` made of plain settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from a1_trt.errors import ConfigError

_CLASSES = {
    "kv_cache_config": "KvCacheConfig",
    "scheduler_config": "SchedulerConfig",
    "cuda_graph_config": "CudaGraphConfig",
}
"""Settings that are objects of tensorrt_llm.llmapi."""
_ENUMS = {"capacity_scheduler_policy": "CapacitySchedulerPolicy", "context_chunking_policy": "ContextChunkingPolicy"}


def tensorrt_llm() -> Any:
    """The package tensorrt_llm.

    Raises:
        ConfigError: It is not installed, or does not start on this machine.
    """
    try:
        import tensorrt_llm as package
    except (ImportError, OSError, RuntimeError) as error:  # it loads CUDA libraries, which may be missing
        raise ConfigError(
            f"the tensorrt_llm engine needs TensorRT-LLM ({_last_line(error)})",
            field="engine",
            remedy='run in NVIDIA\'s container (docs/gpu.md), or choose engine = "openvino" on a CPU',
        ) from None
    return package


def at_least(version: str, wanted: str) -> bool:
    """Whether a version is `wanted` or later; a release candidate comes before its release.

    Example:
        >>> at_least("1.3.0rc11", "1.3.0rc9"), at_least("1.3.0rc2", "1.3.0"), at_least("1.2.1", "1.2.0")
        (True, False, True)
    """
    from packaging.version import InvalidVersion, Version  # comes with tensorrt_llm

    try:
        return Version(version) >= Version(wanted)
    except InvalidVersion:
        return False


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What a checkpoint says about itself.

    Args:
        architecture: Name of its class.
        vocabulary: Number of token ids.
        max_context_tokens: Longest sequence.
    """

    architecture: str
    vocabulary: int
    max_context_tokens: int

    @classmethod
    def read(cls, checkpoint: str) -> ModelShape:
        """Read a checkpoint's config.json, from its directory or from the Hugging Face hub.

        Raises:
            ConfigError: There is none, or it does not say.
        """
        try:
            said = _config(checkpoint)
            return cls(said["architectures"][0], int(said["vocab_size"]), int(said["max_position_embeddings"]))
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            raise ConfigError(
                f"{checkpoint} has no readable config.json of a language model ({_last_line(error)})",
                path=checkpoint,
                field="model",
                remedy="give the directory of a Hugging Face checkpoint; 'a1-trt engine build' makes one",
            ) from None


def open_llm(settings: Mapping[str, Any], *, log_probs: bool) -> Any:
    """An `LLM` of plain settings; takes minutes and blocks.

    Args:
        settings: Keyword arguments of `LLM`, nested ones as mappings.
        log_probs: Its model is to return log-probs (`model.py`).

    Raises:
        ConfigError: A setting is unknown or wrong, or the model cannot be loaded.
    """
    package = tensorrt_llm()
    try:
        arguments = {name: _typed(name, value) for name, value in settings.items()}
        if log_probs:
            from a1_trt.adapters.tensorrt_llm.model import checkpoint_loader

            arguments["checkpoint_loader"] = checkpoint_loader()
        return package.LLM(**arguments)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(
            f"TensorRT-LLM {package.__version__} cannot load {settings.get('model')} ({_last_line(error)})",
            path=str(settings.get("model")),
            field="engine",
            remedy="compare settings, version and GPU with 'a1-trt engine check'",
        ) from error


def _typed(name: str, value: Any) -> Any:
    """A setting as tensorrt_llm wants it."""
    if name not in _CLASSES or not isinstance(value, Mapping):
        return value
    from tensorrt_llm import llmapi

    fields = {key: _enum(llmapi, key, item) for key, item in value.items()}
    return getattr(llmapi, _CLASSES[name])(**fields)


def _enum(llmapi: Any, key: str, value: Any) -> Any:
    return getattr(getattr(llmapi, _ENUMS[key]), value) if key in _ENUMS and isinstance(value, str) else value


def _config(checkpoint: str) -> dict[str, Any]:
    if Path(checkpoint).is_dir():
        loaded = json.loads((Path(checkpoint) / "config.json").read_text(encoding="utf-8"))
    else:
        from transformers import AutoConfig

        loaded = AutoConfig.from_pretrained(checkpoint).to_dict()
    return dict(loaded.get("text_config", loaded))


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1][:300]}" if lines else type(error).__name__
