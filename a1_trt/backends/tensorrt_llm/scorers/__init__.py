"""Ways to get the log-probs of prompt tokens, behind one interface; `choose` takes the cheapest that is right.

::

    scorer.py             the interface, and the guard that all share
    additional_output.py  the model's forward returns them: four bytes a token
    context_logits.py     from the logits of the prompt: four bytes a token and vocabulary entry
    prompt_logprobs.py    to check the others by

What they cannot give: compiled engines (TensorRT-LLM <= 1.2.1) return neither additional outputs nor, through the LLM
API, the logits of tokens passed as a draft; score those behind Triton (`a1_trt.backends.triton`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from a1_trt.backends.tensorrt_llm.runtime import at_least
from a1_trt.backends.tensorrt_llm.scorers.additional_output import AdditionalOutputScorer
from a1_trt.backends.tensorrt_llm.scorers.context_logits import ContextLogitsScorer
from a1_trt.backends.tensorrt_llm.scorers.prompt_logprobs import PromptLogprobsScorer
from a1_trt.backends.tensorrt_llm.scorers.scorer import Scorer, Tail
from a1_trt.errors import ConfigError

__all__ = ["AdditionalOutputScorer", "ContextLogitsScorer", "PromptLogprobsScorer", "Scorer", "Tail", "choose"]

ARCHITECTURES = ("LlamaForCausalLM", "Qwen2ForCausalLM")
"""Architectures that `model.py` has a version of."""
SINCE = "1.2.0"
"""The first version that counts cached tokens and returns additional outputs of prompts."""


def choose(wanted: str, *, version: str, architecture: str, vocabulary: int, settings: Mapping[str, Any]) -> Scorer:
    """The scorer of a name, or for "auto" the cheapest that is right for this engine.

    Args:
        wanted: "auto", "additional_output" or "context_logits".
        version: Version of tensorrt_llm.
        architecture: Name of the model's architecture.
        vocabulary: Number of token ids.
        settings: What `LLM` is made with.

    Raises:
        ConfigError: The version or the settings rule it out.
    """
    if not at_least(version, SINCE):
        raise _wrong(f"tensorrt_llm {version} cannot score", "engine", f"install version {SINCE} or later")
    if settings.get("speculative_config") is not None:
        raise _wrong(
            "an engine with speculative_config returns no logits of the prompt",
            "speculative_config",
            "leave it out for the target",
        )
    obstacle = _obstacle(architecture, settings)
    if wanted == "additional_output" and obstacle:
        raise _wrong(f"additional_output cannot be used: {obstacle}", "scorer", "score with 'context_logits'")
    if wanted not in ("auto", "additional_output", "context_logits"):
        raise _wrong(f"there is no scorer {wanted!r}", "scorer", "choose auto, additional_output or context_logits")
    if wanted == "context_logits" or obstacle:
        return ContextLogitsScorer(vocabulary)
    return AdditionalOutputScorer()


def _obstacle(architecture: str, settings: Mapping[str, Any]) -> str | None:
    """What keeps the model's forward from returning log-probs, if anything."""
    if architecture not in ARCHITECTURES:
        return f"it knows {' and '.join(ARCHITECTURES)}, the model is a {architecture}"
    for key in ("torch_compile_config", "checkpoint_loader", "checkpoint_format"):
        if settings.get(key) is not None:
            return f"{key} is set"
    return "enable_attention_dp is set" if settings.get("enable_attention_dp") else None


def _wrong(what: str, field: str, remedy: str) -> ConfigError:
    return ConfigError(what, field=field, remedy=remedy)
