"""The simulated engine: the two verbs, faults, and a batch that takes virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from a1_trt.engine import Engine, Generation, Tokenizer
from a1_trt.errors import A1Error, ContextLengthError, EngineUnavailable, InvalidRequestError, ScoreShapeError
from a1_trt.simulate.engine_model import sequences
from a1_trt.simulate.engine_model.batch import Batch
from a1_trt.simulate.engine_model.costs import EngineCosts, EngineLimits
from a1_trt.simulate.engine_model.shared_device import Processor
from a1_trt.types import Role
from tests.doubles.simulated.kv_cache import KvCache
from tests.doubles.simulated.text import RandomText, SimulatedText
from tests.doubles.simulated.timer import Clockwork

Fault = Callable[[int, str], "A1Error | float | str | None"]
"""Asked for each call, with its number from 0 and its verb ("generate" or "score"), before it takes a slot: an error to
raise, seconds by which it comes late, "hang" for never, or None."""


class SimulatedEngine(Engine):
    """An engine that takes virtual time instead of a machine.

    It runs on any asyncio loop, though on an ordinary one it takes the time it simulates.

    Args:
        role: Named in its errors.
        text: The model: what it writes, how it scores, and its tokenizer.
        costs: What an iteration costs.
        limits: How much it holds.
        faults: Makes calls fail, hang or come late.
        processor: What it shares with other engines; nothing when None.

    Example:
        >>> from a1_trt.runtime import virtual_time
        >>> engine = SimulatedEngine("target")
        >>> sum_is_2 = engine.score(engine.tokenizer.encode("1 + 1 = "), engine.tokenizer.encode("2"))
        >>> [round(value, 2) for value in virtual_time.run(sum_is_2)]
        [-0.32]
    """

    def __init__(
        self,
        role: Role = "target",
        *,
        text: SimulatedText | None = None,
        costs: EngineCosts | None = None,
        limits: EngineLimits | None = None,
        faults: Fault | None = None,
        processor: Processor | None = None,
    ) -> None:
        self._role = role
        self._text = text or RandomText()
        self._limits = limits or EngineLimits()
        cache = KvCache(self._limits.kv_blocks, self._limits.block_tokens, reuse=self._limits.prefix_reuse)
        self._batch = Batch(costs or EngineCosts(), self._limits, cache, processor=processor)
        self._clockwork = Clockwork(self._batch)
        self._faults = faults
        self._closed = False

    @property
    def counters(self) -> sequences.EngineCounters:
        """What the engine has done so far."""
        return self._batch.counters

    @property
    def tokenizer(self) -> Tokenizer:
        """The text model's tokenizer."""
        return self._text.tokenizer

    @property
    def max_context_tokens(self) -> int:
        """Longest prompt plus generation."""
        return self._limits.max_context_tokens

    @property
    def blocks_in_use(self) -> int:
        """KV blocks held by requests now."""
        return self._batch.cache.in_use

    @property
    def blocks_cached(self) -> int:
        """KV blocks kept for reuse now, which nobody holds."""
        return self._batch.cache.cached

    @property
    def n_running(self) -> int:
        """Sequences in the batch now."""
        return len(self._batch.running)

    @property
    def n_waiting(self) -> int:
        """Requests that wait for a slot or for KV blocks now."""
        return len(self._batch.waiting)

    async def generate(self, prompt: Sequence[int], *, max_tokens: int, temperature: float, seed: int) -> Generation:
        """Continue `prompt`; see `Engine.generate`."""
        self._check(prompt, max_tokens, "max_tokens")
        await self._disturb("generate")
        written = self._text.generate(prompt, max_tokens=max_tokens, temperature=temperature, seed=seed)
        ended = written.ended and len(written.token_ids) < max_tokens
        new = tuple(written.token_ids[:max_tokens])
        steps = max(1, len(new) + ended)
        sequence = sequences.Sequence(
            prompt,
            len(prompt),
            reusable_tokens=len(prompt) - 1,
            total_tokens=len(prompt) + max_tokens,
            n_new=len(new),
            steps=steps,
            written=lambda: [*prompt, *new[: steps - 1]],
        )
        await self._clockwork.carry_out(sequence)
        return Generation(new, ended)

    async def score(self, prompt: Sequence[int], segment: Sequence[int]) -> list[float]:
        """Log-probs of `segment`; see `Engine.score`. The segment itself is computed even where it is cached."""
        self._check(prompt, len(segment), "segment")
        await self._disturb("score")
        values = self._text.score(prompt, segment)
        tokens = [*prompt, *segment]
        sequence = sequences.Sequence(
            tokens,
            len(tokens),
            reusable_tokens=len(prompt) - 1,
            total_tokens=len(tokens),
            scored_tokens=len(segment),
        )
        await self._clockwork.carry_out(sequence)
        if len(values) != len(segment):
            raise ScoreShapeError(
                f"{len(values)} log-probs came back for {len(segment)} tokens", role=self._role, field="segment"
            )
        return list(values)

    async def aclose(self) -> None:
        """End the engine; calls in flight get `EngineUnavailable`."""
        self._closed = True
        self._clockwork.abort(self._gone())

    def _gone(self) -> EngineUnavailable:
        return EngineUnavailable("the engine is closed", role=self._role, remedy="open a new session")

    def _check(self, prompt: Sequence[int], n_more: int, field: str) -> None:
        if self._closed:
            raise self._gone()
        if not prompt:
            raise InvalidRequestError("the prompt has no tokens", field="prompt", remedy="give at least one token")
        if n_more < 1:
            raise InvalidRequestError(f"{field} asks for {n_more} tokens", field=field, remedy="give at least one")
        if len(prompt) + n_more > self.max_context_tokens:
            raise ContextLengthError(
                f"{len(prompt)} prompt tokens and {n_more} more exceed the context of {self.max_context_tokens}",
                role=self._role,
                field="prompt",
                remedy="shorten the prompt or ask for fewer tokens",
            )

    async def _disturb(self, verb: str) -> None:
        number = self.counters.calls
        self.counters.calls += 1
        fault = self._faults(number, verb) if self._faults else None
        if isinstance(fault, A1Error):
            raise fault
        if isinstance(fault, str):
            await asyncio.get_running_loop().create_future()
        elif fault is not None:
            await asyncio.sleep(fault)
        if self._closed:
            raise self._gone()
