"""Problems solved by a Triton server, over HTTP.

Only its generate_stream endpoint is used, with all events, also where the result alone is wanted: Triton notices that a
client has gone when it writes to it, so without events in between nothing would stop the work of a caller who left.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from a1_trt.addresses import is_loopback, proxy_note
from a1_trt.client._transport import UNKNOWN_PAIR, Events, retried, unreachable
from a1_trt.client._wire import MODEL, events_of, tensors_of, typed_error
from a1_trt.errors import EngineUnavailable
from a1_trt.requests import Options
from a1_trt.types import Event, Problem

# How long a problem takes is the caller's deadline; only connecting has a limit of its own.
_TIMEOUT = httpx.Timeout(None, connect=5.0)
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=64)


class HttpTransport:
    """One pool of HTTP connections to ``http://host:port``."""

    defaults = UNKNOWN_PAIR

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: httpx.AsyncClient | None = None

    def events(self, problem: Problem, options: Options, *, live: bool) -> Events:
        """See `Transport`."""
        body = {"id": problem.id, **tensors_of(problem, options.given, live=True)}
        return retried(lambda: self._once(body, problem))

    def _connected(self) -> httpx.AsyncClient:
        trust_env = not is_loopback(self._url)
        try:
            return httpx.AsyncClient(base_url=self._url, timeout=_TIMEOUT, limits=_LIMITS, trust_env=trust_env)
        except (ImportError, ValueError) as error:  # a proxy of the environment that it cannot use
            raise unreachable(self._url, str(error)) from None

    async def aclose(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _once(self, body: Mapping[str, Any], problem: Problem) -> Events:
        if self._client is None:
            self._client = self._connected()
        try:
            async with self._client.stream("POST", f"/v2/models/{MODEL}/generate_stream", json=body) as response:
                if response.is_error:
                    raise typed_error(_error_text(await response.aread()))
                async for line in response.aiter_lines():
                    for event in _events_in(line, problem):
                        yield event
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise unreachable(self._url, str(error)) from None
        except httpx.TransportError as error:
            broken = f"the connection to {self._url} broke: {error or type(error).__name__}{proxy_note(self._url)}"
            raise EngineUnavailable(broken, remedy="see the server's log") from None


def _events_in(line: str, problem: Problem) -> Iterator[Event]:
    if line.startswith("data:"):
        document = json.loads(line.removeprefix("data:"))
        if "error" in document:
            raise typed_error(document["error"])
        yield from events_of(document.get("event", ""), problem)


def _error_text(body: bytes) -> str:
    text = body.decode(errors="replace").removeprefix("data:").strip()
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text
