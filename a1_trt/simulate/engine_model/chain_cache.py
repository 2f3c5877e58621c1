"""A KV cache for simulations that know how long texts are, but not what they say.

It gives the same hits and the same occupancy as a paged cache of the tokens of such texts: the samples of a problem
share the full blocks of its prompt, each has its own from there on, blocks go when nobody holds them, least recently
used first, the tail of a chain before its head. It counts blocks instead of hashing tokens, so that millions of calls
can be simulated.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple


class Chain(NamedTuple):
    """A text by its length: the first `n_prompt` tokens are its problem's, the others its own; one call at a time."""

    problem: int
    sample: int
    n_prompt: int
    n_tokens: int


@dataclass(slots=True, eq=False)
class ChainLease:
    """Blocks that a request holds: of the prompt and of its chain, for all to share, and `private` ones."""

    chain: Chain
    prompt: int
    own: int
    private: int
    reused_tokens: int


class ChainCache:
    """Blocks by chain; see `KvCache`.

    Example:
        >>> cache = ChainCache(8, 2)
        >>> lease = cache.acquire(Chain(0, 0, 2, 3), reusable_tokens=2, total_tokens=6)
        >>> cache.publish(lease, Chain(0, 0, 2, 3))
        >>> cache.in_use, cache.acquire(Chain(0, 1, 2, 4), reusable_tokens=3, total_tokens=4).reused_tokens
        (3, 2)
    """

    def __init__(self, capacity: int, block_tokens: int, *, reuse: bool = True) -> None:
        self.in_use = 0
        self.cached = 0
        self._capacity = capacity
        self._block_tokens = block_tokens
        self._reuse = reuse
        self._held: dict[int, list[int]] = {}
        """For each prompt, how many leading blocks each holder holds."""
        self._free: dict[Hashable, tuple[int, int]] = {}
        """Ranges of blocks that nobody holds, least recently used first; by prompt or by prompt and sample."""

    def acquire(self, chain: Chain, *, reusable_tokens: int, total_tokens: int) -> ChainLease | None:
        """Take the blocks of a request, or None when there is no room now.

        Args:
            chain: Its prompt.
            reusable_tokens: How many leading tokens may come from the cache; the others are computed in any case.
            total_tokens: Tokens it will have in the end, at most.
        """
        prompt, own, revived = self._hits(chain) if self._reuse else (0, 0, 0)
        need = -(-total_tokens // self._block_tokens) - prompt - own
        room = self._capacity - self.in_use - self.cached
        if need > room + self.cached - revived:
            return None
        self._revive(chain, prompt, own)
        self._evict(need - room)
        self.in_use += need
        reused = min((prompt + own) * self._block_tokens, reusable_tokens)
        return ChainLease(chain, prompt, own, need, reused)

    def publish(self, lease: ChainLease, chain: Chain) -> None:
        """Let others share the lease's full blocks; `chain` is all that it has computed."""
        if not self._reuse:
            return
        prompt = min(chain.n_prompt, chain.n_tokens) // self._block_tokens
        own = chain.n_tokens // self._block_tokens - prompt
        if prompt > lease.prompt:
            self._publish_prompt(lease, prompt)
        if own > lease.own:
            lease.private -= own - lease.own
            lease.own = own

    def release(self, lease: ChainLease) -> None:
        self.in_use -= lease.private
        if lease.own:
            self._set_free((lease.chain.problem, lease.chain.sample), 0, lease.own)
        if lease.prompt:
            holders = self._held[lease.chain.problem]
            holders.remove(lease.prompt)
            most = max(holders, default=0)
            if most < lease.prompt:
                self._set_free(lease.chain.problem, most, lease.prompt)
            if not holders:
                del self._held[lease.chain.problem]

    def trim(self, chain: Chain) -> None:
        """A chain that nobody holds is only `chain.n_tokens` long now: forget its blocks behind that."""
        key = (chain.problem, chain.sample)
        if key in self._free:
            start, stop = self._free[key]
            kept = max(start, min(stop, chain.n_tokens // self._block_tokens - chain.n_prompt // self._block_tokens))
            self.cached -= stop - kept
            if kept > start:
                self._free[key] = (start, kept)
            else:
                del self._free[key]

    def _hits(self, chain: Chain) -> tuple[int, int, int]:
        """Blocks of prompt and chain that are there, and how many of them nobody holds."""
        full = chain.n_tokens // self._block_tokens
        whole = min(chain.n_prompt // self._block_tokens, full)
        held = max(self._held.get(chain.problem, ()), default=0)
        start, stop = self._free.get(chain.problem, (0, 0))
        there = max(held, stop) if start <= held else held
        prompt = min(whole, there)
        revived = max(0, prompt - held)
        if there < whole:
            return prompt, 0, revived
        own = min(full - whole, self._free.get((chain.problem, chain.sample), (0, 0))[1])
        return prompt, own, revived + own

    def _revive(self, chain: Chain, prompt: int, own: int) -> None:
        if prompt:
            holders = self._held.setdefault(chain.problem, [])
            self._take(chain.problem, max(holders, default=0), prompt)
            holders.append(prompt)
        if own:
            self._take((chain.problem, chain.sample), 0, own)

    def _take(self, key: Hashable, start: int, stop: int) -> None:
        """Take the blocks from `start` to `stop` out of those that nobody holds."""
        if stop <= start:
            return
        _, end = self._free.pop(key)
        if end > stop:
            self._free[key] = (stop, end)
        self.cached -= stop - start
        self.in_use += stop - start

    def _publish_prompt(self, lease: ChainLease, prompt: int) -> None:
        """Share the prompt's blocks; where another request computed the same ones meanwhile, ours are given back."""
        problem = lease.chain.problem
        holders = self._held.setdefault(problem, [])
        held = max(holders, default=0)
        lease.private -= prompt - lease.prompt
        self.in_use -= max(0, min(prompt, held) - lease.prompt)
        start, stop = self._free.get(problem, (0, 0))
        doubled = max(0, min(prompt, stop) - max(start, held, lease.prompt))
        if doubled:
            self._take(problem, start, start + doubled)
            self.in_use -= doubled
        if lease.prompt:
            holders.remove(lease.prompt)
        holders.append(prompt)
        lease.prompt = prompt

    def _set_free(self, key: Hashable, start: int, stop: int) -> None:
        """Nobody holds these blocks any more."""
        self.in_use -= stop - start
        self.cached += stop - start
        before = self._free.pop(key, None)
        if before:  # what lies behind them, of a longer chain or prompt
            stop = max(stop, before[1])
        self._free[key] = (start, stop)

    def _evict(self, n_blocks: int) -> None:
        """Forget blocks that nobody holds, from the tails of those that were used longest ago."""
        while n_blocks > 0:
            key = next(iter(self._free))
            start, stop = self._free[key]
            gone = min(n_blocks, stop - start)
            if gone == stop - start:
                del self._free[key]
            else:
                self._free[key] = (start, stop - gone)
            self.cached -= gone
            n_blocks -= gone
