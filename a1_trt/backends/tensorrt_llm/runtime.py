"""tensorrt_llm as far as this adapter uses it: which version there is, and an `LLM` made of plain settings."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from a1_trt.backends.checks import last_line
from a1_trt.errors import ConfigError

_T = TypeVar("_T")
SETTINGS_FILE = "settings.json"  # in the directory of a built engine: the keyword arguments of `LLM`
_MANIFEST = "manifest.json"  # beside the directories of a build's engines: what the build was for
_MAX_NUM_TOKENS = 8192
_CLASSES = {
    "kv_cache_config": "KvCacheConfig",
    "scheduler_config": "SchedulerConfig",
    "cuda_graph_config": "CudaGraphConfig",
}
"""Settings that are objects of tensorrt_llm.llmapi."""
_ENUMS = {"capacity_scheduler_policy": "CapacitySchedulerPolicy", "context_chunking_policy": "ContextChunkingPolicy"}


def tensorrt_llm() -> Any:
    try:
        import tensorrt_llm as package
    except (ImportError, OSError, RuntimeError) as error:  # it loads CUDA libraries, which may be missing
        message = f"the tensorrt_llm engine needs TensorRT-LLM ({last_line(error)})"
        remedy = 'run in NVIDIA\'s container (docs/gpu.md), or choose engine = "openvino" on a CPU'
        raise ConfigError(message, field="engine", remedy=remedy) from None
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
    """What a checkpoint says about itself: the name of its class, the number of token ids, its longest sequence."""

    architecture: str
    vocabulary: int
    max_context_tokens: int

    @classmethod
    def read(cls, checkpoint: str) -> Self:
        """Read the config.json in the directory of a checkpoint, or of the one that a built engine is of."""
        checkpoint = checkpoint_of(checkpoint)
        try:
            document = json.loads((Path(checkpoint) / "config.json").read_text(encoding="utf-8"))
            config = document.get("text_config", document)
            return cls(config["architectures"][0], int(config["vocab_size"]), int(config["max_position_embeddings"]))
        except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            message = f"{checkpoint} has no readable config.json of a language model ({last_line(error)})"
            remedy = "give the directory of a Hugging Face checkpoint; 'a1-trt engine build' makes one"
            raise ConfigError(message, path=checkpoint, field="model", remedy=remedy) from None


def checkpoint_of(model: str) -> str:
    """The checkpoint that a built engine's directory is of; any other directory is one itself."""
    return str(read_settings(model).get("model", model)) if (Path(model) / SETTINGS_FILE).is_file() else model


def read_settings(model: str) -> dict[str, Any]:
    """The settings of a built engine's directory; of a checkpoint, those that it takes to run it."""
    path = Path(model) / SETTINGS_FILE
    if path.is_file():
        return _read(path, "model", lambda settings: dict(settings.items()))
    limit = ModelShape.read(model).max_context_tokens
    return {"model": model, "max_seq_len": limit, "max_num_tokens": limit}


def planned_scores(model: str) -> int:
    """Scores at once that a build set memory aside for; 1 where there is no record of one."""
    path, field = Path(model).parent / _MANIFEST, "max_scoring_requests"
    return _read(path, field, lambda manifest: max(int(manifest.get(field) or 1), 1)) if path.is_file() else 1


def _read(path: Path, field: str, take: Callable[[Any], _T]) -> _T:
    try:
        return take(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        remedy = "build the engine again with 'a1-trt engine build'"
        message = f"{path} cannot be read ({last_line(error)})"
        raise ConfigError(message, path=str(path), field=field, remedy=remedy) from None


def served_shape(settings: Mapping[str, Any]) -> ModelShape:
    """The shape of the settings' model, its context cut to what they let through, less the token a score generates."""
    shape = ModelShape.read(str(_needed(settings, "model")))
    limit = min(shape.max_context_tokens, int(_needed(settings, "max_seq_len")) - 1)
    if not settings.get("enable_chunked_prefill"):
        limit = min(limit, int(settings.get("max_num_tokens") or _MAX_NUM_TOKENS))
    return ModelShape(shape.architecture, shape.vocabulary, limit)


def open_llm(settings: Mapping[str, Any], *, log_probs: bool) -> Any:
    """An `LLM` of plain settings; takes minutes, blocks. With `log_probs` it returns the prompt's (`model.py`)."""
    package = tensorrt_llm()
    try:
        arguments = {name: _typed(name, value) for name, value in settings.items()}
        if log_probs:
            from a1_trt.backends.tensorrt_llm.model import checkpoint_loader

            arguments["checkpoint_loader"] = checkpoint_loader()
        return package.LLM(**arguments)
    except ConfigError:
        raise
    except Exception as error:
        message = f"TensorRT-LLM {package.__version__} cannot load {settings.get('model')} ({last_line(error)})"
        remedy = "compare settings, version and GPU with 'a1-trt engine check'"
        raise ConfigError(message, path=str(settings.get("model")), field="engine", remedy=remedy) from error


def _typed(name: str, value: Any) -> Any:
    if name not in _CLASSES or not isinstance(value, Mapping):
        return value
    from tensorrt_llm import llmapi

    fields = {key: _enum(llmapi, key, item) for key, item in value.items()}
    return getattr(llmapi, _CLASSES[name])(**fields)


def _enum(llmapi: Any, key: str, value: Any) -> Any:
    return getattr(getattr(llmapi, _ENUMS[key]), value) if key in _ENUMS and isinstance(value, str) else value


def _needed(settings: Mapping[str, Any], key: str) -> Any:
    if settings.get(key) is None:
        message = f"the settings of the engine have no {key}"
        raise ConfigError(message, field=key, remedy="make them with 'a1-trt engine plan', or add it")
    return settings[key]
