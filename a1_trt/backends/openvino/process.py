"""A pipeline in a process of its own.

`step` holds the interpreter lock from beginning to end. In one process the draft's, the target's and the scorer's steps
would wait for each other, and the event loop for all of them; in processes of their own they run side by side.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import count
from typing import Any, Self

from a1_trt.backends.checks import closed
from a1_trt.backends.openvino.pipeline import GenerateRequest, Output, Setup, ThreadFuture
from a1_trt.errors import A1Error, EngineError, EngineUnavailable, from_wire

_MODULE = "a1_trt.backends.openvino.worker"
_CLOSE_S = 10.0
_BUFFER_BYTES = 1 << 22


class PipelineProcess:
    """The near end of a worker process; `start` makes one."""

    def __init__(self, setup: Setup, worker: subprocess.Popen[bytes], line: socket.socket) -> None:
        self._role = setup.role
        self._worker = worker
        self._line = line
        self._answers = line.makefile("rb")
        self._numbers = count()
        self._lock = threading.Lock()
        self._waiting: dict[int, ThreadFuture] = {}
        self._gone: EngineUnavailable | None = None
        try:
            paths = {"model": str(setup.model.absolute())}
            if setup.proposer is not None:
                paths["proposer"] = str(setup.proposer.absolute())
            self._send({**asdict(setup), **paths})
            self.end_tokens = frozenset[int](self._greeting()["end_tokens"])
        except BaseException:
            self._worker.kill()
            self._free()
            raise
        self._thread = threading.Thread(target=self._read, name=f"openvino-{setup.role}", daemon=True)
        self._thread.start()

    @classmethod
    def start(cls, setup: Setup) -> Self:
        near, far = socket.socketpair()
        for end in (near, far):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        python = sys.executable or shutil.which("python3") or "python3"
        with far:
            worker = subprocess.Popen(  # noqa: S603 - our own module, no shell
                [python, "-m", _MODULE, str(far.fileno())],
                pass_fds=[far.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr.fileno() if _has_handle(sys.stderr) else subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )
        return cls(setup, worker, near)

    @property
    def in_flight(self) -> int:
        with self._lock:
            return len(self._waiting)

    async def run(self, token_ids: Sequence[int], options: GenerateRequest) -> Output:
        waiting = ThreadFuture()
        with self._lock:
            if self._gone is not None:
                raise self._gone
            number = next(self._numbers)
            self._waiting[number] = waiting
        self._send({"number": number, "token_ids": list(token_ids), "options": asdict(options)})
        try:
            return await waiting.output
        except asyncio.CancelledError:
            self._send({"cancel": number})
            raise
        finally:
            with self._lock:
                self._waiting.pop(number, None)

    def close(self) -> None:
        self._give_up(closed(self._role))
        with suppress(OSError):  # it may be closed already
            self._line.shutdown(socket.SHUT_RDWR)
        try:
            self._worker.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            self._worker.kill()
        self._thread.join()
        self._free()

    def _free(self) -> None:
        self._worker.wait()
        self._answers.close()
        self._line.close()

    def _send(self, document: dict[str, Any]) -> None:
        try:
            self._line.sendall(json.dumps(document).encode() + b"\n")
        except OSError:  # the reader sees the same end, and says so to everybody who waits
            return

    def _greeting(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            raise self._died()
        message: dict[str, Any] = json.loads(line)
        if "error" in message:
            raise self._error(message["error"])
        return message

    def _read(self) -> None:
        with suppress(OSError, ValueError):  # the line may break off in the middle
            for line in self._answers:
                message = json.loads(line)
                outcome = Output(**message["output"]) if "output" in message else self._error(message["error"])
                with self._lock:
                    waiting = self._waiting.get(message["number"])
                if waiting is not None:
                    waiting.resolve(outcome)
        self._give_up(self._died())

    def _give_up(self, error: EngineUnavailable) -> None:
        with self._lock:
            if self._gone is None:
                self._gone = error
            waiting = list(self._waiting.values())
        for future in waiting:
            future.resolve(self._gone)

    def _error(self, wire: str) -> A1Error:
        return from_wire(wire) or EngineError(wire, role=self._role)

    def _died(self) -> EngineUnavailable:
        try:
            status = f" with status {self._worker.wait(_CLOSE_S)}"
        except subprocess.TimeoutExpired:
            status = ""
        message = f"the process of the {self._role} engine ended{status}"
        remedy = "look at standard error for the reason; it may have run out of memory"
        return EngineUnavailable(message, role=self._role, remedy=remedy)


def _has_handle(stream: Any) -> bool:
    try:
        return isinstance(stream.fileno(), int)
    except (AttributeError, OSError, ValueError):
        return False
