"""A draft or a target that a Triton server holds: generate and score."""

import asyncio
import uuid
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

import grpc

from a1_trt.addresses import proxy_note
from a1_trt.backends.checks import ArgumentChecks, closed
from a1_trt.backends.triton.connection import Connection, StreamError, make_request, read_response
from a1_trt.backends.triton.protocol import Dialect, InferenceRequest
from a1_trt.engine import Engine, Generation, Tokenizer
from a1_trt.errors import EngineError, EngineOverloaded, EngineTimeout, EngineUnavailable, from_wire
from a1_trt.types import Role

_T = TypeVar("_T")
_FULL_QUEUE = "maximum queue size"
_STATUS: dict[grpc.StatusCode | None, type[EngineError]] = {
    grpc.StatusCode.UNAVAILABLE: EngineUnavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: EngineTimeout,
    grpc.StatusCode.RESOURCE_EXHAUSTED: EngineOverloaded,
}


class TritonEngine(Engine):
    """An engine behind Triton. Used from one event loop; one channel carries all its calls.

    A model that is not decoupled is asked by a plain call, which costs less than a stream; a decoupled one by a stream
    of its own for each call, so that cancelling one call leaves the others alone. Cancelling the awaiting task cancels
    the call on the server. A score that TensorRT-LLM's own model works on is not cancelled, as it has been seen to
    crash on that: it is allowed to finish, in the background if nobody waits for it any more.

    Args:
        url: ``host:port`` of the server's gRPC endpoint.
        model: Name of the Triton model, such as "draft".
        tokenizer: The model's tokenizer; tokenizing happens here, not on the server.
        end_ids: Tokens that end a text, the chief one first, for a server that does not know its model's own.
        context_logits: TensorRT-LLM's own model scores by context logits instead of an external draft.
        cancel: What a cancelled call becomes: "client", the call is broken off and the server notices; or "stop", a
            second request with the same id asks the server to stop, for backends that do not survive the first way.
        timeout_s: Longest time of one call, seconds.
    """

    def __init__(
        self,
        url: str,
        model: str,
        tokenizer: Tokenizer,
        *,
        role: Role,
        max_context_tokens: int,
        end_ids: Sequence[int] = (),
        context_logits: bool = False,
        cancel: Literal["client", "stop"] = "client",
        timeout_s: float = 600.0,
    ) -> None:
        self._url = url.removeprefix("grpc://")
        self._model = model
        self._tokenizer = tokenizer
        self._role: Role = role
        self._checks = ArgumentChecks(role, max_context_tokens)
        self._end_ids = tuple(end_ids)
        self._context_logits = context_logits
        self._stops = cancel == "stop"
        self._timeout_s = timeout_s
        self._connection: asyncio.Task[Connection] | None = None
        self._background: set[asyncio.Task[Any]] = set()
        self._closed = False

    @property
    def tokenizer(self) -> Tokenizer:
        return self._tokenizer

    @property
    def max_context_tokens(self) -> int:
        return self._checks.max_context_tokens

    async def generate(self, prompt: Sequence[int], *, max_tokens: int, temperature: float, seed: int) -> Generation:
        self._checks.generate(prompt, max_tokens)
        with self._typed():
            connection = await self._connected()
            dialect = self._dialect(connection)
            request = dialect.generate(prompt, max_tokens=max_tokens, temperature=temperature, seed=seed)
            answer = await self._generated(connection, request)
        n_new = int(answer["sequence_length"].ravel()[0])
        ids = tuple(answer["output_ids"].ravel()[:n_new].tolist())
        ends = [index for index, token in enumerate(ids) if token in self._end_ids]
        ids = ids[: ends[0]] if ends else ids
        return Generation(ids, ended=len(ids) < max_tokens)

    async def score(self, prompt: Sequence[int], segment: Sequence[int]) -> list[float]:
        self._checks.score(prompt, segment)
        with self._typed():
            connection = await self._connected()
            dialect = self._dialect(connection)
            work = self._infer(connection, dialect.score(prompt, segment))
            answer = await (asyncio.shield(self._kept(work)) if dialect.is_tensorrt_llm else work)
            return dialect.read_score(answer, len(prompt), segment)

    async def aclose(self) -> None:
        """Close the channel; a second call does nothing. Scores of TensorRT-LLM's own model are awaited."""
        self._closed = True
        connecting, self._connection = self._connection, None
        if self._background:
            await asyncio.wait(set(self._background))
        if connecting is None:
            return
        connecting.cancel()
        (connection,) = await asyncio.gather(connecting, return_exceptions=True)
        if isinstance(connection, Connection):
            await connection.close()

    def _dialect(self, connection: Connection) -> Dialect:
        return Dialect.of(connection.inputs, connection.outputs, self._end_ids, context_logits=self._context_logits)

    async def _generated(self, connection: Connection, request: InferenceRequest) -> dict[str, Any]:
        if not self._stops:
            return await self._infer(connection, request)
        name = uuid.uuid4().hex
        work = self._kept(self._infer(connection, request, name))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            stop = self._dialect(connection).stop(request.prompt)
            message = make_request(self._model, stop.prompt, stop.tensors, stop.outputs, name)
            self._kept(connection.send(message, self._timeout_s))
            raise

    async def _infer(self, connection: Connection, request: InferenceRequest, name: str = "") -> dict[str, Any]:
        """One request to the model: name of each output -> its values."""
        message = make_request(self._model, request.prompt, request.tensors, request.outputs, name)
        answer = read_response(await connection.infer(message, self._timeout_s), request.outputs)
        missing = [output for output in request.outputs if output not in answer]
        if missing:
            message = f"the answer has no {missing[0]}"
            remedy = "serve a model with the tensors of tensorrt_llm; see 'a1-trt deploy check'"
            raise EngineError(message, field=missing[0], remedy=remedy)
        return answer

    def _kept(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """A task that goes on when whoever awaits it is cancelled."""
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if not task.cancelled():
            task.exception()  # seen by whoever awaits it, if anybody still does

    async def _connected(self) -> Connection:
        if self._closed:
            raise closed(self._role)
        if self._connection is None or (self._connection.done() and _failed(self._connection)):
            self._connection = asyncio.create_task(Connection.open(self._url, self._model, self._timeout_s))
        # Shielded: it belongs to all callers, and one of them going away must not fail the others.
        return await asyncio.shield(self._connection)

    @contextmanager
    def _typed(self) -> Iterator[None]:
        """Whatever goes wrong inside is an `EngineError` that says which model and server it is about."""
        try:
            yield
        except grpc.RpcError as error:
            raise self._error(error.code(), error.details() or "") from None
        except StreamError as error:
            raise self._error(None, str(error)) from None
        except EngineError as error:
            if error.role is None:
                error.role = self._role
                error.message = f"{self._model} at {self._url}: {error.message}"
            raise
        except asyncio.CancelledError:
            # The call ends like this too when it is not its caller but `aclose` that cancels it.
            if self._closed and not asyncio.current_task().cancelling():  # type: ignore[union-attr]
                raise closed(self._role) from None
            raise

    def _error(self, status: grpc.StatusCode | None, details: str) -> EngineError:
        typed = from_wire(details)
        if isinstance(typed, EngineError):
            typed.role = self._role
            return typed
        if self._closed:
            return closed(self._role)
        kind = EngineOverloaded if _FULL_QUEUE in details else _STATUS.get(status, EngineError)
        remedy = f"is a Triton server at {self._url}? see 'a1-trt serve'" if kind is EngineUnavailable else None
        note = proxy_note(self._url) if kind is EngineUnavailable else ""
        message, field = (typed.message, typed.field) if typed else (f"{details or status}{note}", None)
        return kind(f"{self._model} at {self._url}: {message}", role=self._role, field=field, remedy=remedy)


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.cancelled() or task.exception() is not None
