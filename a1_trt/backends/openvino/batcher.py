"""The step loop of one pipeline, in its own thread, fed from asyncio.

The pipeline is touched by this thread alone. `step` is blocking and holds the interpreter lock, so asyncio runs between
steps only: after results were handed over the thread steps back for a moment, so that the event loop can answer before
the next step rather than after it. It is also why a pipeline usually has a process of its own (process.py).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from a1_trt.backends.checks import closed
from a1_trt.backends.openvino.loading import load_pipeline, openvino_genai
from a1_trt.backends.openvino.pipeline import GenerateRequest, Output, Setup, ThreadFuture
from a1_trt.backends.prefixes import BLOCK_TOKENS
from a1_trt.errors import A1Error, ContextLengthError, EngineError
from a1_trt.types import Role

_HANDOVER_S = 5e-5
_CLOSE_S = 60.0


@dataclass(eq=False, slots=True)
class _Request:
    token_ids: Sequence[int]
    options: GenerateRequest
    future: ThreadFuture
    cancelled: bool = False
    handle: Any = None

    @property
    def blocks(self) -> int:
        """KV blocks that it needs at most."""
        return -(-(len(self.token_ids) + self.options.max_tokens) // BLOCK_TOKENS) + 1


class Batcher:
    """Runs requests on an openvino_genai.ContinuousBatchingPipeline, which it owns, all that are in flight together."""

    def __init__(self, pipeline: Any, *, n_blocks: int, role: Role) -> None:
        # Whoever has a pipeline has the package; without it, this module must still be importable.
        from openvino_genai import GenerationFinishReason, GenerationStatus

        self._reason, self._status = GenerationFinishReason, GenerationStatus
        self._pipeline = pipeline
        self.end_tokens = _end_tokens(pipeline)
        self._n_blocks = n_blocks
        self._role = role
        self._wake = threading.Condition()
        self._waiting: list[_Request] = []
        self._running: list[_Request] = []
        self._closed = False
        self._busy = False
        self._next_id = 0
        self._thread = threading.Thread(target=self._work, name=f"openvino-{role}", daemon=True)
        self._thread.start()

    @property
    def in_flight(self) -> int:
        with self._wake:
            return len(self._waiting) + len(self._running)

    @classmethod
    def load(cls, setup: Setup) -> Self:
        return cls(load_pipeline(setup), n_blocks=setup.n_blocks, role=setup.role)

    async def run(self, token_ids: Sequence[int], options: GenerateRequest) -> Output:
        request = _Request(token_ids, options, ThreadFuture())
        if request.blocks > self._n_blocks:
            raise self._too_small()
        with self._wake:
            if self._closed:
                raise closed(self._role)
            self._waiting.append(request)
            self._wake.notify()
        try:
            return await request.future.output
        finally:
            request.cancelled = True  # without effect on a finished one

    def close(self) -> None:
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join(_CLOSE_S)

    def _work(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._busy or self._waiting or self._closed)
                arrived = self._admitted()
                if self._closed:
                    break
            try:
                self._step(arrived)
            except Exception as error:  # noqa: BLE001  whatever the runtime raises becomes a typed error of every caller
                self._fail(EngineError(f"the {self._role} engine failed: {error}", role=self._role))
        self._fail(closed(self._role))
        self._pipeline = None

    def _admitted(self) -> list[_Request]:
        """The waiting requests, first come first served, for which there are blocks; they run from now on.

        Blocks are set aside for the whole of a request, so that the pipeline never has to push a sequence out of its
        cache: it would compute it anew from somewhere, and report log-probs whose place cannot be told.
        """
        self._waiting = [request for request in self._waiting if not request.cancelled]
        free = self._n_blocks - sum(request.blocks for request in self._running)
        arrived: list[_Request] = []
        for request in self._waiting:
            free -= request.blocks
            if free < 0:
                break
            arrived.append(request)
        del self._waiting[: len(arrived)]
        self._running += arrived
        return arrived

    def _step(self, arrived: list[_Request]) -> None:
        for request in arrived:
            request.handle = None if request.cancelled else self._add(request)
        # A request that is cancelled before its prompt is computed leaves blocks in the prefix cache that nothing was
        # written into, and the next one with that prompt takes them for its own (2026.4). So it gets its first token.
        dropped = {
            request
            for request in self._running
            if request.handle is None or (request.cancelled and request.handle.can_read())
        }
        for request in dropped:
            if request.handle is not None:
                request.handle.cancel()
        if self._pipeline.has_non_finished_requests():
            self._pipeline.step()
        kept = [request for request in self._running if request not in dropped]
        finished = [request for request in kept if request.handle.get_status() != self._status.RUNNING]
        with self._wake:
            self._running = [request for request in kept if request not in finished]
            self._busy = bool(self._running) or self._pipeline.has_non_finished_requests()
        for request in finished:
            request.future.resolve(self._outcome(request.handle))
        if finished:
            time.sleep(_HANDOVER_S)

    def _add(self, request: _Request) -> Any:
        from openvino import Tensor

        self._next_id += 1
        try:
            ids = Tensor(np.asarray([request.token_ids], dtype=np.int64))
            return self._pipeline.add_request(self._next_id, ids, _config(request.options))
        except Exception as error:  # noqa: BLE001  only this request is wrong
            request.future.resolve(EngineError(f"the {self._role} engine refused a request: {error}", role=self._role))
            return None

    def _outcome(self, handle: Any) -> Output | A1Error:
        if handle.get_status() != self._status.FINISHED:
            return self._too_small()
        output = handle.read_all()[0]
        stopped = output.finish_reason == self._reason.STOP
        return Output(list(output.generated_ids), list(output.generated_log_probs), stopped)

    def _fail(self, error: A1Error) -> None:
        """Fail everything in flight and take it out of the pipeline."""
        with self._wake:
            requests, self._waiting, self._running = self._waiting + self._running, [], []
            self._busy = False
        for request in requests:
            request.future.resolve(error)
            if request.handle is not None:
                request.handle.cancel()
        try:
            if self._pipeline.has_non_finished_requests():
                self._pipeline.step()
        except Exception:  # noqa: BLE001  it failed already; a pipeline that stays broken takes no more requests
            with self._wake:
                self._closed = True

    def _too_small(self) -> ContextLengthError:
        n_tokens = self._n_blocks * BLOCK_TOKENS
        message = f"the {self._role} engine's KV cache of {n_tokens} tokens is too small for a request"
        return ContextLengthError(message, role=self._role, field="kv_cache_gb", remedy="raise kv_cache_gb")


def _config(options: GenerateRequest) -> Any:
    config = openvino_genai().GenerationConfig()
    config.max_new_tokens = options.max_tokens
    config.stop_token_ids = set(options.stop)
    config.do_sample = options.temperature > 0.0
    if options.temperature > 0.0:
        config.temperature = options.temperature
        config.rng_seed = (options.seed ^ (options.seed >> 32)) & 0xFFFFFFFF  # the generator takes 32 bits
    if options.proposed_tokens:
        config.num_assistant_tokens = options.proposed_tokens
    config.echo = options.echo
    config.logprobs = int(options.echo)
    return config


def _end_tokens(native: Any) -> frozenset[int]:
    own = native.get_config()
    ends = {int(token) for token in own.stop_token_ids} | {int(own.eos_token_id)}
    return frozenset(ends - {-1})
