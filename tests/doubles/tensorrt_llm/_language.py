"""A language model small enough to know its true probabilities: every token depends on everything before it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

WIDTH = 12
START = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def advance(state: int, token: int) -> int:
    """The state after one more token; it stands for the KV cache of the whole prefix."""
    mixed = (state ^ (token + 1) * 0xBF58476D1CE4E5B9) * 0x94D049BB133111EB & _MASK
    return mixed ^ (mixed >> 29)


def states(tokens: Sequence[int], state: int = START) -> list[int]:
    """The state after each token."""
    found = []
    for token in tokens:
        state = advance(state, token)
        found.append(state)
    return found


def hidden(after: Sequence[int]) -> np.ndarray:
    """Hidden states, float32[n, WIDTH] in [-1, 1]."""
    mixed = np.asarray(after, np.uint64)[:, None] + np.arange(1, WIDTH + 1, dtype=np.uint64) * np.uint64(START)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((mixed >> np.uint64(40)).astype(np.float64) / 2**23 - 1).astype(np.float32)


def head(vocabulary: int) -> np.ndarray:
    """Weights of the language-model head, float32[WIDTH, vocabulary]."""
    return (2.0 * hidden(range(7, 7 + vocabulary)).T).astype(np.float32)


def true_logprobs(tokens: Sequence[int], vocabulary: int) -> list[float]:
    """What a full prefill gives: the log-prob of tokens[i + 1] after tokens[: i + 1]."""
    logits = (hidden(states(tokens)) @ head(vocabulary)).astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return [float(logits[i, token]) for i, token in enumerate(tokens[1:])]
