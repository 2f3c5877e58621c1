"""One real Triton server for all end-to-end tests, serving the reference pair."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from a1_trt.config import Pair, load_pair
from a1_trt.deploy.server import TritonServer

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def reference() -> Pair:
    return load_pair(ROOT / "engines" / "reference")


@pytest.fixture(scope="session")
def server(reference, tmp_path_factory) -> Iterator[TritonServer]:
    """Serves the tracked model repository, as a user does who points a tritonserver at it."""
    log_path = tmp_path_factory.mktemp("triton") / "server.log"
    with TritonServer(reference, repository=ROOT / "triton_models", log_path=log_path) as running:
        yield running


@pytest.fixture(autouse=True)
def _server_survives(request) -> Iterator[None]:
    """Whatever a test does to the server, it goes on serving."""
    yield
    if "server" in request.fixturenames:
        running = request.getfixturevalue("server")
        assert running.pid is not None, f"the server died:\n{running.log_path.read_text(errors='replace')[-3000:]}"
