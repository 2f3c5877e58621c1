"""The batch of the simulated engine: who is in it, and when it gets how far.

Theory of operation. The engine works in *iterations*. At a *boundary* between two of them it admits waiting requests
while there are slots, KV blocks and tokens left in the iteration's budget, then launches the next one: every decoding
sequence gets one token, and what is left of the budget goes to prefill, in chunks, first come first served. The
iteration that computes the last prompt token also yields the first generated one.

While nothing is being prefilled, nothing can change before the next sequence ends, so that many iterations are planned
as one *run*. A new request or a cancellation cuts the run at the end of the iteration that is under way. The timeline
is the same to the bit as that of single iterations. Callbacks of the running loop drive it all: no task to look after.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from a1_trt.adapters.simulated.costs import EngineCosts, EngineLimits
from a1_trt.adapters.simulated.kv_cache import KvCache, Lease


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
class _Sequence:
    """A request on its way: it computes `tokens`, then gets one of `new` an iteration, for `steps` iterations."""

    tokens: Sequence[int]
    reusable_tokens: int
    total_tokens: int
    new: tuple[int, ...]
    steps: int
    finished: asyncio.Future[None]
    lease: Lease | None = None
    computed: int = 0
    """Prompt tokens in the KV cache."""
    taken: int = 0
    """Steps done."""


@dataclass(slots=True)
class _Run:
    """Iterations that are under way: `ends[0]` is when the first starts, `ends[i]` when the i-th ends."""

    ends: list[float]
    chunks: list[tuple[_Sequence, int]] = field(default_factory=list)
    decoding: list[_Sequence] = field(default_factory=list)


class Batch:
    """The running sequences, the waiting ones, their KV cache and the run that is under way.

    Args:
        costs: What an iteration costs.
        limits: How much the engine holds.
    """

    def __init__(self, costs: EngineCosts, limits: EngineLimits) -> None:
        self.counters = EngineCounters()
        self.cache = KvCache(limits.kv_blocks, limits.block_tokens, reuse=limits.prefix_reuse)
        self.waiting: dict[_Sequence, None] = {}  # a set that keeps its order
        self.running: dict[_Sequence, None] = {}
        self._costs = costs
        self._limits = limits
        self._run: _Run | None = None
        self._cut = 0
        self._due: asyncio.TimerHandle | None = None

    async def carry_out(
        self,
        tokens: Sequence[int],
        *,
        reusable_tokens: int,
        total_tokens: int,
        new: tuple[int, ...] = (),
        steps: int = 0,
    ) -> None:
        """Queue a request and wait until the batch is through with it; cancelling frees its slot and blocks at once.

        Args:
            tokens: To compute before anything is generated, int[n].
            reusable_tokens: How many leading ones may come from the KV cache.
            total_tokens: The most it will ever hold.
            new: Token ids it will generate, int[n_new].
            steps: Iterations which that takes: n_new, and one more where an end-of-text token follows.
        """
        finished = asyncio.get_running_loop().create_future()
        sequence = _Sequence(tokens, reusable_tokens, total_tokens, new, steps, finished)
        self.waiting[sequence] = None
        self._wake()
        try:
            await finished
        finally:
            self._abandon(sequence)

    def abort(self, error: Exception) -> None:
        """End every request with `error` and stop the clockwork."""
        for sequence in [*self.running, *self.waiting]:
            self._leave(sequence)
            if not sequence.finished.done():
                sequence.finished.set_exception(error)
        if self._due:
            self._due.cancel()
        self._run = self._due = None

    def _wake(self) -> None:
        """See to it that the next boundary comes at the end of the iteration that is under way."""
        loop = asyncio.get_running_loop()
        if self._run is None:
            self._run, self._cut = _Run([loop.time()]), 0
        else:
            cut = bisect_left(self._run.ends, loop.time())
            if cut >= self._cut:
                return
            self._cut = cut
        if self._due:
            self._due.cancel()
        self._due = loop.call_at(self._run.ends[self._cut], self._boundary)

    def _boundary(self) -> None:
        """Book the iterations that are over, then launch the next run, or fall idle."""
        if self._run:
            self._book(self._run, self._cut)
        decoding = [sequence for sequence in self.running if sequence.taken]
        chunks = self._chunks(self._limits.max_num_batched_tokens - len(decoding))
        if not decoding and not chunks:
            self._run = self._due = None
            return
        loop = asyncio.get_running_loop()
        n_iterations = 1 if chunks else min(sequence.steps - sequence.taken for sequence in decoding)
        context = sum(len(sequence.tokens) + sequence.taken for sequence in decoding)
        prefill = sum(size for _, size in chunks)
        ends = [loop.time()]
        for _ in range(n_iterations):
            step_s = self._costs.iteration_s(prefill_tokens=prefill, decoding=len(decoding), context_tokens=context)
            ends.append(ends[-1] + step_s)
            context += len(decoding)
        self._run, self._cut = _Run(ends, chunks, decoding), n_iterations
        self._due = loop.call_at(ends[-1], self._boundary)

    def _chunks(self, budget: int) -> list[tuple[_Sequence, int]]:
        """Prefill of the next iteration, after admitting what fits."""
        chunks = []
        for sequence in list(self.running):
            if not sequence.taken and budget > 0:
                chunks.append((sequence, min(budget, len(sequence.tokens) - sequence.computed)))
                budget -= chunks[-1][1]
        while self.waiting and budget > 0 and len(self.running) < self._limits.max_sequences:
            sequence = next(iter(self.waiting))
            if not self._admit(sequence):
                break
            chunks.append((sequence, min(budget, len(sequence.tokens) - sequence.computed)))
            budget -= chunks[-1][1]
        return chunks

    def _admit(self, sequence: _Sequence) -> bool:
        sequence.lease = self.cache.acquire(
            sequence.tokens, reusable_tokens=sequence.reusable_tokens, total_tokens=sequence.total_tokens
        )
        if sequence.lease is None:
            return False
        del self.waiting[sequence]
        self.running[sequence] = None
        sequence.computed = sequence.lease.reused_tokens
        counters = self.counters
        counters.reused_tokens += sequence.computed
        counters.peak_blocks = max(counters.peak_blocks, self.cache.in_use)
        counters.peak_sequences = max(counters.peak_sequences, len(self.running))
        return True

    def _book(self, run: _Run, n_iterations: int) -> None:
        if not n_iterations:
            return
        self.counters.iterations += n_iterations
        self.counters.busy_s += run.ends[n_iterations] - run.ends[0]
        for sequence, size in run.chunks:
            self.counters.prefilled_tokens += size
            sequence.computed += size
            if sequence.lease and sequence.computed == len(sequence.tokens):
                self.cache.publish(sequence.lease, sequence.tokens)
                self._advance(sequence, min(1, sequence.steps))
        for sequence in run.decoding:
            if sequence.lease:
                self._advance(sequence, n_iterations)

    def _advance(self, sequence: _Sequence, steps: int) -> None:
        """Take steps that are over; after the last one the slot and the blocks are free for the next iteration."""
        before = min(sequence.taken, len(sequence.new))
        sequence.taken += steps
        self.counters.generated_tokens += min(sequence.taken, len(sequence.new)) - before
        if sequence.taken < sequence.steps:
            return
        if sequence.lease and sequence.steps > 1:
            # The token of the last step was never fed back, so it has no keys and values.
            self.cache.publish(sequence.lease, [*sequence.tokens, *sequence.new[: sequence.steps - 1]])
        self._leave(sequence)
        if not sequence.finished.done():
            sequence.finished.set_result(None)

    def _abandon(self, sequence: _Sequence) -> None:
        """Take out a sequence that nobody waits for any more; nothing to do for one that is through."""
        if sequence not in self.running and sequence not in self.waiting:
            return
        if self._run and sequence.taken:
            over = bisect_right(self._run.ends, asyncio.get_running_loop().time()) - 1
            n_new = len(sequence.new)
            taken = min(sequence.taken + min(over, self._cut), n_new)
            self.counters.generated_tokens += taken - min(sequence.taken, n_new)
        self._leave(sequence)
        self._wake()

    def _leave(self, sequence: _Sequence) -> None:
        self.waiting.pop(sequence, None)
        self.running.pop(sequence, None)
        if sequence.lease:
            self.cache.release(sequence.lease)
            sequence.lease = None
