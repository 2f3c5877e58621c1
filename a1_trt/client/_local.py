"""Problems solved in this process."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from a1_trt.client._transport import Events
from a1_trt.config import Pair
from a1_trt.requests import Options
from a1_trt.runtime.session import Session, open_session
from a1_trt.types import Problem


class LocalTransport:
    """A session in this process: an open one, which stays the caller's, or a pair's, loaded on first use and owned."""

    def __init__(self, source: Pair | Session) -> None:
        self._pair = source if isinstance(source, Pair) else source.pair
        self.defaults = self._pair.parameters()
        self._session = source if isinstance(source, Session) else None
        self._owned = isinstance(source, Pair)
        self._opening = asyncio.Lock()

    async def events(self, problem: Problem, options: Options, *, live: bool) -> Events:
        """See `Transport`; what happens here costs nothing to tell, so `live` makes no difference."""
        session = await self._opened()
        async with aclosing(session.stream(problem, options.parameters)) as events:
            async for event in events:
                yield event

    async def aclose(self) -> None:
        if self._owned and self._session is not None:
            await self._session.aclose()

    async def _opened(self) -> Session:
        async with self._opening:
            if self._session is None:
                self._session = await open_session(self._pair)
            return self._session
