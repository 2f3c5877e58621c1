"""`a1-trt serve --openai`: a real Triton with the endpoint in front of it, and the endpoint alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from openai import OpenAI

from a1_trt.cli import main
from a1_trt.client import Client
from tests.places import COMMAND

TRITON = ["--grpc-port", "0", "--http-port", "0", "--metrics-port", "0"]
MESSAGES = [{"role": "user", "content": "a = 3, b = a+4, c = b*2. What is c modulo 100?"}]
# Seconds of work; while it goes on, most of its samples have not even begun.
LONG = {"n_samples": 1024, "early_stop": False}


class Served:
    """A running command.

    Args:
        process: The command.
        said: The line of JSON that it prints when it is ready.
    """

    def __init__(self, process: subprocess.Popen[str], said: dict[str, Any]) -> None:
        self.process = process
        self.said = said
        self.url = str(said["openai_url"]).removesuffix("/v1")

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", trust_env=False, timeout=30)

    def metric(self, name: str) -> float:
        lines = self.get("/metrics").text.splitlines()
        values = [float(line.split()[-1]) for line in lines if line.startswith(name)]
        assert values, "the engines' metrics are missing"
        return sum(values)

    def wait_until(self, *, busy: bool, within_s: float = 60.0) -> None:
        end_s = time.monotonic() + within_s
        while (self.metric("a1_calls_in_flight") > 0) != busy:
            assert time.monotonic() < end_s, f"not {'busy' if busy else 'idle'} within {within_s} s"
            time.sleep(0.05)

    def end(self, with_signal: signal.Signals) -> str:
        self.process.send_signal(with_signal)
        return self.process.communicate(timeout=60)[1]


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Runs `a1-trt serve reference --openai-port 0` with more options until the test ends."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str, **environment: str) -> Served:
        command = [COMMAND, "serve", "reference", "--openai-port", "0", "--json", *options]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
        )
        started.append(process)
        assert process.stdout is not None
        return Served(process, json.loads(process.stdout.readline()))

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)


def test_in_front_of_triton(serve, tmp_path, monkeypatch) -> None:
    """One start of a real server for all of it: it takes seconds."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    served = serve("--openai", *TRITON, A1_TRT_SERVING__ENGINES="models")
    assert served.get("/v2/health/ready").status_code == 200
    with Client(served.said["grpc_url"]) as client:
        assert client.solve(MESSAGES[0]["content"], n_samples=1).trajectories
    assert "nv_inference_count" in httpx.get(served.said["metrics_url"], trust_env=False).text
    with OpenAI(base_url=served.said["openai_url"], api_key="none", max_retries=0) as client:
        done = client.chat.completions.create(model="reference", messages=MESSAGES, seed=1)
        assert done.choices[0].message.content == done.model_extra["a1"]["answer"]
        chunks = list(client.chat.completions.create(model="reference", messages=MESSAGES, seed=1, stream=True))
        assert chunks[-1].choices[0].finish_reason == "stop"
        before = served.metric('a1_segments_total{role="draft"')
        with client.chat.completions.create(
            model="reference", messages=MESSAGES, stream=True, extra_body={"a1": LONG}
        ) as stream:
            next(iter(stream))
            served.wait_until(busy=True)
    served.wait_until(busy=False)
    assert served.metric('a1_segments_total{role="draft"') - before < LONG["n_samples"]
    assert left_behind(served, tmp_path)
    told = served.end(signal.SIGINT)
    assert served.process.returncode == 0
    assert "Traceback" not in told
    assert left_behind(served, tmp_path) == []


def left_behind(served: Served, temporary: Path) -> list[Path]:
    """Files, shared memory and processes of a server."""
    memory = Path("/dev/shm").glob(f"a1_trt_{served.process.pid}_*")  # noqa: S108 - the server's own names
    return [*temporary.glob("a1_trt_*"), *memory, *processes_in(temporary)]


def processes_in(temporary: Path) -> Iterator[Path]:
    """Other processes whose temporary directory this is."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"TMPDIR={temporary}".encode() in environment and int(process.name) != os.getpid():
            yield process


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_both_end_together(serve, ending: signal.Signals) -> None:
    served = serve("--openai", *TRITON)
    assert served.get("/health").status_code == 200
    told = served.end(ending)
    assert served.process.returncode == 0
    assert "Traceback" not in told
    with pytest.raises(ProcessLookupError):
        os.kill(served.said["pid"], 0)


@pytest.mark.usefixtures("stand_in")
def test_when_triton_dies_the_endpoint_ends_and_says_so(serve) -> None:
    served = serve("--openai", *TRITON)
    os.kill(served.said["pid"], signal.SIGKILL)
    told = served.process.communicate(timeout=60)[1]
    assert served.process.returncode == 6
    assert "Traceback" not in told


def test_alone_and_stopped_in_the_middle_of_work(serve) -> None:
    served = serve("--openai-only")
    with OpenAI(base_url=served.said["openai_url"], api_key="none", max_retries=0) as client:
        stream = client.chat.completions.create(
            model="reference", messages=MESSAGES, stream=True, extra_body={"a1": LONG}
        )
        next(iter(stream))
        told = served.end(signal.SIGTERM)
        stream.close()
    assert served.process.returncode == 0
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("options", "field", "status"),
    [
        (["--openai-only", "--openai-port", "{taken}"], "openai_port", 6),
        (["--openai-only", "--api-key-file", "nowhere"], "api_key_file", 2),
        (["--openai-only", "--url", "http://localhost:8000"], "url", 2),
        (["--url", "grpc://localhost:8001"], "url", 2),
    ],
)
@pytest.mark.usefixtures("own_signals")
def test_what_cannot_be_served_is_named(options: list[str], field: str, status: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        arguments = [option.replace("{taken}", port) for option in options]
        done = CliRunner().invoke(main, ["serve", "reference", *arguments])
    assert done.exit_code == status, done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"a1-trt: error [{field}]: ")
