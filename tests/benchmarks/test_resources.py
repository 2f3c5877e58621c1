"""Processor time counts children that run and children that have ended."""

from __future__ import annotations

import asyncio
import subprocess
import sys

from a1_trt.benchmarks.resources import Watch

WORK = "import time; until = time.process_time() + 0.4\nwhile time.process_time() < until: pass"


def test_processor_time_and_memory_of_children_count() -> None:
    async def main() -> Watch:
        watch = Watch({})
        async with watch:
            await asyncio.to_thread(subprocess.run, [sys.executable, "-c", WORK], check=True)
        return watch

    watch = asyncio.run(main())
    assert watch.cpu_s >= 0.35
    assert watch.rss_bytes > 2**20
    assert watch.figures()["kv_blocks"] == {}
