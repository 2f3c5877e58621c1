"""The batch of the simulated engine: who is in it, and when it gets how far.

Theory of operation. The engine works in *iterations*. At a *boundary* between two of them it admits waiting requests
while there are slots, KV blocks and tokens left in the iteration's budget, then launches the next one: every decoding
sequence gets one token, and what is left of the budget goes to prefill, in chunks, first come first served. The
iteration that computes the last prompt token also yields the first generated one.

While nothing is being prefilled, nothing can change before the next sequence ends, so that many iterations are planned
as one *run*. A new request or a cancellation cuts the run at the end of the iteration that is under way. The timeline
is the same to the bit as that of single iterations.

Nothing here waits or knows a clock: the caller says what time it is and comes back at `due_s`, as `simulate.fleet` does
from a heap.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from a1_trt.simulate.engine_model.costs import EngineCosts, EngineLimits
from a1_trt.simulate.engine_model.sequences import EngineCounters, Sequence
from a1_trt.simulate.engine_model.shared_device import Processor

_LONGEST_RUN = 64
"""Iterations planned at once; longer ones are mostly cut and planned in vain."""


class Cache(Protocol):
    """What the batch asks of a KV cache, such as `ChainCache`."""

    @property
    def in_use(self) -> int:
        """Blocks that requests hold."""

    @property
    def cached(self) -> int:
        """Blocks that nobody holds but whose tokens are still there."""

    def acquire(self, tokens: Any, *, reusable_tokens: int, total_tokens: int) -> Any:
        """Take the blocks of a request: a lease with `reused_tokens`, or None when there is no room now."""

    def publish(self, lease: Any, tokens: Any) -> None:
        """Let others share what the lease has computed."""

    def release(self, lease: Any) -> None:
        """Give a lease's blocks back."""


@dataclass(slots=True)
class _Run:
    """Iterations that are under way: `ends[0]` is when the first starts, `ends[i]` when the i-th ends."""

    ends: list[float]
    chunks: list[tuple[Sequence, int]] = field(default_factory=list)
    decoding: list[Sequence] = field(default_factory=list)


