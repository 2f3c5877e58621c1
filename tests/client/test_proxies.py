"""A proxy in the environment: never asked for this machine, and named where another one does not answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from a1_trt.addresses import is_loopback, proxy_note
from a1_trt.backends.triton.connection import Connection
from a1_trt.client import AsyncClient
from a1_trt.errors import DeployError, EngineError, EngineUnavailable
from a1_trt.triton.probe import probe

WORDS = "here I am"


def servicer() -> Any:
    """A server that has a model without tensors, which answers nothing but an error."""
    made = service_pb2_grpc.GRPCInferenceServiceServicer()
    made.ModelReady = lambda request, context: service_pb2.ModelReadyResponse(ready=True)
    made.ModelConfig = lambda request, context: service_pb2.ModelConfigResponse()
    made.ModelStreamInfer = lambda requests, context: iter([service_pb2.ModelStreamInferResponse(error_message=WORDS)])
    return made


class Handler(BaseHTTPRequestHandler):
    """A server that answers every request with an error."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = f'{{"error": "{WORDS}"}}'.encode()
        self.send_response(400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def dead_proxy(monkeypatch: pytest.MonkeyPatch, unused_port: int) -> str:
    for name in ("no_proxy", "no_grpc_proxy", "grpc_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    address = f"127.0.0.1:{unused_port}"
    monkeypatch.setenv("http_proxy", f"http://me:secret@{address}")
    monkeypatch.setenv("ALL_PROXY", f"socks5://{address}")
    return address


@pytest.fixture
def grpc_address(dead_proxy: str) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.fixture
def http_url(dead_proxy: str) -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def solve(url: str) -> None:
    async def main() -> None:
        async with AsyncClient(url) as client:
            await client.solve("What?")

    asyncio.run(main())


def test_a_client_reaches_this_machine(grpc_address: str, http_url: str) -> None:
    for url in (f"grpc://{grpc_address}", http_url):
        with pytest.raises(EngineError, match=WORDS):
            solve(url)


def test_an_engine_reaches_this_machine(grpc_address: str) -> None:
    async def main() -> None:
        await (await Connection.open(grpc_address, "draft", 5.0)).close()

    asyncio.run(main())


def test_a_probe_reaches_this_machine(grpc_address: str) -> None:
    with pytest.raises(DeployError, match="has no input problem"):
        probe(f"grpc://{grpc_address}", ("a1",), timeout_s=5.0)


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_the_error_of_another_machine_names_the_proxy_without_its_password(scheme: str, dead_proxy: str) -> None:
    with pytest.raises(EngineUnavailable) as caught:
        solve(f"{scheme}://192.0.2.1:8001")
    assert f"http_proxy is set to {dead_proxy}" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_no_proxy_is_named_where_none_is_asked(dead_proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not proxy_note("localhost:8001")
    assert proxy_note("gpu.example:8001")
    monkeypatch.setenv("no_proxy", "gpu.example")
    assert not proxy_note("http://gpu.example:8001/")


@pytest.mark.parametrize("address", ["host:1", "localhost.example:1", "10.127.0.1:1", "http://127.0.0.1.example/"])
def test_other_machines(address: str) -> None:
    assert not is_loopback(address)
