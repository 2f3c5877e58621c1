"""What the engine asks of a pipeline, in words that can cross to another process as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from a1_trt.errors import A1Error
from a1_trt.types import Role


@dataclass(frozen=True, slots=True)
class Setup:
    """How a pipeline is loaded.

    Args:
        max_in_flight: Most sequences in a batch; further requests wait.
        n_blocks: Size of the KV cache.
        reuse_prefixes: Whether a prompt takes what it shares with an earlier one from the KV cache.
        max_batched_tokens: Most tokens in one step; longer prompts are cut into chunks.
        proposer: Model that proposes tokens for this one to check, of the same tokenizer.
    """

    model: Path
    role: Role
    max_in_flight: int
    n_blocks: int
    reuse_prefixes: bool = True
    max_batched_tokens: int = 256
    threads: int | None = None
    precision: str = "f32"
    proposer: Path | None = None


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """Generation options: `stop` are token ids that end the text, temperature 0 is greedy, `echo` returns the prompt's
    tokens and log-probs, too, and `proposed_tokens` are what the proposer writes before each check.
    """

    max_tokens: int
    stop: tuple[int, ...] = ()
    temperature: float = 0.0
    seed: int = 0
    echo: bool = False
    proposed_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Output:
    """New tokens, or with echo the prompt's and the new ones, and their log-probs as far as the pipeline computed them,
    aligned at the end; `stopped` by an end-of-text token.
    """

    token_ids: list[int]
    logprobs: list[float]
    stopped: bool


class ThreadFuture:
    """A future of the running event loop that another thread resolves."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.output: asyncio.Future[Output] = self._loop.create_future()

    def resolve(self, outcome: Output | A1Error) -> None:
        """Hand the outcome over, from any thread; only the first one counts."""
        with suppress(RuntimeError):  # the event loop may be closed: then nobody waits any more
            self._loop.call_soon_threadsafe(self._set, outcome)

    def _set(self, outcome: Output | A1Error) -> None:
        if self.output.done():
            return
        if isinstance(outcome, A1Error):
            self.output.set_exception(outcome)
        else:
            self.output.set_result(outcome)


class Pipeline(Protocol):
    """A loaded model that works on all requests in flight together."""

    @property
    def end_tokens(self) -> frozenset[int]: ...

    @property
    def in_flight(self) -> int: ...

    async def run(self, token_ids: Sequence[int], options: GenerateRequest) -> Output:
        """Carry out one request; cancelling the awaiting task takes it out of the batch before the next step."""

    def close(self) -> None:
        """Fail what is in flight and free the pipeline; blocking, and a second call does nothing."""
