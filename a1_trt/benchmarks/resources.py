"""What a run takes besides time: memory, blocks of the KV cache, energy."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from a1_trt.benchmarks.gpu import Counters, counting
from a1_trt.engine import Engine

EVERY_S = 0.2


class Watch:
    """Looks every now and then while it is open, and keeps the peaks.

    Args:
        engines: One per role; those that know their `blocks_in_use` are asked.

    Attributes:
        rss_bytes: Most memory that this process and those below it held; None where /proc does not tell.
        kv_blocks: Most blocks of the KV cache in use, by role.
        cpu_s: Processor time that all of them took between opening and closing. On a machine that others use as well it
            says more than wall time.
        gpu: What NVIDIA's counters say of the time between opening and closing.
    """

    def __init__(self, engines: Mapping[Any, Engine]) -> None:
        self._engines = engines
        self._task: asyncio.Task[None] | None = None
        self._counting = ExitStack()
        self._cpu_s = 0.0
        self.rss_bytes: int | None = None
        self.kv_blocks: dict[str, int] = {}
        self.cpu_s: float | None = None
        self.gpu = Counters(None, [])

    async def __aenter__(self) -> Self:
        self.gpu = self._counting.enter_context(counting())
        self._cpu_s = _family_cpu_s()
        self._task = asyncio.create_task(self._look_on())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._look()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self.cpu_s = _family_cpu_s() - self._cpu_s or None
        self._counting.close()

    def figures(self) -> dict[str, Any]:
        """The peaks, ready for JSON."""
        return {
            "rss_bytes": self.rss_bytes,
            "kv_blocks": dict(self.kv_blocks),
            "cpu_s": self.cpu_s,
            "energy_j": self.gpu.energy_j,
            "gpus": self.gpu.gpus,
        }

    async def _look_on(self) -> None:
        while True:
            self._look()
            await asyncio.sleep(EVERY_S)

    def _look(self) -> None:
        rss_bytes = sum(_rss_bytes(process) for process in _family(os.getpid()))
        if rss_bytes:
            self.rss_bytes = max(self.rss_bytes or 0, rss_bytes)
        for role, engine in self._engines.items():
            blocks = getattr(engine, "blocks_in_use", None)
            if isinstance(blocks, int):
                self.kv_blocks[role] = max(self.kv_blocks.get(role, 0), blocks)


def _family(process: int) -> Iterator[int]:
    """A process and all below it."""
    yield process
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):  # it may end while it is looked at
            for child in children.read_text(encoding="ascii").split():
                yield from _family(int(child))


def _family_cpu_s() -> float:
    """Processor time so far of this process and those below it, seconds; 0 where /proc does not tell."""
    return sum(_cpu_s(process) for process in _family(os.getpid()))


def _cpu_s(process: int) -> float:
    try:
        said = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
        # Its own time, and that of its children that have ended.
        ticks = said.rpartition(")")[2].split()[11:15]
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return 0.0


def _rss_bytes(process: int) -> int:
    try:
        fields = Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0
