"""Grader processes that compare answers by algebra: started on demand, replaced when they hang."""

from __future__ import annotations

import atexit
import json
import os
import queue
import select
import subprocess
import sys
from importlib.util import find_spec

from a1_trt.errors import ConfigError

N_WORKERS = min(4, os.cpu_count() or 1)  # comparisons at a time
_START_S = 120.0  # longest that a worker may take to load computer algebra, on a very busy machine


class Worker:
    """One process; one comparison at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def equal(self, answer: str, truth: str, timeout_s: float) -> bool:
        """Whether the two are the same; False when the process does not say so in time, and then it is killed."""
        process = self._running()
        if process.stdin is None or process.stdout is None:  # both are pipes; this tells the type checker
            return False
        try:
            process.stdin.write(json.dumps([answer, truth, timeout_s]).encode() + b"\n")
            process.stdin.flush()
            verdict = _line(process, timeout_s)
        except BrokenPipeError:
            verdict = b""
        if not verdict:
            self.stop()
        return verdict.strip() == b"true"

    def stop(self) -> None:
        """Kill the process, if there is one; the next comparison starts another."""
        if self._process is None:
            return
        self._process.kill()
        self._process.communicate()
        self._process = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.stop()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "a1_trt.benchmarks.grading.algebra"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            # Loading the algebra takes seconds on a busy machine and belongs to no comparison's time.
            _line(self._process, _START_S)
        return self._process


class Workers:
    """Thread-safe pool of grader processes."""

    def __init__(self, n: int = N_WORKERS) -> None:
        # The one that was used last comes first: who asks for one comparison at a time starts one process.
        self._free: queue.LifoQueue[Worker] = queue.LifoQueue()
        self._all = [Worker() for _ in range(n)]
        for worker in self._all:
            self._free.put(worker)

    def equal(self, answer: str, truth: str, timeout_s: float) -> bool:
        """`Worker.equal` of a free one; ConfigError where math-verify is not installed."""
        if find_spec("math_verify") is None:
            message = "math-verify, which compares answers that are not whole numbers, is not installed"
            raise ConfigError(message, field="math-verify", remedy="pip install math-verify")
        worker = self._free.get()
        try:
            return worker.equal(answer, truth, timeout_s)
        finally:
            self._free.put(worker)

    def stop(self) -> None:
        for worker in self._all:
            worker.stop()


def _line(process: subprocess.Popen[bytes], timeout_s: float) -> bytes:
    if process.stdout is None:
        return b""
    ready, _, _ = select.select([process.stdout], [], [], timeout_s)
    return process.stdout.readline() if ready else b""


WORKERS = Workers()
atexit.register(WORKERS.stop)
