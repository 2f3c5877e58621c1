"""What the batch of the simulated engine keeps of a request, and what it counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class EngineCounters:
    """What the engine has done so far.

    Args:
        calls: Calls of either verb, faulty ones included.
        generated_tokens: Tokens generated, those of cancelled calls included, end-of-text tokens not.
        prefilled_tokens: Prompt and scored tokens computed.
        reused_tokens: Prompt tokens found in the KV cache instead.
        iterations: Iterations run.
        busy_s: Seconds spent in them.
        peak_blocks: Most KV blocks held by requests at once.
        peak_sequences: Most sequences in the batch at once.
    """

    calls: int = 0
    generated_tokens: int = 0
    prefilled_tokens: int = 0
    reused_tokens: int = 0
    iterations: int = 0
    busy_s: float = 0.0
    peak_blocks: int = 0
    peak_sequences: int = 0


@dataclass(slots=True, eq=False)
class Sequence:
    """A request on its way: its prompt is computed, then it gets one token an iteration, for `steps` iterations.

    Args:
        tokens: The prompt, in whatever form the batch's KV cache knows tokens.
        n_tokens: Tokens of the prompt.
        reusable_tokens: How many leading ones may come from the KV cache.
        total_tokens: The most it will ever hold.
        n_new: Tokens that it will generate.
        steps: Iterations which that takes: n_new, and one more where an end-of-text token follows. 0 is a score.
        scored_tokens: Trailing tokens of the prompt whose log-probs are asked for.
        written: The prompt and all generated tokens but the last, which was never fed back and has no keys and values.
        owner: For whoever made it.
    """

    tokens: Any
    n_tokens: int
    reusable_tokens: int
    total_tokens: int
    n_new: int = 0
    steps: int = 0
    scored_tokens: int = 0
    written: Callable[[], Any] | None = None
    owner: Any = None
    lease: Any = None
    computed: int = 0
    """Prompt tokens in the KV cache."""
    taken: int = 0
    """Steps done."""
