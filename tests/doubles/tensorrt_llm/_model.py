"""The model side of the PyTorch backend: attention metadata, a causal model, its registry, its checkpoint loader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _language
from ._tensor import Tensor

MODEL_CLASS_MAPPING: dict[str, type] = {}


def register_auto_model(name: str) -> Callable[[type], type]:
    def register(model: type) -> type:
        MODEL_CLASS_MAPPING[name] = model
        return model

    return register


class AttentionMetadata:
    """Sequences of a batch, prompts first; `_before` stands for the KV cache: the state before each sequence."""

    def __init__(self, lengths: list[int], n_contexts: int, before: list[int]) -> None:
        self.seq_lens_cuda = Tensor(np.asarray(lengths, np.int32))
        self.num_contexts = n_contexts
        self.num_ctx_tokens = sum(lengths[:n_contexts])
        self._lengths = lengths
        self._before = before


class Mapping:
    def is_last_pp_rank(self) -> bool:
        return True


@dataclass(frozen=True)
class PretrainedConfig:
    architectures: list[str]
    vocab_size: int


@dataclass(frozen=True)
class ModelConfig:
    pretrained_config: PretrainedConfig
    mapping: Mapping


class _Model:
    def __call__(
        self,
        *,
        attn_metadata: AttentionMetadata,
        input_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        spec_metadata: None = None,
        lora_params: None = None,
    ) -> Tensor:
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds")
        ids, place, found = input_ids.tolist(), 0, []  # type: ignore[union-attr]
        for length, before in zip(attn_metadata._lengths, attn_metadata._before, strict=True):
            found += _language.states(ids[place : place + length], before)
            place += length
        if place != len(ids):
            raise ValueError("the sequences do not add up to the tokens")
        return Tensor(_language.hidden(found))


class _Head:
    def __init__(self, vocabulary: int) -> None:
        # Padded as for tensor parallelism: a column more than there are tokens, all zero.
        self._weights = np.concatenate([_language.head(vocabulary), np.zeros((_language.WIDTH, 1), np.float32)], axis=1)

    def __call__(self, rows: Tensor) -> Tensor:
        if rows.shape[0] > 512:
            raise RuntimeError("more than 512 rows go through the head at once")
        return Tensor(rows._array @ self._weights)


class _LogitsProcessor:
    def forward(
        self, hidden: Tensor, lm_head: _Head, attn_metadata: AttentionMetadata, return_context_logits: bool
    ) -> Tensor:
        ends = np.cumsum(attn_metadata._lengths) - 1
        rows = hidden._array if return_context_logits else hidden._array[ends]
        return Tensor(rows @ lm_head._weights[:, :-1])


class _CausalLM:
    """As DecoderModelForCausalLM."""

    def __init__(self, model_config: ModelConfig) -> None:
        self.model_config = model_config
        self.model = _Model()
        self.lm_head = _Head(model_config.pretrained_config.vocab_size)
        self.logits_processor = _LogitsProcessor()

    def forward(
        self,
        attn_metadata: AttentionMetadata,
        input_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        return_context_logits: bool = False,
        spec_metadata: None = None,
        lora_params: None = None,
    ) -> Any:
        hidden = self.model(
            attn_metadata=attn_metadata, input_ids=input_ids, position_ids=position_ids, inputs_embeds=inputs_embeds
        )
        return self.logits_processor.forward(hidden, self.lm_head, attn_metadata, return_context_logits)


@register_auto_model("Qwen2ForCausalLM")
class Qwen2ForCausalLM(_CausalLM):
    pass


@register_auto_model("LlamaForCausalLM")
class LlamaForCausalLM(_CausalLM):
    pass


@register_auto_model("MixtralForCausalLM")
class MixtralForCausalLM(_CausalLM):
    pass


ORIGINALS = dict(MODEL_CLASS_MAPPING)


class BaseConfigLoader:
    pass


class HfConfigLoader(BaseConfigLoader):
    pass


class BaseCheckpointLoader:
    pass


class HfCheckpointLoader(BaseCheckpointLoader):
    def __init__(
        self, *, weight_loader: None = None, weight_mapper: None = None, config_loader: BaseConfigLoader | None = None
    ) -> None:
        if weight_loader is not None or weight_mapper is not None:
            raise TypeError("the double takes no weight loader")
        if config_loader is not None and not isinstance(config_loader, BaseConfigLoader):
            raise TypeError("config_loader is no BaseConfigLoader")
        self.config_loader = config_loader


def worker_model(architecture: str, loader: HfCheckpointLoader | None) -> type:
    """The class that a worker process makes: it knows a registration only if something it unpickles imports it."""
    registered = MODEL_CLASS_MAPPING[architecture]
    if loader is None or type(loader.config_loader).__module__ != registered.__module__:
        return ORIGINALS[architecture]
    return registered
