"""A stand-in for tritonserver where its models do not matter: it takes a moment to start instead of seconds.

`install` makes an installation of it that $A1_TRT_TRITONSERVER can name. It answers whether it is ready, has a process
beside it as the real one has its stubs, and a piece of shared memory; unlike the real one it cleans up neither.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HANGS, STUBBORN = "hangs", "stubborn"
BEHAVIOUR = "A1_TRT_STAND_IN"
"""Environment variable: "hangs" never becomes ready, "stubborn" does not end when it is asked to."""


def install(directory: Path) -> Path:
    """The executable of a new installation."""
    backend = directory / "backends" / "python"
    backend.mkdir(parents=True)
    for name in ("libtriton_python.so", "triton_python_backend_utils.py"):
        (backend / name).touch()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    (backend / "triton_python_backend_stub").write_bytes(f"libpython{version}.so".encode())
    executable = directory / "bin" / "tritonserver"
    executable.parent.mkdir()
    executable.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(__file__)} "$@"\n')
    executable.chmod(0o755)
    return executable


class Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def main(arguments: list[str]) -> None:
    options = dict(argument.removeprefix("--").partition("=")[::2] for argument in arguments)
    behaviour = os.environ.get(BEHAVIOUR)
    signal.signal(signal.SIGTERM, signal.SIG_IGN if behaviour == STUBBORN else signal.SIG_DFL)
    prefix = options["backend-config"].partition("shm-region-prefix-name=")[2]
    Path(f"/dev/shm/{prefix}stub").touch()  # noqa: S108 - the name is this server's own
    subprocess.Popen(["sleep", "600"])
    print("successfully loaded 'a1'", flush=True)  # noqa: T201 - the server's log
    if behaviour == HANGS:
        time.sleep(600)
    ThreadingHTTPServer((options["http-address"], int(options["http-port"])), Ready).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
