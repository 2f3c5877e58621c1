"""What the tests of several rooms use: the reference pair, one real Triton server, pipelines that are loaded once.

It also marks tests by technique, so that no mark is forgotten: `property`, `virtual` and `e2e`. See pyproject.toml.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import is_hypothesis_test

from a1_trt.config import Pair, load_pair
from a1_trt.pair_sections import Serving
from a1_trt.triton.server import TritonServer
from tests.places import REFERENCE
from tests.warm_pipelines import WarmPipelines

pytest_plugins = ["tests.cpu_times"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        names = vars(item.module).keys() if isinstance(item, pytest.Function) else set()
        if is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker("property")
        if {"virtual_time", "VirtualTimeLoop"} & names:
            item.add_marker("virtual")
        if item.path.parent.name == "e2e":
            item.add_marker("e2e")


@pytest.fixture(scope="session")
def reference() -> Pair:
    """The reference pair."""
    return load_pair(REFERENCE)


@pytest.fixture(scope="session")
def server(reference: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """A real server of the reference pair. Every call of a1 passes through the models draft and target;
    e2e/test_engines_inside.py has the other way."""
    log_path = tmp_path_factory.mktemp("triton") / "server.log"
    models = reference.model_copy(update={"serving": Serving(engines="models")})
    with TritonServer(models, log_path=log_path) as running:
        yield running


@pytest.fixture(scope="session")
def warm_pipelines() -> Iterator[WarmPipelines]:
    """Pipelines that stay loaded between tests."""
    pipelines = WarmPipelines()
    yield pipelines
    pipelines.close()


@pytest.fixture(scope="module")
def warm_engines(warm_pipelines: WarmPipelines) -> Iterator[None]:
    """The OpenVINO engines that this process opens for pairs are on pipelines that may be loaded already."""
    from a1_trt.backends.openvino import OpenVinoEngine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OpenVinoEngine, "for_pair", partial(OpenVinoEngine.for_pair, start=warm_pipelines.start))
        yield
