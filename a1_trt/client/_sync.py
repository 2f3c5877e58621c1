"""The client without asyncio: `AsyncClient` on an event loop in a thread of its own, and nothing else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator, Iterable
from typing import Any, TypeVar, Unpack

from a1_trt.client._async import AsyncClient, Progress
from a1_trt.client._target import Target
from a1_trt.client._transport import Overrides
from a1_trt.errors import A1Error, EngineUnavailable
from a1_trt.types import Event, Problem, Result

_T = TypeVar("_T")


class Client:
    """Solves problems on a server or in this process; every method is `AsyncClient`'s, for any thread.

    Example:
        >>> problem = "a = 3, b = a+4, c = b*2, d = c-a. What is d modulo 100?"
        >>> def main() -> None:
        ...     with Client("grpc://localhost:8001") as client:
        ...         result = client.solve(problem, n_samples=8, alpha=0.3)
        ...     print(result.answer, result.rejection_rate)
    """

    def __init__(self, target: Target) -> None:
        self._client = AsyncClient(target)
        self._loop = _LoopThread()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def solve(
        self, problem: str | Problem, *, deadline_s: float | None = None, **parameters: Unpack[Overrides]
    ) -> Result:
        """See `AsyncClient.solve`."""
        return self._loop.run(self._client.solve(problem, deadline_s=deadline_s, **parameters))

    def solve_many(
        self,
        problems: Iterable[str | Problem],
        *,
        concurrency: int = 64,
        on_progress: Callable[[Progress], object] | None = None,
        deadline_s: float | None = None,
        **parameters: Unpack[Overrides],
    ) -> list[Result | A1Error]:
        """See `AsyncClient.solve_many`; `on_progress` is called in the client's own thread."""
        return self._loop.run(
            self._client.solve_many(
                problems, concurrency=concurrency, on_progress=on_progress, deadline_s=deadline_s, **parameters
            )
        )

    def stream(
        self, problem: str | Problem, *, deadline_s: float | None = None, **parameters: Unpack[Overrides]
    ) -> Generator[Event, None, None]:
        """See `AsyncClient.stream`."""
        events = self._client.stream(problem, deadline_s=deadline_s, **parameters)
        try:
            while (event := self._loop.run(_next(events))) is not None:
                yield event
        finally:
            self._loop.run(events.aclose())

    def close(self) -> None:
        """See `AsyncClient.aclose`."""
        self._loop.close(self._client.aclose())


async def _next(events: Any) -> Event | None:
    return await anext(events, None)


class _LoopThread:
    """An event loop in a daemon thread, started on first use."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="a1-trt-client", daemon=True)
        self._starting = threading.Lock()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """The result of `work`; when waiting is interrupted, as by Ctrl-C, the work is cancelled."""
        with self._starting:
            if self._loop.is_closed():
                work.close()
                raise EngineUnavailable("the client is closed", remedy="make a new one")
            if not self._thread.is_alive():
                self._thread.start()
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        if self._loop.is_closed():
            last.close()
            return
        self.run(last)
        self.run(_stop_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _stop_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
