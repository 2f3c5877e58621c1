"""The commands that start a server of their own. `serve --openai` on a real one is in test_openai.py."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from a1_trt.cli import main
from a1_trt.config import load_pair
from a1_trt.triton.server import TritonServer
from tests.places import COMMAND

PROBLEMS = [
    {"id": f"p{n}", "problem": f"a = {n}, b = a+4. What is b modulo 100?", "answer": str(n + 4), "level": "middle"}
    for n in range(4)
]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_serve_says_where_and_leaves_nothing_behind(ending: signal.Signals, stand_in: Path) -> None:
    ports = ["--grpc-port", "0", "--http-port", "0", "--metrics-port", "0"]
    with subprocess.Popen(
        [COMMAND, "serve", "reference", *ports, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        assert {"pair", "grpc_url", "http_url", "metrics_url", "pid"} == said.keys()
        assert str(stand_in.parent) in Path(f"/proc/{said['pid']}/environ").read_text()
        process.send_signal(ending)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in told
    with pytest.raises(ProcessLookupError):
        os.kill(said["pid"], 0)


@pytest.mark.usefixtures("own_signals")
def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = CliRunner().invoke(
            main, ["serve", "reference", "--grpc-port", port, "--http-port", "0", "--metrics-port", "0"]
        )
    assert done.exit_code == 6
    line = done.stderr.splitlines()[-1]
    assert line.startswith("a1-trt: error [grpc_port]: ")
    assert port in line


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """`a1-trt demo` on a few problems."""
    file = tmp_path / "problems.jsonl"
    file.write_text("\n".join(map(json.dumps, PROBLEMS)))
    numbers = ["--problems", "3", "--samples", "2", "--blocks", "2", "--max-turns", "2"]
    return ["demo", "--data", str(file), "--json", *numbers, "--draft-tokens", "8", "--target-tokens", "16"]


def check_demo(said: dict[str, Any], arms: set[str]) -> None:
    assert (said["n_problems"], said["n_samples"], said["alpha"]) == (3, 2, load_pair("reference").parameters().alpha)
    assert {"a1", "target_only", "barrier"} & said.keys() == arms
    for arm in arms:
        assert 0 <= said[arm]["accuracy"] <= 1
        assert said[arm]["wall_s"] > 0
        assert said[arm]["n_failed"] == 0
    assert said["a1"]["draft_tokens"] > 0
    assert said["target_only"]["draft_tokens"] == 0
    assert said["target_only"]["target_tokens"] > 0
    low, high = said["accuracy_difference_ci95"]
    assert low <= said["accuracy_difference"] <= high
    assert said["speedup"] == pytest.approx(said["target_only"]["wall_s"] / said["a1"]["wall_s"])
    assert ("async_over_barrier" in said) == ("barrier" in arms)
    assert said["rejection_rate"] is None or 0 <= said["rejection_rate"] <= 1
    assert {"machine", "versions", "seed", "command"} <= said.keys()


@pytest.mark.parametrize("third", [set(), {"barrier"}])
def test_demo_prints_one_object(
    words: list[str], third: set[str], server: TritonServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the server of all tests, in place of the one that it would start."""

    def start(*arguments: Any, **options: Any) -> AbstractContextManager[TritonServer]:
        assert signature(TritonServer).bind(*arguments, **options).arguments["pair"].name == "reference"
        return nullcontext(server)

    monkeypatch.setattr("a1_trt.triton.server.TritonServer", start)
    done = CliRunner().invoke(main, [*words, *(word for name in third for word in ("--compare", name))])
    assert done.exit_code == 0, done.output
    check_demo(json.loads(done.stdout), {"a1", "target_only", *third})


@pytest.mark.long
def test_demo_starts_its_own_server(words: list[str]) -> None:
    done = subprocess.run([COMMAND, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    check_demo(json.loads(done.stdout), {"a1", "target_only"})
