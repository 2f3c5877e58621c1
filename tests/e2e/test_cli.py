"""The commands that start a server of their own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from a1_trt.client import Client
from a1_trt.config import load_pair

COMMAND = Path(sys.executable).with_name("a1-trt")
PROBLEMS = [
    {"id": f"p{n}", "problem": f"a = {n}, b = a+4. What is b modulo 100?", "answer": str(n + 4), "level": "middle"}
    for n in range(6)
]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_serve_says_where_serves_and_leaves_nothing_behind(ending: signal.Signals) -> None:
    ports = ["--grpc-port", "0", "--http-port", "0", "--metrics-port", "0"]
    with subprocess.Popen(
        [COMMAND, "serve", "reference", *ports, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        with Client(said["grpc_url"]) as client:
            assert client.solve(PROBLEMS[0]["problem"], n_samples=1).trajectories
        assert "nv_inference_count" in httpx.get(said["metrics_url"], trust_env=False).text
        process.send_signal(ending)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in told
    with pytest.raises(ProcessLookupError):
        os.kill(said["pid"], 0)


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [COMMAND, "serve", "reference", "--grpc-port", str(port), "--http-port", "0", "--metrics-port", "0"],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 6
    line = done.stderr.splitlines()[-1]
    assert line.startswith("a1-trt: error [grpc_port]: ")
    assert str(port) in line
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("barrier", [False, True])
def test_demo_prints_one_object(tmp_path: Path, barrier: bool) -> None:
    file = tmp_path / "problems.jsonl"
    file.write_text("\n".join(map(json.dumps, PROBLEMS)))
    options = ["--problems", "4", "--samples", "2", "--blocks", "2", *(["--compare", "barrier"] if barrier else [])]
    done = subprocess.run(
        [COMMAND, "demo", "--data", file, "--json", *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["n_problems"], said["n_samples"], said["alpha"]) == (4, 2, load_pair("reference").parameters().alpha)
    for arm in ("a1", "target_only", *(["barrier"] if barrier else [])):
        assert 0 <= said[arm]["accuracy"] <= 1
        assert said[arm]["wall_s"] > 0
        assert said[arm]["n_failed"] == 0
    assert said["a1"]["draft_tokens"] > 0
    assert said["target_only"]["draft_tokens"] == 0
    assert said["target_only"]["target_tokens"] > 0
    low, high = said["accuracy_difference_ci95"]
    assert low <= said["accuracy_difference"] <= high
    assert said["speedup"] == pytest.approx(said["target_only"]["wall_s"] / said["a1"]["wall_s"])
    assert ("async_over_barrier" in said) == barrier
    assert said["rejection_rate"] is None or 0 <= said["rejection_rate"] <= 1
    assert {"machine", "versions", "seed", "command"} <= said.keys()
