"""The step loop of one pipeline, in its own thread, fed from asyncio.

The pipeline is touched by this thread alone. `step` is blocking and holds the interpreter lock, so asyncio runs between
steps only: steps are kept short (chunked prompts), and after results were handed over the thread steps back for a
moment, so that the event loop can answer before the next step rather than after it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from a1_trt.errors import A1Error, EngineError, EngineOverloaded, EngineUnavailable
from a1_trt.types import Role

_HANDOVER_S = 5e-5
_CLOSE_S = 60.0


@dataclass(frozen=True, slots=True)
class Output:
    """What the pipeline made of a request.

    Args:
        token_ids: New tokens, or with echo the prompt's and the new ones.
        logprobs: Their log-probs as far as the pipeline computed them, aligned at the end.
        stopped: Finished by an end-of-text token.
    """

    token_ids: list[int]
    logprobs: list[float]
    stopped: bool


@dataclass(eq=False, slots=True)
class _Request:
    token_ids: Sequence[int]
    config: Any
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Output]
    cancelled: bool = False
    handle: Any = field(default=None)

    def resolve(self, outcome: Output | A1Error) -> None:
        try:
            self.loop.call_soon_threadsafe(self._set, outcome)
        except RuntimeError:  # the event loop is closed: nobody waits any more
            return

    def _set(self, outcome: Output | A1Error) -> None:
        if self.future.done():
            return
        if isinstance(outcome, A1Error):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


class Batcher:
    """Runs requests on a pipeline, all that are in flight together.

    Args:
        pipeline: An openvino_genai.ContinuousBatchingPipeline; this object owns it from now on.
        role: For error messages.
    """

    def __init__(self, pipeline: Any, *, role: Role) -> None:
        self._pipeline = pipeline
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
        """Requests that wait or run."""
        with self._wake:
            return len(self._waiting) + len(self._running)

    async def run(self, token_ids: Sequence[int], config: Any) -> Output:
        """Run one request; cancelling the awaiting task takes it out of the batch before the next step.

        Args:
            token_ids: The prompt, int[n_prompt].
            config: An openvino_genai.GenerationConfig.

        Raises:
            EngineUnavailable: Closed.
            EngineOverloaded: The KV cache is too small for it.
            EngineError: The pipeline failed.
        """
        loop = asyncio.get_running_loop()
        request = _Request(token_ids, config, loop, loop.create_future())
        with self._wake:
            if self._closed:
                raise self._unavailable()
            self._waiting.append(request)
            self._wake.notify()
        try:
            return await request.future
        finally:
            request.cancelled = True  # without effect on a finished one

    def close(self) -> None:
        """Fail what is in flight, end the thread and free the pipeline; blocking, and a second call does nothing."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join(_CLOSE_S)

    def _work(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._busy or self._waiting or self._closed)
                arrived, self._waiting = self._waiting, []
                self._running += arrived
                if self._closed:
                    break
            try:
                self._busy = self._turn(arrived)
            except Exception as error:  # noqa: BLE001  whatever the runtime raises becomes a typed error of every caller
                self._fail(EngineError(f"the {self._role} engine failed: {error}", role=self._role))
                self._busy = False
        self._fail(self._unavailable())
        self._pipeline = None

    def _turn(self, arrived: list[_Request]) -> bool:
        """Add what arrived, drop what was cancelled, make one step, hand over what finished; whether there is more."""
        for request in arrived:
            if not request.cancelled:
                request.handle = self._add(request)
        for request in self._running:
            if request.cancelled and request.handle is not None:
                request.handle.cancel()
        self._keep([request for request in self._running if not request.cancelled and request.handle is not None])
        if self._pipeline.has_non_finished_requests():
            self._pipeline.step()
        finished = [request for request in self._running if _is_over(request.handle)]
        if finished:
            self._keep([request for request in self._running if request not in finished])
            for request in finished:
                request.resolve(self._outcome(request.handle))
            time.sleep(_HANDOVER_S)
        return bool(self._running) or self._pipeline.has_non_finished_requests()

    def _keep(self, running: list[_Request]) -> None:
        with self._wake:
            self._running = running

    def _add(self, request: _Request) -> Any:
        from openvino import Tensor

        self._next_id += 1
        try:
            ids = Tensor(np.asarray([request.token_ids], dtype=np.int64))
            return self._pipeline.add_request(self._next_id, ids, request.config)
        except Exception as error:  # noqa: BLE001  only this request is wrong
            request.resolve(EngineError(f"the {self._role} engine refused a request: {error}", role=self._role))
            return None

    def _outcome(self, handle: Any) -> Output | A1Error:
        from openvino_genai import GenerationFinishReason, GenerationStatus

        if handle.get_status() != GenerationStatus.FINISHED:
            return EngineOverloaded(
                f"the {self._role} engine's KV cache is too small for this request",
                role=self._role,
                field="kv_cache_gb",
                remedy="raise kv_cache_gb, or lower max_in_flight",
            )
        output = handle.read_all()[0]
        stopped = output.finish_reason == GenerationFinishReason.STOP
        return Output(list(output.generated_ids), list(output.generated_log_probs), stopped)

    def _fail(self, error: A1Error) -> None:
        """Fail everything in flight and take it out of the pipeline."""
        with self._wake:
            requests, self._waiting, self._running = self._waiting + self._running, [], []
        for request in requests:
            request.resolve(error)
            if request.handle is not None:
                request.handle.cancel()
        try:
            if self._pipeline.has_non_finished_requests():
                self._pipeline.step()
        except Exception:  # noqa: BLE001  it failed already; a pipeline that stays broken takes no more requests
            with self._wake:
                self._closed = True

    def _unavailable(self) -> EngineUnavailable:
        return EngineUnavailable(
            f"the {self._role} engine is closed", role=self._role, remedy="open a new session or engine"
        )


def _is_over(handle: Any) -> bool:
    from openvino_genai import GenerationStatus

    return bool(handle.get_status() != GenerationStatus.RUNNING)
