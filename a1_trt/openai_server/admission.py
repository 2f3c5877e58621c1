"""Who is let in: how many problems at once, and with which key."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

from a1_trt.errors import ConfigError, EngineUnavailable
from a1_trt.files import reading
from a1_trt.openai_server.failures import Refused
from a1_trt.types import Event

Events = AsyncGenerator[Event, None]

_MAX_KEY_FILE_BYTES = 64 * 1024


class Gate:
    """Lets so many problems in at once, of callers who show one of the keys; with no keys nobody needs one."""

    def __init__(self, max_problems: int, keys: tuple[bytes, ...] = ()) -> None:
        self._max_problems = max_problems
        self._keys = keys
        self.n_inside = 0
        self._stopping = asyncio.Event()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """A place among the problems at work; `Refused` where all are taken."""
        if self.n_inside >= self._max_problems:
            message = f"{self.n_inside} problems are at work already"
            names = {"reason": "rate_limit_exceeded", "kind": "rate_limit_error"}
            raise Refused(message, status=429, remedy="try again later", **names)
        self.n_inside += 1
        try:
            yield
        finally:
            self.n_inside -= 1

    def stop(self) -> None:
        """End the work of all who are inside."""
        self._stopping.set()

    async def until_stop(self, events: Events) -> Events:
        """The events, as long as the gate is open; then an `EngineUnavailable`."""
        closing = asyncio.ensure_future(self._stopping.wait())
        try:
            async with aclosing(events):
                while (event := await _next(events, closing)) is not None:
                    yield event
        finally:
            closing.cancel()

    def check_key(self, authorization: str | None) -> None:
        """Check the header Authorization, in a time that does not depend on how much of a key is right."""
        shown = (authorization or "").encode("latin-1", "replace")
        known = [hmac.compare_digest(shown, b"Bearer " + key) for key in self._keys]
        if self._keys and not any(known):
            remedy = "send it as 'Authorization: Bearer KEY'"
            raise Refused("the API key is missing or wrong", status=401, reason="invalid_api_key", remedy=remedy)


async def _next(events: Events, closing: asyncio.Future[Any]) -> Event | None:
    step: asyncio.Future[Event | None] = asyncio.ensure_future(_step(events))
    either: list[asyncio.Future[Any]] = [step, closing]
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if closing.done():
            raise EngineUnavailable("the endpoint is stopping", remedy="ask again when it is back")
        return step.result()
    finally:
        if not step.done():
            step.cancel()
            await asyncio.wait({step})


async def _step(events: Events) -> Event | None:
    return await anext(events, None)


def read_keys(path: Path) -> tuple[bytes, ...]:
    """The keys of a file, one a line."""
    remedy = "give a text file with one key a line"
    with reading(path, field="api_key_file", error=ConfigError, remedy=remedy):
        if path.stat().st_size > _MAX_KEY_FILE_BYTES:
            raise ConfigError(f"{path} is too large", path=str(path), field="api_key_file", remedy=remedy)
        lines = path.read_bytes().splitlines()
    keys = tuple(filter(None, (line.strip() for line in lines)))
    if not keys:
        raise ConfigError(f"{path} holds no key", path=str(path), field="api_key_file", remedy=remedy)
    return keys
