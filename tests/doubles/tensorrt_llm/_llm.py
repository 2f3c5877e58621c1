"""LLM and SamplingParams."""

from __future__ import annotations

import inspect
import json
import pickle
from pathlib import Path
from typing import Any

from ._cache import Blocks
from ._contract import CONTRACT, check, fill, strict_class
from ._executor import Executor
from ._model import Mapping, ModelConfig, PretrainedConfig, worker_model
from ._request import Request, RequestOutput

KvCacheConfig = strict_class("KvCacheConfig")
SchedulerConfig = strict_class("SchedulerConfig")
CudaGraphConfig = strict_class("CudaGraphConfig")
SamplingParams = strict_class("SamplingParams", TypeError)
_FIELDS = CONTRACT["BaseLlmArgs"] + CONTRACT["TorchLlmArgs"]
_FIELDS = list({field["name"]: field for field in _FIELDS}.values())


class CapacitySchedulerPolicy:
    """Stands for an enumeration; its members are of this class, which is what the contract's type says."""

    def __init__(self, name: str) -> None:
        self.name = name


class ContextChunkingPolicy(CapacitySchedulerPolicy):
    pass


for _kind in (CapacitySchedulerPolicy, ContextChunkingPolicy):
    for _name in CONTRACT["enums"][_kind.__name__]:
        setattr(_kind, _name, _kind(_name))


class LLM:
    def __init__(self, model: Any, **given: Any) -> None:
        args = fill(_FIELDS, {"model": model, **given})
        document = json.loads((Path(model) / "config.json").read_text(encoding="utf-8"))
        cache = given.get("kv_cache_config") or KvCacheConfig()
        if args["speculative_config"] is not None:
            raise ValueError("the double does not speculate")
        loader = args["checkpoint_loader"]
        if loader is not None:
            loader = pickle.loads(pickle.dumps(loader))  # noqa: S301  as it travels to a worker process
        config = PretrainedConfig(document["architectures"], document["vocab_size"])
        built = worker_model(config.architectures[0], loader)(ModelConfig(config, Mapping()))
        block = cache.tokens_per_block
        blocks = Blocks(block, partial=cache.enable_partial_reuse) if cache.enable_block_reuse else None
        self._vocabulary = config.vocab_size
        self._no_tokenizer = args["skip_tokenizer_init"] or args["tokenizer"] is None
        self._limits = {
            "max_batch_size": args["max_batch_size"] or 2048,
            "max_num_tokens": args["max_num_tokens"],
            "max_seq_len": args["max_seq_len"] or document["max_position_embeddings"],
            "chunked": args["enable_chunked_prefill"],
            "block": block,
        }
        self._executor = Executor(built, vocabulary=config.vocab_size, blocks=blocks, limits=self._limits)
        self._number = 0

    def generate_async(self, *args: Any, **kwargs: Any) -> RequestOutput:
        names = CONTRACT["generate_async"]
        bound = _SIGNATURE.bind(*args, **kwargs).arguments
        for field in names[1:]:
            if field["name"] in bound:
                check(field, bound[field["name"]], TypeError)
        unsupported = set(bound) - {"inputs", "sampling_params", "cache_salt"}
        if any(bound[name] for name in unsupported):
            raise NotImplementedError(f"the double has no {sorted(unsupported)}")
        tokens = bound["inputs"]
        if not isinstance(tokens, list) or not tokens or not all(type(token) is int for token in tokens):
            raise TypeError("the double takes prompts as List[int]")
        sampling = bound.get("sampling_params") or SamplingParams()
        if sampling.end_id is None and self._no_tokenizer:
            raise ValueError("end_id must be set without a tokenizer")
        if not 0 <= min(tokens) <= max(tokens) < self._vocabulary:
            raise ValueError("token id out of range")
        if len(tokens) > self._limits["max_num_tokens"] and not self._limits["chunked"]:
            raise ValueError(f"the prompt of {len(tokens)} tokens exceeds max_num_tokens")
        if len(tokens) >= self._limits["max_seq_len"]:
            raise ValueError(f"the prompt of {len(tokens)} tokens exceeds max_seq_len")
        self._number += 1
        return self._executor.submit(Request(self._number, tokens, sampling, bound.get("cache_salt")))

    def shutdown(self) -> None:
        self._executor.stop()


_SIGNATURE = inspect.Signature(
    [
        inspect.Parameter(
            field["name"],
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=inspect.Parameter.empty if field["default"] == "__required__" else field["default"],
        )
        for field in CONTRACT["generate_async"]
    ]
)
