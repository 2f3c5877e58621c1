"""Several engines of the same model as one: each sample stays with the replica whose KV cache holds its text.

An engine is given token ids and no names, so a sample is known by its text. A call's prompt that extends a text which
a replica has written, scored or read goes to that replica, its *home*. A prompt that begins a sample is the same for
all samples of a problem; such calls go where the fewest are in flight, and so spread the samples over the replicas.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from a1_trt.backends.prefixes import BLOCK_TOKENS, block_digests
from a1_trt.engine import Engine, Generation, Tokenizer
from a1_trt.errors import ConfigError, EngineOverloaded, EngineTimeout, EngineUnavailable

_MOST_TEXTS = 1 << 16
_T = TypeVar("_T")
_Key = tuple[bytes, tuple[int, ...]]  # digest of a text's whole blocks, and the tokens behind them


class Replicated(Engine):
    """One engine made of several that serve the same model; they are closed with it.

    A replica that cannot be reached is left alone for `rest_s` seconds and its calls are made on the others; one whose
    queue is full passes the call on. The answer is the same, as the same arguments give the same tokens everywhere.

    Attributes:
        n_calls: Calls that each replica was given.
        n_homeward: Calls that went to the replica which holds their prefix.
        n_failovers: Calls that were made again on another replica.

    Example:
        >>> replicas = [TritonEngine(host, "draft", tokenizer, role="draft") for host in hosts]  # doctest: +SKIP
        >>> async with Session(pair, {"draft": Replicated(replicas), "target": target}) as session:  # doctest: +SKIP
        ...     result = await session.solve(Problem("What is 6 * 7?"))
    """

    def __init__(self, replicas: Sequence[Engine], *, rest_s: float = 10.0) -> None:
        if not replicas:
            raise ConfigError("there are no replicas", field="replicas", remedy="give at least one engine")
        if len({replica.tokenizer.fingerprint for replica in replicas}) > 1:
            message = "the replicas have different tokenizers"
            raise ConfigError(message, field="replicas", remedy="serve the same model on all of them")
        self._replicas = tuple(replicas)
        self._rest_s = rest_s
        self._down_until_s = [float("-inf")] * len(replicas)
        self._in_flight = [0] * len(replicas)
        self._homes = _Homes()
        self.n_calls = [0] * len(replicas)
        self.n_homeward = 0
        self.n_failovers = 0

    @property
    def tokenizer(self) -> Tokenizer:
        return self._replicas[0].tokenizer

    @property
    def max_context_tokens(self) -> int:
        return min(replica.max_context_tokens for replica in self._replicas)

    async def generate(self, prompt: Sequence[int], *, max_tokens: int, temperature: float, seed: int) -> Generation:
        async def ask(replica: Engine) -> Generation:
            return await replica.generate(prompt, max_tokens=max_tokens, temperature=temperature, seed=seed)

        home, written = await self._route(prompt, ask)
        self._homes.settle([*prompt, *written.token_ids], home)
        return written

    async def score(self, prompt: Sequence[int], segment: Sequence[int]) -> list[float]:
        async def ask(replica: Engine) -> list[float]:
            return await replica.score(prompt, segment)

        home, values = await self._route(prompt, ask)
        self._homes.settle([*prompt, *segment], home)
        return values

    async def aclose(self) -> None:
        outcomes = await asyncio.gather(*(replica.aclose() for replica in self._replicas), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _route(self, prompt: Sequence[int], ask: Callable[[Engine], Awaitable[_T]]) -> tuple[int, _T]:
        """The answer of the first replica that has one, and which it was."""
        home, began = self._homes.find(prompt)
        left = set(range(len(self._replicas)))
        while True:
            chosen = self._choose(left, home)
            self.n_homeward += chosen == home
            left.discard(chosen)
            try:
                answer = await self._ask(chosen, ask)
            except (EngineUnavailable, EngineTimeout, EngineOverloaded) as error:
                if not isinstance(error, EngineOverloaded):
                    self._down_until_s[chosen] = asyncio.get_running_loop().time() + self._rest_s
                # One that did not answer in time has used up the time: the caller decides whether there is more.
                if not left or isinstance(error, EngineTimeout):
                    raise
                self.n_failovers += 1
                continue
            if began:
                self._homes.settle(prompt, chosen)
            return chosen, answer

    async def _ask(self, chosen: int, ask: Callable[[Engine], Awaitable[_T]]) -> _T:
        self.n_calls[chosen] += 1
        self._in_flight[chosen] += 1
        try:
            return await ask(self._replicas[chosen])
        finally:
            self._in_flight[chosen] -= 1

    def _choose(self, left: set[int], home: int | None) -> int:
        """The home if it is up, else the least busy replica that is; one that is down only when all are."""
        now_s = asyncio.get_running_loop().time()
        up = [index for index in left if self._down_until_s[index] <= now_s]
        if home in up:
            return home
        return min(up or left, key=lambda index: (self._in_flight[index], self.n_calls[index], index))


class _Homes:
    """Which replica holds which of the latest `_MOST_TEXTS` texts; a *rooted* one, the problem itself, has no home."""

    def __init__(self) -> None:
        self._texts: OrderedDict[_Key, int | None] = OrderedDict()
        self._tails: dict[bytes, dict[tuple[int, ...], None]] = {}

    def find(self, prompt: Sequence[int]) -> tuple[int | None, bool]:
        """The home of the longest known text that `prompt` extends, or it becomes a root; whether it begins a chain."""
        ids = tuple(prompt)
        digests = _digests(ids)
        for n_blocks in range(len(digests) - 1, -1, -1):
            digest, start = digests[n_blocks], n_blocks * BLOCK_TOKENS
            known = [tail for tail in self._tails.get(digest, ()) if ids[start : start + len(tail)] == tail]
            if known:
                key = (digest, max(known, key=len))
                self._texts.move_to_end(key)
                home = self._texts[key]
                return home, home is None and start + len(key[1]) < len(ids)
        self._keep((digests[-1], ids[(len(digests) - 1) * BLOCK_TOKENS :]), None)
        return None, False

    def settle(self, text: Sequence[int], home: int) -> None:
        ids = tuple(text)
        digests = _digests(ids)
        key = (digests[-1], ids[(len(digests) - 1) * BLOCK_TOKENS :])
        if key not in self._texts or self._texts[key] is not None:
            self._keep(key, home)

    def _keep(self, key: _Key, home: int | None) -> None:
        self._texts[key] = home
        self._texts.move_to_end(key)
        self._tails.setdefault(key[0], {})[key[1]] = None
        while len(self._texts) > _MOST_TEXTS:
            (digest, tail), _ = self._texts.popitem(last=False)
            del self._tails[digest][tail]
            if not self._tails[digest]:
                del self._tails[digest]


def _digests(ids: tuple[int, ...]) -> list[bytes]:
    """Digests of no block, of the first block, of the first two, and so on."""
    return [b"", *block_digests(ids)]
