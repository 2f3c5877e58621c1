"""Which prefixes the KV cache holds: blocks of tokens behind the prefix they follow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from ._language import START, states


class Blocks:
    """Blocks by salt and by the state before them."""

    def __init__(self, size: int, *, partial: bool) -> None:
        self._size = size
        self._partial = partial
        self._held: dict[tuple[str | None, int], set[tuple[int, ...]]] = defaultdict(set)

    def store(self, salt: str | None, tokens: Sequence[int], *, tail: bool) -> None:
        """Keep the whole blocks of a sequence, and with `tail` the last one that is not whole."""
        before = START
        for start in range(0, len(tokens), self._size):
            block = tuple(tokens[start : start + self._size])
            if len(block) == self._size or tail:
                self._held[salt, before].add(block)
            before = states(block, before)[-1]

    def n_cached(self, salt: str | None, tokens: Sequence[int]) -> int:
        """Tokens of a prompt that need not be computed; the last one always is."""
        found, before = 0, START
        limit = len(tokens) - 1
        while True:
            block = tuple(tokens[found : found + self._size])
            held = self._held.get((salt, before), set())
            if block in held and len(block) == self._size and found + self._size <= limit:
                found += self._size
                before = states(block, before)[-1]
                continue
            if self._partial:
                found = min(limit, found + max((_common(block, other) for other in held), default=0))
            return found


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    for i, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return i
    return min(len(one), len(other))
