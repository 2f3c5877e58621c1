"""An asyncio event loop whose clock jumps: hours of waiting take no time, and the same program has the same timeline.

Nothing here sleeps or reads the real clock. When nothing is ready to run, the clock jumps to the next timer; when there
is no timer either, the program waits for something that cannot come, and that is an error instead of a test that hangs.
Threads and sockets would need real time and are refused.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar

from a1_trt.errors import ProtocolError

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T], *, limit_s: float = 1e7) -> T:
    """Run a coroutine to its end in virtual time, as `asyncio.run` does in real time.

    Args:
        coroutine: What to run; inside, ``loop.time()`` starts at 0.
        limit_s: Virtual seconds after which the program counts as one that never ends, such as an endless poll.

    Raises:
        ProtocolError: All tasks wait and no timer is pending, the clock would pass `limit_s`, or a thread is asked for.

    Example:
        >>> async def day():
        ...     await asyncio.sleep(86400)
        ...     return asyncio.get_running_loop().time()
        >>> run(day())
        86400.0
    """
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(limit_s)) as runner:
        return runner.run(coroutine)


class VirtualTimeLoop(asyncio.BaseEventLoop):
    def __init__(self, limit_s: float = math.inf) -> None:
        super().__init__()
        self._now = 0.0
        self._limit_s = limit_s
        # The base class polls its selector between callbacks, with the time until the next timer; there is nothing to
        # poll here, so "select" is where the clock jumps.
        self._selector = self
        self._clock_resolution = math.ulp(self._now)

    def time(self) -> float:
        return self._now

    def select(self, timeout: float | None) -> list[Any]:
        """Jump to the next timer; called by the base class whenever it would wait for `timeout` seconds."""
        if timeout is None:
            self._give_up("deadlock: {} for nothing: {}")
        if timeout > 0:
            # The timer's own time, not now + timeout, which may be off by a rounding error.
            when: float = self._scheduled[0].when()  # type: ignore[attr-defined]
            if when > self._limit_s:
                limit_s, self._limit_s = self._limit_s, math.inf  # what is left to clean up may take its time
                self._give_up(f"the clock would pass {limit_s} s while {{}}: {{}}")
            self._now = when
            # Timers of exactly this time are due, and no others, however large the time is.
            self._clock_resolution = math.ulp(when)
        return []

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> NoReturn:  # type: ignore[override]
        """Refuse: a thread takes real time."""
        raise ProtocolError("virtual time runs no threads", field="executor", remedy="use asyncio.run for real work")

    def _give_up(self, message: str) -> NoReturn:
        tasks = asyncio.all_tasks(self)
        names = sorted(f"{task.get_name()} ({getattr(task.get_coro(), '__qualname__', '?')})" for task in tasks)
        count = f"{len(names)} task{'s wait' if len(names) != 1 else ' waits'}"
        raise ProtocolError(message.format(count, ", ".join(names)), remedy="find what should have woken them")

    def _process_events(self, event_list: list[Any]) -> None:
        """Nothing: there are no file descriptors."""

    def _write_to_self(self) -> None:
        """Nothing: a loop that never blocks needs no waking; Ctrl-C comes through here."""
