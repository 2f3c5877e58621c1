"""Block accounting of a paged KV cache by tokens: who holds how many blocks, and which prefixes are still there.

A full block is known by the hash of its tokens and of all before them, so equal prefixes have equal hashes and share
blocks. Blocks that nobody holds stay as *cached* until their room is needed; the least recently used goes first, and of
one chain the last block first, since a block is of no use without those before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Lease:
    """The blocks that one request holds: hashes of the full ones, which may be shared, in order; others of its own."""

    keys: list[int]
    private: int
    reused_tokens: int


class KvCache:
    """`capacity` blocks of `block_tokens` tokens, held by requests or, where `reuse` is wanted, cached.

    Example:
        >>> cache = KvCache(8, 2)
        >>> lease = cache.acquire([1, 2, 3], reusable_tokens=2, total_tokens=6)
        >>> cache.publish(lease, [1, 2, 3])
        >>> cache.in_use, cache.acquire([1, 2, 9, 9], reusable_tokens=3, total_tokens=4).reused_tokens
        (3, 2)
    """

    def __init__(self, capacity: int, block_tokens: int, *, reuse: bool = True) -> None:
        self._capacity = capacity
        self._block_tokens = block_tokens
        self._reuse = reuse
        self._holders: dict[int, int] = {}
        self._cached: dict[int, None] = {}  # least recently used first
        self._private = 0

    @property
    def in_use(self) -> int:
        """Blocks that requests hold; a shared one counts once."""
        return self._private + len(self._holders)

    @property
    def cached(self) -> int:
        """Blocks that nobody holds but whose tokens are still there."""
        return len(self._cached)

    def acquire(self, tokens: Sequence[int], *, reusable_tokens: int, total_tokens: int) -> Lease | None:
        """Take the blocks of a request for the tokens that it will have at most, or None when there is no room now.

        Tokens of the prompt (int[n]) behind the first `reusable_tokens` are computed in any case.
        """
        hits = self._hits(tokens)
        need = -(-total_tokens // self._block_tokens) - len(hits)
        evictable = len(self._cached) - sum(key in self._cached for key in hits)
        room = self._capacity - self.in_use - len(self._cached)
        if need > room + evictable:
            return None
        for key in hits:
            self._hold(key)
        for key in list(self._cached)[: max(0, need - room)]:
            del self._cached[key]
        self._private += need
        return Lease(hits, need, min(len(hits) * self._block_tokens, reusable_tokens))

    def publish(self, lease: Lease, tokens: Sequence[int]) -> None:
        """Let others share the lease's full blocks; `tokens` are all that it has computed, int[n]."""
        if not self._reuse:
            return
        parent = lease.keys[-1] if lease.keys else 0
        size = self._block_tokens
        for start in range(len(lease.keys) * size, len(tokens) - size + 1, size):
            parent = _key(parent, tokens[start : start + size])
            self._hold(parent)  # where another request computed the same block meanwhile, ours is given back
            lease.keys.append(parent)
            lease.private -= 1
            self._private -= 1

    def release(self, lease: Lease) -> None:
        self._private -= lease.private
        for key in reversed(lease.keys):
            self._holders[key] -= 1
            if not self._holders[key]:
                del self._holders[key]
                self._cached[key] = None

    def _hits(self, tokens: Sequence[int]) -> list[int]:
        hits: list[int] = []
        parent, size = 0, self._block_tokens
        for start in range(0, len(tokens) - size + 1, size):
            parent = _key(parent, tokens[start : start + size])
            if parent not in self._holders and parent not in self._cached:
                break
            hits.append(parent)
        return hits

    def _hold(self, key: int) -> None:
        self._cached.pop(key, None)
        self._holders[key] = self._holders.get(key, 0) + 1


def _key(parent: int, tokens: Sequence[int]) -> int:
    """Chained hash of a block; Python's hash of whole numbers is the same in every process."""
    return hash((parent, *tokens))
