"""Randomness as a function: every random choice is a hash of what it is for.

So an asynchronous and a barrier run draw the same segments, and a run repeats whatever the order of completions.
"""

from __future__ import annotations

from hashlib import blake2b

from a1_trt.types import CallKind

_BITS = 48


def call_seed(seed: int, problem_id: str, sample: int, turn: int, kind: CallKind) -> int:
    """Seed of one call's sampling, an integer in [0, 2^48)."""
    name = f"{seed}\x1f{problem_id}\x1f{sample}\x1f{turn}\x1f{kind}"
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") >> (64 - _BITS)


def uniform(seed: int, problem_id: str, sample: int, turn: int) -> float:
    """A number in (0, 1) for the smoothed p-value of one segment."""
    return (call_seed(seed, problem_id, sample, turn, "score") + 0.5) / float(1 << _BITS)