class Batch:
    """The running sequences, the waiting ones, their KV cache and the run that is under way."""

    def __init__(
        self,
        costs: EngineCosts,
        limits: EngineLimits,
        cache: Cache,
        *,
        processor: Processor | None = None,
    ) -> None:
        self.counters = EngineCounters()
        self.cache = cache
        self.waiting: dict[Sequence, None] = {}  # a set that keeps its order
        self.running: dict[Sequence, None] = {}
        self.due_s: float | None = None
        """When the next boundary is; None while idle."""
        self._costs = costs
        self._limits = limits
        self._processor = processor
        self.is_busy = False
        """Whether iterations are under way."""
        self.on_cut: Callable[[], None] | None = None
        """Told when `due_s` has moved outside of `launch`."""
        self._run: _Run | None = None
        self._cut = 0
        self._logits_tokens = 0
        if processor:
            processor.join(self)

    def submit(self, sequence: Sequence, now_s: float) -> None:
        """Queue a request; it may start at `due_s`."""
        self.waiting[sequence] = None
        self.cut(now_s)

    def withdraw(self, sequence: Sequence, now_s: float) -> int:
        """Take out a request that nobody waits for any more, slot and blocks at once; nothing for one that is over.

        Returns:
            Tokens that it has generated.
        """
        taken = min(sequence.taken, sequence.n_new)
        if sequence not in self.running and sequence not in self.waiting:
            return taken
        if self._run and sequence.taken:
            over = bisect_right(self._run.ends, now_s) - 1
            before, taken = taken, min(sequence.taken + min(over, self._cut), sequence.n_new)
            self.counters.generated_tokens += taken - before
        self._leave(sequence)
        self.cut(now_s)
        return taken

    def clear(self) -> list[Sequence]:
        """Take out every request, and stop."""
        left = [*self.running, *self.waiting]
        for sequence in left:
            self._leave(sequence)
        self._run = self.due_s = None
        self.is_busy = False
        return left

    def cut(self, now_s: float) -> None:
        """Have the next boundary at the end of the iteration that is under way; at once when idle."""
        if self._run is None:
            self._run, self._cut, self.due_s = _Run([now_s]), 0, now_s
        else:
            cut = bisect_left(self._run.ends, now_s)
            if cut >= self._cut:
                return
            self._cut, self.due_s = cut, self._run.ends[cut]
        if self.on_cut:
            self.on_cut()

    def book(self) -> list[Sequence]:
        """At `due_s`: take in the iterations that are over and return the requests that ended with them, in order."""
        ended: list[Sequence] = []
        run, n_iterations = self._run, self._cut
        if run is None or not n_iterations:
            return ended
        counters = self.counters
        counters.iterations += n_iterations
        counters.busy_s += run.ends[n_iterations] - run.ends[0]
        for sequence, size in run.chunks:
            counters.prefilled_tokens += size
            sequence.computed += size
            if sequence.lease is not None and sequence.computed == sequence.n_tokens:
                self.cache.publish(sequence.lease, sequence.tokens)
                self._advance(sequence, min(1, sequence.steps), ended)
        for sequence in run.decoding:
            if sequence.lease is not None:
                self._advance(sequence, n_iterations, ended)
        self._run, self._cut = _Run([run.ends[n_iterations]]), 0
        return ended

    def launch(self, now_s: float) -> None:
        """At `due_s`, after `book`: admit what fits and launch the next run, or fall idle."""
        decoding = [sequence for sequence in self.running if sequence.taken]
        chunks = self._chunks(self._limits.max_num_batched_tokens - len(decoding))
        if not decoding and not chunks:
            self._run = self.due_s = None
        else:
            shared = self._processor is not None and self._processor.is_shared(self)
            ends = self._ends(now_s, decoding, chunks, self._costs.shared_slowdown if shared else 1.0)
            self._run, self._cut, self.due_s = _Run(ends, chunks, decoding), len(ends) - 1, ends[-1]
        if self.is_busy != (self._run is not None):
            self.is_busy = not self.is_busy
            if self._processor:
                self._processor.tell(self, now_s)

    def _ends(
        self, now_s: float, decoding: list[Sequence], chunks: list[tuple[Sequence, int]], slowdown: float
    ) -> list[float]:
        context = sum([sequence.n_tokens + sequence.taken for sequence in decoding])
        if not chunks:
            n_iterations = min([sequence.steps - sequence.taken for sequence in decoding])
            return self._costs.decode_ends(now_s, min(n_iterations, _LONGEST_RUN), len(decoding), context, slowdown)
        tokens = past = pairs = rows = 0
        for sequence, size in chunks:
            end = sequence.computed + size
            tokens += size
            past += sequence.computed
            pairs += size * sequence.computed + size * (size + 1) // 2
            if sequence.scored_tokens:
                rows += max(0, end - max(sequence.computed, sequence.n_tokens - sequence.scored_tokens))
            else:
                rows += end == sequence.n_tokens
        step_s = self._costs.iteration_s(
            prefill_tokens=tokens,
            decoding=len(decoding),
            context_tokens=context,
            prefill_context_tokens=past,
            prefill_pairs=pairs,
            prefill_rows=rows,
        )
        return [now_s, now_s + step_s * slowdown]

    def _chunks(self, budget: int) -> list[tuple[Sequence, int]]:
        """Prefill of the next iteration, after admitting what fits."""
        chunks = []
        if len(self.running) > self._limits.max_num_batched_tokens - budget:  # somebody's prompt is under way
            for sequence in self.running:
                if not sequence.taken and budget > 0:
                    chunks.append((sequence, min(budget, sequence.n_tokens - sequence.computed)))
                    budget -= chunks[-1][1]
        while self.waiting and budget > 0 and len(self.running) < self._limits.max_sequences:
            sequence = next(iter(self.waiting))
            if not self._admit(sequence):
                break
            chunks.append((sequence, min(budget, sequence.n_tokens - sequence.computed)))
            budget -= chunks[-1][1]
        return chunks

    def _admit(self, sequence: Sequence) -> bool:
        logits = sequence.n_tokens if sequence.scored_tokens else 0
        room = self._limits.logits_tokens
        if logits and room is not None and self._logits_tokens and self._logits_tokens + logits > room:
            return False
        sequence.lease = self.cache.acquire(
            sequence.tokens, reusable_tokens=sequence.reusable_tokens, total_tokens=sequence.total_tokens
        )
        if sequence.lease is None:
            return False
        del self.waiting[sequence]
        self.running[sequence] = None
        self._logits_tokens += logits
        sequence.computed = sequence.lease.reused_tokens
        counters = self.counters
        counters.reused_tokens += sequence.computed
        counters.peak_blocks = max(counters.peak_blocks, self.cache.in_use)
        counters.peak_sequences = max(counters.peak_sequences, len(self.running))
        return True

    def _advance(self, sequence: Sequence, steps: int, ended: list[Sequence]) -> None:
        """Take steps that are over; after the last one the slot and the blocks are free for the next iteration."""
        before = min(sequence.taken, sequence.n_new)
        sequence.taken += steps
        self.counters.generated_tokens += min(sequence.taken, sequence.n_new) - before
        if sequence.taken < sequence.steps:
            return
        if sequence.steps > 1 and sequence.written:
            self.cache.publish(sequence.lease, sequence.written())
        self._leave(sequence)
        ended.append(sequence)

    def _leave(self, sequence: Sequence) -> None:
        self.waiting.pop(sequence, None)
        self.running.pop(sequence, None)
        if sequence.lease is not None:
            self.cache.release(sequence.lease)
            sequence.lease = None
            if sequence.scored_tokens:
                self._logits_tokens -= sequence.n_tokens
