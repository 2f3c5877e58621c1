"""Serialize requests that share an uncached prefix, so it is computed once.

The samples of a problem share its prompt, and often more: a pipeline that is given all of them at once computes the
common part once for each, because a block can be reused only when it has been computed. So a score whose next block is
being computed by another one waits for that one. It waits at most once a block.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from a1_trt.backends.prefixes import block_digests


class PrefixSerializer:
    """Who computes which block, and which of the latest `n_blocks` have been computed."""

    def __init__(self, n_blocks: int) -> None:
        self._n_blocks = n_blocks
        self._computed: OrderedDict[bytes, None] = OrderedDict()
        self._leaders: dict[bytes, asyncio.Event] = {}

    @asynccontextmanager
    async def turn(self, token_ids: Sequence[int]) -> AsyncIterator[bool]:
        """Wait until nobody computes the beginning of these tokens that is not in the cache yet; then compute it.

        Yields whether there is a whole block to compute.
        """
        blocks = block_digests(token_ids)
        while (ahead := self._leader(blocks)) is not None:
            await ahead.wait()
        own = [block for block in blocks if block not in self._computed and block not in self._leaders]
        done = asyncio.Event()
        self._leaders |= dict.fromkeys(own, done)
        try:
            yield bool(own)
            self._remember(blocks)
        finally:  # whoever failed has computed nothing; those who waited find out who goes first
            for block in own:
                del self._leaders[block]
            done.set()

    def _leader(self, blocks: Sequence[bytes]) -> asyncio.Event | None:
        first = next((block for block in blocks if block not in self._computed), None)
        return None if first is None else self._leaders.get(first)

    def _remember(self, blocks: Sequence[bytes]) -> None:
        for block in blocks:
            self._computed[block] = None
            self._computed.move_to_end(block)
        while len(self._computed) > self._n_blocks:
            self._computed.popitem(last=False)
