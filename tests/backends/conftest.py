"""The engines that the contract is tested on.

To add one: write a context manager that yields a `Subject`, and name it in `SUBJECTS`. Triton's server is the one of
the end-to-end tests.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest

from a1_trt.backends.openvino import OpenVinoEngine, OpenVinoTokenizer, context_length
from a1_trt.backends.replicated import Replicated
from a1_trt.backends.tensorrt_llm import TensorRtLlmEngine
from a1_trt.backends.triton import TritonEngine
from a1_trt.engine import Engine
from a1_trt.runtime.virtual_time import VirtualTimeLoop
from a1_trt.triton.server import TritonServer
from tests.doubles import installed
from tests.doubles.simulated import SimulatedEngine
from tests.places import REFERENCE


@dataclass(frozen=True)
class Subject:
    """An engine under test.

    Args:
        engine: The engine; shared by the tests, which therefore leave it open.
        run: Runs a coroutine on the event loop that the engine belongs to.
        open: Another engine of the same kind, for the tests that close it.
        in_flight: Requests that wait or run in `engine` now.
        vocabulary: Number of token ids, where `engine` is a language model whose probabilities can be summed.
    """

    engine: Engine
    run: Callable[[Coroutine[Any, Any, Any]], Any]
    open: Callable[[], Awaitable[Engine]]
    in_flight: Callable[[], int]
    vocabulary: int | None = None

    def encode(self, text: str) -> list[int]:
        return self.engine.tokenizer.encode(text)


@contextmanager
def openvino() -> Iterator[Subject]:
    def load() -> OpenVinoEngine:
        return OpenVinoEngine.load(REFERENCE / "target", role="target")

    with asyncio.Runner() as runner:
        engine = load()
        vocabulary = engine._checks.vocabulary
        yield Subject(engine, runner.run, lambda: asyncio.to_thread(load), lambda: engine.in_flight, vocabulary)
        runner.run(engine.aclose())


@contextmanager
def triton(server: TritonServer) -> Iterator[Subject]:
    tokenizer = OpenVinoTokenizer.load(REFERENCE / "target")
    limit = context_length(REFERENCE / "target")

    def connect() -> TritonEngine:
        return TritonEngine(server.grpc_url, "target", tokenizer, role="target", max_context_tokens=limit)

    async def open_another() -> TritonEngine:
        return connect()

    def in_flight() -> int:
        found = re.search(r'a1_engine_requests\{.*role="target".*\} (\d+)', httpx.get(server.metrics_url).text)
        return int(found[1])

    with asyncio.Runner() as runner:
        engine = connect()
        yield Subject(engine, runner.run, open_another, in_flight)
        runner.run(engine.aclose())


@contextmanager
def simulated() -> Iterator[Subject]:
    async def load() -> SimulatedEngine:
        return SimulatedEngine("target")

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        engine = SimulatedEngine("target")
        yield Subject(engine, runner.run, load, lambda: engine.n_running + engine.n_waiting)
        runner.run(engine.aclose())


@contextmanager
def replicated() -> Iterator[Subject]:
    def make() -> Replicated:
        return Replicated([SimulatedEngine("target"), SimulatedEngine("target")])

    async def load() -> Replicated:
        return make()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        engine = make()
        busy = lambda: sum(replica.n_running + replica.n_waiting for replica in engine._replicas)  # noqa: E731
        yield Subject(engine, runner.run, load, busy)
        runner.run(engine.aclose())


@contextmanager
def tensorrt_llm(scorer: str) -> Iterator[Subject]:
    """On the strict double of the package."""
    with installed.tensorrt_llm() as _, TemporaryDirectory() as directory:
        model = installed.checkpoint(Path(directory))
        settings = {"model": str(model), "max_seq_len": 301, "kv_cache_config": {"enable_partial_reuse": False}}

        async def load() -> TensorRtLlmEngine:
            return await TensorRtLlmEngine.open(
                settings,
                role="target",
                tokenizer=installed.CharacterTokenizer(),
                end_ids=frozenset([0]),
                scorer=scorer,
                n_scores=20,
            )

        with asyncio.Runner() as runner:
            engine = runner.run(load())
            yield Subject(engine, runner.run, load, lambda: engine._requests.llm._executor.n_active, 128)
            runner.run(engine.aclose())


SUBJECTS: dict[str, Callable[[], AbstractContextManager[Subject]]] = {
    "openvino": openvino,
    "replicated": replicated,
    "simulated": simulated,
    "tensorrt_llm": lambda: tensorrt_llm("additional_output"),
    "tensorrt_llm, context logits": lambda: tensorrt_llm("context_logits"),
}


@pytest.fixture(scope="session", params=[*SUBJECTS, "triton"])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    is_served = request.param == "triton"
    with triton(request.getfixturevalue("server")) if is_served else SUBJECTS[request.param]() as opened:
        yield opened
