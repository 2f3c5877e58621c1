"""The routes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

import a1_trt
from a1_trt.errors import A1Error, Cancelled
from a1_trt.openai_server.admission import Gate
from a1_trt.openai_server.answer import a1_of, choices_of, message_of, new_envelope, usage_of
from a1_trt.openai_server.backend import Backend
from a1_trt.openai_server.chat import MAX_BODY_BYTES, ChatRequest, no_such_model, read_request
from a1_trt.openai_server.failures import Refused, failure_of
from a1_trt.openai_server.request_metrics import RequestMetrics, Stopwatch
from a1_trt.openai_server.stream import DONE, ChunkWriter, server_sent
from a1_trt.types import Event, ProblemFinished, Result, SampleEnd, SampleFinished

_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_BODY_S = 30.0
_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
_STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_CLIENT_GONE = 499
_READING = ["GET", "HEAD"]


def make_app(backend: Backend, gate: Gate) -> FastAPI:
    """The endpoint as an ASGI application; the backend stays the caller's."""
    app = FastAPI(title="a1_trt", version=a1_trt.__version__, docs_url=None, redoc_url=None, openapi_url=None)
    chat = _Chat(backend, gate)
    _add_service_routes(app, backend, chat.metrics)
    created = int(time.time())
    model = {"id": backend.pair.name, "object": "model", "created": created, "owned_by": "a1_trt"}

    @app.post("/v1/chat/completions")
    async def completions(request: Request) -> Response:
        return await chat.answer(request)

    @app.api_route("/v1/models", methods=_READING)
    async def models(request: Request) -> dict[str, Any]:
        gate.check_key(request.headers.get("authorization"))
        return {"object": "list", "data": [model]}

    @app.api_route("/v1/models/{name:path}", methods=_READING)
    async def one_model(name: str, request: Request) -> dict[str, Any]:
        gate.check_key(request.headers.get("authorization"))
        if name != model["id"]:
            raise no_such_model(name)
        return model

    @app.exception_handler(Refused)
    @app.exception_handler(A1Error)
    async def failed(_: Request, error: Exception) -> Response:
        return _failure(error, chat.metrics.retry_after_s)

    @app.exception_handler(HTTPException)
    async def no_such_route(request: Request, error: HTTPException) -> Response:
        reason = "method_not_allowed" if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED else "not_found"
        message = f"{request.method} {request.url.path[:200]}: {error.detail}"
        refused = Refused(message, status=error.status_code, reason=reason)
        chat.metrics.failed(refused)
        response = _failure(refused)
        response.headers.update(error.headers or {})
        return response

    return app


def _add_service_routes(app: FastAPI, backend: Backend, request_metrics: RequestMetrics) -> None:
    @app.api_route("/health", methods=_READING)
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.api_route("/v2/health/live", methods=_READING)
    async def live() -> Response:
        return Response()

    @app.api_route("/v2/health/ready", methods=_READING)
    async def ready() -> Response:
        state = await backend.readiness()
        return JSONResponse(state, 200 if state["ready"] else 503)

    @app.api_route("/version", methods=_READING)
    async def version() -> dict[str, str]:
        return {"version": a1_trt.__version__, "pair": backend.pair.name, "fingerprint": backend.pair.fingerprint()}

    @app.api_route("/metrics", methods=_READING)
    async def metrics() -> Response:
        return PlainTextResponse(request_metrics.text() + await backend.metrics(), media_type=_PROMETHEUS)


