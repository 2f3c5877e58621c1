"""The endpoint as a server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from a1_trt.addresses import is_loopback
from a1_trt.config import Pair
from a1_trt.errors import DeployError
from a1_trt.openai_server.admission import Gate, read_keys
from a1_trt.openai_server.app import make_app
from a1_trt.openai_server.backend import Backend, LocalBackend, TritonBackend
from a1_trt.runtime.session import open_session

_GRACE_S = 5
_POLL_S = 0.5
_BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class Settings:
    """How the endpoint serves.

    Args:
        host: Address to listen on; others than the default let other machines in.
        port: Port; 0 is any free one.
        api_key_file: File with the keys that callers must show, one a line; nobody needs one when None.
        max_problems: Most problems at work; more are answered with status 429.
    """

    host: str = "127.0.0.1"
    port: int = 9000
    api_key_file: Path | None = None
    max_problems: int = 256

    @property
    def is_open(self) -> bool:
        """Whether everybody who reaches the address may ask.

        Example:
            >>> Settings().is_open, Settings(host="0.0.0.0").is_open
            (False, True)
        """
        return self.api_key_file is None and not is_loopback(self.host)


async def serve(
    pair: Pair,
    settings: Settings,
    *,
    url: str | None = None,
    metrics_url: str | None = None,
    on_ready: Callable[[str], object] = lambda _: None,
    is_over: Callable[[], bool] = lambda: False,
) -> None:
    """Serve a pair until SIGINT or SIGTERM.

    Args:
        pair: The pair.
        settings: How to serve.
        url: ``grpc://host:port`` of a Triton server that serves the pair; None loads it into this process.
        metrics_url: Where that server's metrics are, to be passed on.
        on_ready: Told the base URL for OpenAI clients, when it takes requests.
        is_over: Asked twice a second whether to stop.

    Raises:
        ConfigError: The key file or a model is wrong.
        DeployError: The port cannot be had.
    """
    gate = Gate(settings.max_problems, read_keys(settings.api_key_file) if settings.api_key_file else ())
    with _listening(settings.host, settings.port) as listener:
        backend: Backend = (
            await TritonBackend.connect(pair, url, metrics_url) if url else LocalBackend(await open_session(pair))
        )
        async with contextlib.aclosing(backend):
            server = Server(backend, gate)
            watching = asyncio.create_task(_stop_when(server, is_over))
            on_ready(url_of(listener))
            try:
                # Once all has ended in order, uvicorn raises the signal anew that made it stop.
                with contextlib.suppress(KeyboardInterrupt):
                    await server.serve(sockets=[listener])
            finally:
                watching.cancel()


class Server(uvicorn.Server):
    """The endpoint; ends its work before it waits for its connections, which could take as long as a problem does."""

    def __init__(self, backend: Backend, gate: Gate) -> None:
        config = uvicorn.Config(
            make_app(backend, gate), lifespan="off", ws="none", log_level="error", access_log=False,
            server_header=False, timeout_graceful_shutdown=_GRACE_S,
        )  # fmt: skip
        super().__init__(config)
        self._gate = gate

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._gate.stop()
        await super().shutdown(sockets)


def url_of(listener: socket.socket) -> str:
    """The base URL for OpenAI clients of a listening socket."""
    host, port = listener.getsockname()[:2]
    near = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  compared, not bound
    return f"http://[{near}]:{port}/v1" if ":" in near else f"http://{near}:{port}/v1"


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens: nobody else gets the port while the engines load."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        message = f"{host}:{port} cannot be listened on: {why}"
        raise DeployError(message, field="openai_port", remedy="choose another port or host") from None


async def _stop_when(server: Server, is_over: Callable[[], bool]) -> None:
    while not is_over():  # noqa: ASYNC110  the death of a process is no event of this loop
        await asyncio.sleep(_POLL_S)
    server.should_exit = True
