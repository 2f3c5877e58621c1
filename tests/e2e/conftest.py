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
def server(reference) -> Iterator[TritonServer]:
    """Serves the tracked model repository, as a user does who points a tritonserver at it."""
    with TritonServer(reference, repository=ROOT / "triton_models") as running:
        yield running


@pytest.fixture(autouse=True)
def _server_survives(request) -> Iterator[None]:
    """Whatever a test does to the server, it goes on serving."""
    yield
    if "server" in request.fixturenames:
        assert request.getfixturevalue("server").pid is not None
