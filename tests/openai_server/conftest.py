"""Endpoints on real sockets: one in front of the reference pair for all tests, others on simulated engines."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from openai import OpenAI

from a1_trt.backends.openvino import OpenVinoEngine
from a1_trt.config import Pair, load_pair, make_pair
from a1_trt.openai_server.admission import Gate
from a1_trt.openai_server.backend import LocalBackend
from a1_trt.openai_server.serving import Server
from a1_trt.runtime.session import Session
from a1_trt.types import Role
from tests.doubles.simulated import Fault, RandomText, SimulatedEngine
from tests.places import REFERENCE
from tests.warm_pipelines import WarmPipelines

SIMULATED = {
    "name": "simulated",
    "draft": {"model": "none", "sampling": {"segment_tokens": 40}},
    "target": {"model": "none", "sampling": {"segment_tokens": 40}},
    "scheduler": {"n_samples": 4, "max_turns": 8},
}


class Endpoint:
    """A running endpoint.

    Args:
        url: Where it is, without /v1.
        session: The session behind it.
        loop: The loop that both run on.
        stop: Ends it as Ctrl-C does, and waits until it has ended.
    """

    def __init__(self, url: str, session: Session, loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
        self.url = url
        self.stop = stop
        self.session = session
        self._loop = loop
        self._clients: list[OpenAI] = []

    def openai(self, **options: Any) -> OpenAI:
        """A client that asks once; closed with the endpoint."""
        client = OpenAI(base_url=f"{self.url}/v1", **{"api_key": "none", "max_retries": 0, **options})
        self._clients.append(client)
        return client

    def http(self) -> httpx.Client:
        """A plain client."""
        return httpx.Client(base_url=self.url, timeout=30.0, trust_env=False)

    def close(self) -> None:
        """Close all clients and stop."""
        for client in self._clients:
            client.close()
        self.stop()

    def n_calls(self) -> int:
        """Calls that are in flight on either engine or wait for a place."""
        snapshot = asyncio.run_coroutine_threadsafe(self._snapshot(), self._loop).result()
        return sum(
            snapshot[kind][role] for kind in ("calls_in_flight", "calls_waiting") for role in ("draft", "target")
        )

    def n_drafted(self) -> int:
        """Segments that the draft has written."""
        return int(asyncio.run_coroutine_threadsafe(self._snapshot(), self._loop).result()["segments"]["draft"])

    def wait_until(self, *, busy: bool, within_s: float = 60.0) -> None:
        """Wait until calls are in flight, or until none is."""
        end_s = time.monotonic() + within_s
        while (self.n_calls() > 0) != busy:
            assert time.monotonic() < end_s, f"not {'busy' if busy else 'idle'} within {within_s} s"
            time.sleep(0.02)

    async def _snapshot(self) -> dict[str, Any]:
        return self.session.snapshot()


@contextlib.contextmanager
def running(pair: Pair, make_session: Callable[[], Any], gate: Gate) -> Iterator[Endpoint]:
    """Serve a session from a thread of its own until the block ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    ready = threading.Event()
    found: dict[str, Any] = {}

    async def serve() -> None:
        session = await make_session()
        server = Server(LocalBackend(session), gate)
        found.update(server=server, session=session, loop=asyncio.get_running_loop())
        ready.set()
        try:
            await server.serve(sockets=[listener])
        finally:
            await session.aclose()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    while not ready.wait(0.1):
        assert thread.is_alive(), "the endpoint did not start"
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    def stop() -> None:
        found["server"].should_exit = True
        thread.join(60)
        assert not thread.is_alive(), "the endpoint did not stop"

    endpoint = Endpoint(url, found["session"], found["loop"], stop)
    try:
        yield endpoint
    finally:
        endpoint.close()


@pytest.fixture(scope="package")
def reference(warm_pipelines: WarmPipelines) -> Iterator[Endpoint]:
    """The reference pair, on its real engines."""
    pair = load_pair(REFERENCE)

    async def session() -> Session:
        start = warm_pipelines.start
        roles: tuple[Role, ...] = ("draft", "target")
        return Session(pair, {role: OpenVinoEngine.for_pair(pair, role, start=start) for role in roles})

    with running(pair, session, Gate(64)) as endpoint:
        yield endpoint


@pytest.fixture
def simulated() -> Iterator[Callable[..., Endpoint]]:
    """Makes endpoints on simulated engines, with other settings of the pair, faults and gates."""
    with contextlib.ExitStack() as stack:

        def make(faults: Fault | None = None, gate: Gate | None = None, **scheduler: Any) -> Endpoint:
            pair = make_pair({**SIMULATED, "scheduler": {**SIMULATED["scheduler"], **scheduler}})

            async def session() -> Session:
                text = RandomText(segment_tokens=20, segments=(1, 3))
                both = {role: SimulatedEngine(role, text=text, faults=faults) for role in ("draft", "target")}
                return Session(pair, both, canary_s=0.02)

            return stack.enter_context(running(pair, session, gate or Gate(64)))

        yield make


@pytest.fixture
def ask() -> Callable[..., dict[str, Any]]:
    """Makes the body of a request for one problem."""

    def body(text: str = "a = 3, b = a+4, c = b*2. What is c modulo 100?", **fields: Any) -> dict[str, Any]:
        return {"model": "reference", "messages": [{"role": "user", "content": text}], **fields}

    return body
