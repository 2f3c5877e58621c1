"""Triton requests inside a model of the Python backend: inputs, responses, errors, cancellation."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from a1_trt.errors import A1Error, Cancelled, ConfigError, ContextLengthError, EngineError, InvalidRequestError
from a1_trt.triton.tensors import Tensor

_log = logging.getLogger(__name__)
_DTYPES = {"INT32": np.int32, "FP32": np.float32}
_SHUTDOWN_S = 5.0
_STOPPING_S = 0.005


class TritonRequest:
    """One request and its responses; `pb` is Triton's module `triton_python_backend_utils`, inside the server only."""

    def __init__(self, request: Any, pb: Any) -> None:
        self.id: str = request.request_id()
        self._request = request
        self._sender = request.get_response_sender()
        self._pb = pb
        self._ended = False

    @property
    def parameters(self) -> dict[str, Any]:
        """Fields of an HTTP request that are not tensors."""
        parameters: dict[str, Any] = json.loads(self._request.parameters() or "{}")
        return parameters

    def is_cancelled(self) -> bool:
        # Triton (2.51) dies of a segmentation fault when asked about a request whose last response was sent.
        return not self._ended and bool(self._request.is_cancelled())

    def read(self, tensors: Iterable[Tensor]) -> dict[str, Any]:
        """The tensors that the request has: a plain value for one element, a list for dimension -1."""
        values = {}
        for tensor in tensors:
            given = self._pb.get_input_tensor_by_name(self._request, tensor.name)
            if given is not None:
                values[tensor.name] = _value(tensor, given.as_numpy())
        return values

    def send(self, outputs: Mapping[str, Any], *, final: bool) -> None:
        """Send the outputs that the caller wants of `outputs`: name -> array, text or number."""
        if self._ended:
            return
        wanted = self._request.requested_output_names()
        tensors = [self._pb.Tensor(name, _array(value)) for name, value in outputs.items() if name in wanted]
        self._send(self._pb.InferenceResponse(tensors), final=final)

    def fail(self, error: A1Error) -> None:
        code = getattr(self._pb.TritonError, _code(error))
        self._send(self._pb.InferenceResponse(error=self._pb.TritonError(error.to_wire(), code)), final=True)

    def _send(self, response: Any, *, final: bool) -> None:
        if self._ended:
            return
        self._ended = final
        self._sender.send(response, flags=self._pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL if final else 0)
        if final:
            # Triton keeps the request, and cannot unload the model, as long as anything here holds these.
            self._request = self._sender = None


class RequestLoop:
    """The requests a model works on, each in a task of its own.

    Args:
        pb: Triton's module.
        work: Answers one request; whatever it raises becomes the request's error.
        poll_s: How often to look for requests that were cancelled, seconds. A look costs some 20 us a request.
        on_poll: Polled every `poll_s` while there is work, and after it until it returns True (idle).
    """

    def __init__(
        self, pb: Any, work: Callable[[TritonRequest], Awaitable[None]], *, poll_s: float, on_poll: Callable[[], bool]
    ) -> None:
        self._pb = pb
        self._work = work
        self._poll_s = poll_s
        self._on_poll = on_poll
        self.n_cancelled = 0
        self._running: dict[asyncio.Task[None], TritonRequest] = {}
        self._stopped: set[asyncio.Task[None]] = set()
        self._watcher: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __len__(self) -> int:
        return len(self._running)

    def start(self, requests: Sequence[Any]) -> None:
        self._loop = asyncio.get_running_loop()
        for native in requests:
            request = TritonRequest(native, self._pb)
            task = asyncio.create_task(self._answer(request))
            self._running[task] = request
            task.add_done_callback(self._forget)
        if self._watcher is None or self._watcher.done():
            self._watcher = asyncio.create_task(self._watch())

    def stop(self, request_id: str) -> None:
        """Cancel the requests of that id, other than the one that asks for it."""
        for task, request in list(self._running.items()):
            if request.id == request_id and task is not asyncio.current_task():
                self._cancel(task)

    def close(self, then: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Cancel everything, then run `then`; called from another thread than the event loop's."""

        async def shut_down() -> None:
            tasks = list(self._running)
            for task in tasks:
                self._cancel(task)
            if self._watcher is not None:
                self._watcher.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await then()

        loop = self._loop
        if loop is None:
            asyncio.run(then())
            return
        # Triton stops the loop before it finalizes a model: wait until it stands, then run it on from here.
        while loop.is_running():
            loop.call_soon_threadsafe(loop.stop)
            time.sleep(_STOPPING_S)
        loop.run_until_complete(asyncio.wait_for(shut_down(), _SHUTDOWN_S))

    async def _answer(self, request: TritonRequest) -> None:
        try:
            await self._work(request)
        except A1Error as error:
            request.fail(error)
        except asyncio.CancelledError:
            request.fail(Cancelled("the request was cancelled"))
        except Exception:  # noqa: BLE001
            # The caller gets a line of text, the log the traceback; the server goes on serving others.
            _log.exception("request %s failed", request.id)
            request.fail(EngineError("the model failed", remedy="see the server's log"))

    async def _watch(self) -> None:
        while not self._on_poll() or self._running:
            await asyncio.sleep(self._poll_s)
            for task, request in list(self._running.items()):
                if request.is_cancelled():
                    self._cancel(task)

    def _cancel(self, task: asyncio.Task[None]) -> None:
        # Once only: a second cancellation would break into the first one's cleaning up.
        if task not in self._stopped and not task.done():
            self._stopped.add(task)
            self.n_cancelled += 1
            task.cancel()

    def _forget(self, task: asyncio.Task[None]) -> None:
        request = self._running.pop(task)
        self._stopped.discard(task)
        if task.cancelled():  # before it began; a request without a last response would stay with Triton for ever
            request.fail(Cancelled("the request was cancelled"))


def model_parameters(model_config: str) -> dict[str, str]:
    """The parameters of a model's config.pbtxt, of the JSON that Triton makes of it."""
    parameters = json.loads(model_config).get("parameters", {})
    return {key: value["string_value"] for key, value in parameters.items()}


def _code(error: A1Error) -> str:
    if isinstance(error, (InvalidRequestError, ConfigError, ContextLengthError)):
        return "INVALID_ARG"
    if isinstance(error, Cancelled):
        return "CANCELLED"
    return "UNAVAILABLE" if error.retryable else "INTERNAL"


def _value(tensor: Tensor, given: Any) -> Any:
    if tensor.dims == (-1,):
        if given.ndim > 1 and given.shape[0] != 1:
            raise _batch(tensor, given.shape[0])
        return given.ravel().tolist()
    if given.size != 1:
        raise _batch(tensor, given.size)
    value = given.ravel()[0]
    if tensor.data_type == "FP32":
        return float(str(value))  # 0.4, not the 0.4000000059604645 of the nearest float32
    if tensor.data_type != "STRING":
        return value.item()
    try:
        return value.decode() if isinstance(value, bytes) else str(value)
    except UnicodeDecodeError:
        raise InvalidRequestError(f"{tensor.name} is not UTF-8", field=tensor.name, remedy="encode it so") from None


def _batch(tensor: Tensor, size: int) -> InvalidRequestError:
    message = f"{tensor.name} holds {size} elements where one is wanted"
    remedy = "send one sequence a request; the engine batches whatever is in flight"
    return InvalidRequestError(message, field=tensor.name, remedy=remedy)


def _array(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, str):
        return np.array([value.encode()], dtype=np.object_)
    return np.array([value], dtype=_DTYPES["FP32" if isinstance(value, float) else "INT32"])
