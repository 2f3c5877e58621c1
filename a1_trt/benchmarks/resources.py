"""What a run takes besides time: memory, processor time, blocks of the KV cache, energy."""

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any, Self

import psutil

from a1_trt.benchmarks.gpu import Counters, counting
from a1_trt.engine import Engine

INTERVAL_S = 0.2
_SAMPLES_A_LISTING = 10
"""Finding the processes reads the whole process table, which costs milliseconds; so they are listed more rarely."""


class Watch:
    """Samples the process tree and the engines' `blocks_in_use`, and keeps the peaks; `cpu_s` is of the whole tree."""

    def __init__(self, engines: Mapping[Any, Engine]) -> None:
        self._engines = engines
        self._processes: list[psutil.Process] = []
        self._n_samples = 0
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
        self._task = asyncio.create_task(self._sample_until_cancelled())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._sample()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self.cpu_s = _family_cpu_s() - self._cpu_s or None
        self._counting.close()

    def figures(self) -> dict[str, Any]:
        return {
            "rss_bytes": self.rss_bytes,
            "kv_blocks": dict(self.kv_blocks),
            "cpu_s": self.cpu_s,
            "energy_j": self.gpu.energy_j,
            "gpus": self.gpu.gpus,
        }

    async def _sample_until_cancelled(self) -> None:
        while True:
            self._sample()
            await asyncio.sleep(INTERVAL_S)

    def _sample(self) -> None:
        if self._n_samples % _SAMPLES_A_LISTING == 0:
            self._processes = _family()
        self._n_samples += 1
        rss_bytes = 0
        for process in self._processes:
            with suppress(psutil.Error):  # it may end while it is looked at
                rss_bytes += process.memory_info().rss
        self.rss_bytes = max(self.rss_bytes or 0, rss_bytes)
        for role, engine in self._engines.items():
            blocks = getattr(engine, "blocks_in_use", None)
            if isinstance(blocks, int):
                self.kv_blocks[role] = max(self.kv_blocks.get(role, 0), blocks)


def _family() -> list[psutil.Process]:
    process = psutil.Process()
    return [process, *process.children(recursive=True)]


def _family_cpu_s() -> float:
    """Also of children that have ended."""
    total_s = 0.0
    for process in _family():
        with suppress(psutil.Error):
            times = process.cpu_times()
            total_s += times.user + times.system + times.children_user + times.children_system
    return total_s
