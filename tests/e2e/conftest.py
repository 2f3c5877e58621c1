"""One real Triton server for nearly all end-to-end tests, serving the reference pair."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from a1_trt.config import Pair, load_pair
from a1_trt.pair_sections import Serving
from a1_trt.triton.server import TritonServer

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def reference() -> Pair:
    return load_pair(ROOT / "engines" / "reference")


@pytest.fixture(scope="session")
def server(reference, tmp_path_factory) -> Iterator[TritonServer]:
    """Every call of a1 passes through the models draft and target; test_engines_inside.py has the other way."""
    log_path = tmp_path_factory.mktemp("triton") / "server.log"
    models = reference.model_copy(update={"serving": Serving(engines="models")})
    with TritonServer(models, log_path=log_path) as running:
        yield running


@pytest.fixture(autouse=True)
def _server_survives(request) -> Iterator[None]:
    """Whatever a test does to the server, it goes on serving."""
    yield
    if "server" in request.fixturenames:
        running = request.getfixturevalue("server")
        assert running.pid is not None, f"the server died:\n{running.log_path.read_text(errors='replace')[-3000:]}"