class _Chat:
    def __init__(self, backend: Backend, gate: Gate) -> None:
        self._backend = backend
        self._gate = gate
        self._defaults = backend.pair.parameters()
        self._fingerprint = f"a1_{backend.pair.fingerprint()}"
        self.metrics = RequestMetrics(backend.pair.name, backend.pair.conformal.alpha)

    async def answer(self, request: Request) -> Response:
        """A response to a request; its work ends with its caller."""
        try:
            self._gate.check_key(request.headers.get("authorization"))
            chat = read_request(await _body(request), self._defaults, self._backend.pair.name)
        except (A1Error, Refused) as error:
            self.metrics.failed(error)
            raise
        except ClientDisconnect:
            return Response(status_code=_CLIENT_GONE)
        return await _until_gone(request, self._streamed(chat) if chat.stream else self._whole(chat))

    async def _whole(self, chat: ChatRequest) -> Response:
        with self.metrics.request(chat.parameters.n_samples) as stopwatch, self._gate.entered():
            result = await self._result(chat, stopwatch)
            choices = choices_of(result, chat)
            document = {
                **self._envelope(),
                "object": "chat.completion",
                "choices": [message_of(choice, index) for index, choice in enumerate(choices)],
                "usage": usage_of(result, chat, choices, self._backend.count_tokens),
                "a1": a1_of(result, chat),
            }
            return JSONResponse(document)

    async def _result(self, chat: ChatRequest, stopwatch: Stopwatch) -> Result:
        async with aclosing(self._events(chat, stopwatch)) as events:
            async for event in events:
                if isinstance(event, ProblemFinished):
                    return event.result
        raise Cancelled("the endpoint is being stopped", remedy="ask another one")

    async def _streamed(self, chat: ChatRequest) -> Response:
        """Starts with the first event, so that whatever fails before it is told by a status."""
        chunks = self._chunks(chat)
        try:
            first = await anext(chunks)
        except BaseException:
            await chunks.aclose()
            raise
        return _EventStream(first, chunks)

    async def _chunks(self, chat: ChatRequest) -> AsyncGenerator[bytes, None]:
        writer = ChunkWriter(self._envelope(), chat, self._backend.count_tokens)
        opened = False
        with self.metrics.request(chat.parameters.n_samples) as stopwatch, self._gate.entered():
            async with aclosing(self._events(chat, stopwatch)) as events:
                async for event in events:
                    if not opened and _is_failed_sample(event):
                        continue  # should all of them fail, the response has a status that says so
                    documents = [*([] if opened else writer.open()), *writer.write(event)]
                    opened = True
                    if any(_is_readable(document) for document in documents):
                        stopwatch.first_token()
                    if documents:
                        yield b"".join(map(server_sent, documents))
            yield DONE

    async def _events(self, chat: ChatRequest, stopwatch: Stopwatch) -> AsyncGenerator[Event, None]:
        stream = self._backend.client.events(chat.problem, chat.options)
        async with aclosing(self._gate.until_stop(stream)) as events:
            async for event in events:
                self._backend.saw(event)
                stopwatch.saw(event)
                yield event

    def _envelope(self) -> dict[str, Any]:
        return new_envelope(self._backend.pair.name, self._fingerprint)


class _EventStream(StreamingResponse):
    """Server-sent events that end with their error, if there is one, and whose work ends when the caller has gone."""

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes, None]) -> None:
        self._rest = rest
        super().__init__(_told(first, rest), media_type="text/event-stream", headers=_STREAM_HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Starlette's own way cancels again and again what it cancels, so that nothing can be cleaned up in order."""
        async with aclosing(self._rest):
            await _unless_gone(receive, self.stream_response(send))


async def _told(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    yield first
    try:
        async for chunk in rest:
            yield chunk
    except Exception as error:  # noqa: BLE001
        if not isinstance(error, A1Error):
            _log.exception("a streamed response failed")
        yield server_sent(failure_of(error).body)


def _is_readable(document: dict[str, Any]) -> bool:
    deltas = [choice["delta"] for choice in document["choices"]]
    return any(delta.get("content") or delta.get("reasoning_content") for delta in deltas)


def _is_failed_sample(event: Event) -> bool:
    return isinstance(event, SampleFinished) and event.end is SampleEnd.FAILED


async def _until_gone(request: Request, work: Coroutine[Any, Any, Response]) -> Response:
    """The response that `work` makes, unless its caller leaves before: then the work is cancelled."""
    try:
        return await _unless_gone(request.receive, work) or Response(status_code=_CLIENT_GONE)
    except (A1Error, Refused):
        raise
    except Exception as error:  # noqa: BLE001  the caller is told that much, the log all of it
        _log.exception("a request failed")
        return _failure(error)


async def _unless_gone(receive: Receive, work: Coroutine[Any, Any, _T]) -> _T | None:
    """What `work` gives, or None where the caller leaves before: then the work is cancelled, and over on return."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(receive))
    either: list[asyncio.Future[Any]] = [working, leaving]
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in either:
            task.cancel()
        await asyncio.gather(*either, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(request: Request) -> bytes:
    # A page of some other site may send anything but JSON to a server on this machine without asking first.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        names = {"reason": "unsupported_media_type", "remedy": "say so in Content-Type"}
        raise Refused("the body is no application/json", status=415, **names)
    chunks: list[bytes] = []
    n_bytes = 0
    try:
        async with asyncio.timeout(_BODY_S):
            async for chunk in request.stream():
                n_bytes += len(chunk)
                if n_bytes > MAX_BODY_BYTES:
                    raise Refused(f"the body is larger than {MAX_BODY_BYTES} bytes", status=413, reason="too_large")
                chunks.append(chunk)
    except TimeoutError:
        raise Refused(f"the body did not come within {_BODY_S:.0f} s", status=408, reason="timeout") from None
    return b"".join(chunks)


def _failure(error: BaseException, retry_after_s: int = 1) -> Response:
    failure = failure_of(error, retry_after_s=retry_after_s)
    return JSONResponse(failure.body, failure.status, failure.headers)
