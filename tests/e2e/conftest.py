"""What end-to-end tests use beside the one real server of the root's conftest."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from a1_trt.triton.binary import VARIABLE
from tests.doubles import tritonserver


@pytest.fixture(autouse=True)
def _server_survives(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test does to the server, it goes on serving."""
    yield
    if "server" in request.fixturenames:
        running = request.getfixturevalue("server")
        assert running.pid is not None, f"the server died:\n{running.log_path.read_text(errors='replace')[-3000:]}"


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands start this instead of a real tritonserver."""
    executable = tritonserver.install(tmp_path / "stand_in")
    monkeypatch.setenv(VARIABLE, str(executable))
    return executable


@pytest.fixture
def own_signals() -> Iterator[None]:
    """Signals are handled as before, whatever a command in this process sets."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
