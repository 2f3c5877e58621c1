"""A FIFO semaphore counted in bytes."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class ByteSemaphore:
    """Admits requests in order of arrival while what they hold together fits. Used from one event loop."""

    def __init__(self, n_bytes: int) -> None:
        self.n_bytes = n_bytes
        self.free_bytes = n_bytes
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def acquire(self, n_bytes: int) -> AsyncIterator[None]:
        """Wait until `n_bytes` are free, and hold them; `n_bytes` is at most all there is."""
        if self._waiting or n_bytes > self.free_bytes:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append((n_bytes, turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():  # let in and cancelled at once
                    self._give_back(n_bytes)
                else:
                    self._waiting.remove((n_bytes, turn))
                    self._let_in()
                raise
        else:
            self.free_bytes -= n_bytes
        try:
            yield
        finally:
            self._give_back(n_bytes)

    def _give_back(self, n_bytes: int) -> None:
        self.free_bytes += n_bytes
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._waiting[0][0] <= self.free_bytes:
            n_bytes, turn = self._waiting.popleft()
            self.free_bytes -= n_bytes
            turn.set_result(None)
