"""The process that owns one pipeline: ``python -m a1_trt.backends.openvino.worker HANDLE``.

HANDLE is an open socket. One JSON line says how to load (`Setup`); the answer is the model's end tokens or an error.
Then each line is a request or a cancellation, and each answer carries its request's number. The process ends when the
other end of the socket closes, however that came about.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from a1_trt.backends.openvino.batcher import Batcher
from a1_trt.backends.openvino.pipeline import GenerateRequest, Setup
from a1_trt.errors import A1Error

LINE_BYTES = 1 << 26
"""Longest line: a prompt of a million tokens."""


async def serve(handle: int) -> None:
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=handle), limit=LINE_BYTES)
    try:
        message = json.loads(await reader.readline())
        paths = {name: Path(message[name]) for name in ("model", "proposer") if message[name] is not None}
        batcher = Batcher.load(Setup(**{**message, **paths}))
    except A1Error as error:
        _send(writer, {"error": error.to_wire()})
        await writer.drain()
        return
    _send(writer, {"end_tokens": sorted(batcher.end_tokens)})
    tasks: dict[int, asyncio.Task[None]] = {}
    try:
        while line := await reader.readline():
            message = json.loads(line)
            if "cancel" in message:
                if task := tasks.get(message["cancel"]):
                    task.cancel()
                continue
            tasks[message["number"]] = task = asyncio.create_task(_answer(batcher, writer, message))
            task.add_done_callback(partial(_forget, tasks, message["number"]))
    except ConnectionError:
        return  # the other end has died
    finally:
        batcher.close()


async def _answer(batcher: Batcher, writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    try:
        output = await batcher.run(
            message["token_ids"], GenerateRequest(**{**message["options"], "stop": tuple(message["options"]["stop"])})
        )
    except A1Error as error:
        _send(writer, {"number": message["number"], "error": error.to_wire()})
        return
    _send(writer, {"number": message["number"], "output": asdict(output)})


def _forget(tasks: dict[int, asyncio.Task[None]], number: int, _: object) -> None:
    del tasks[number]


def _send(writer: asyncio.StreamWriter, document: dict[str, Any]) -> None:
    writer.write(json.dumps(document).encode() + b"\n")


if __name__ == "__main__":
    # Ctrl-C reaches every process of a terminal; this one ends with its owner, who may still want its answers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(serve(int(sys.argv[1])))
