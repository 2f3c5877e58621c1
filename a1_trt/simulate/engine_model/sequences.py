"""What the batch of the simulated engine keeps of a request, and what it counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class EngineCounters:
    """What the engine has done so far."""

    calls: int = 0  # of either verb, faulty ones included
    generated_tokens: int = 0  # those of cancelled calls included, end-of-text tokens not
    prefilled_tokens: int = 0  # prompt and scored tokens computed
    reused_tokens: int = 0  # prompt tokens found in the KV cache instead
    iterations: int = 0
    busy_s: float = 0.0  # spent in iterations
    peak_blocks: int = 0  # most KV blocks held by requests at once
    peak_sequences: int = 0  # most sequences in the batch at once


@dataclass(slots=True, eq=False)
class Sequence:
    """A request on its way: its prompt is computed, then it gets one token an iteration, for `steps` iterations."""

    tokens: Any  # the prompt, in whatever form the batch's KV cache knows tokens
    n_tokens: int  # of the prompt
    reusable_tokens: int  # how many leading ones may come from the KV cache
    total_tokens: int  # the most it will ever hold
    n_new: int = 0  # tokens that it will generate
    steps: int = 0  # iterations which that takes: n_new, and one more where an end-of-text token follows; 0 is a score
    scored_tokens: int = 0  # trailing tokens of the prompt whose log-probs are asked for
    written: Callable[[], Any] | None = None  # prompt and generated tokens but the last, which has no keys and values
    owner: Any = None  # for whoever made it
    lease: Any = None
    computed: int = 0
    """Prompt tokens in the KV cache."""
    taken: int = 0
    """Steps done."""
