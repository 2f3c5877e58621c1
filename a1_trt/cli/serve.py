"""a1-trt serve"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from a1_trt.cli.output import FILE, Output, json_option, note, say_json
from a1_trt.config import Pair, load_pair
from a1_trt.errors import ConfigError, InvalidRequestError

if TYPE_CHECKING:
    from a1_trt.openai_server.serving import Settings
    from a1_trt.triton.server import TritonServer

_LABELS = {"grpc_url": "gRPC", "http_url": "HTTP", "metrics_url": "metrics", "openai_url": "OpenAI"}
_COUNT = click.IntRange(1, 65536)


@click.command()
@click.argument("pair")
@click.option("--grpc-port", type=int, default=8001, help="Port of gRPC; 0 is any free one.")
@click.option("--http-port", type=int, default=8000, help="Port of HTTP; 0 is any free one.")
@click.option("--metrics-port", type=int, default=8002, help="Port of /metrics; 0 is any free one.")
@click.option("--host", default="127.0.0.1", help="Address; 0.0.0.0 lets other machines in.")
@click.option("--log-file", "log_path", type=FILE, help="Keep Triton's log here.")
@click.option("--openai", is_flag=True, help="Also serve an OpenAI-compatible endpoint.")
@click.option("--openai-only", is_flag=True, help="Serve that alone, with PAIR in this process or at --url.")
@click.option("--openai-port", type=int, default=9000, help="Its port; 0 is any free one.")
@click.option("--url", metavar="URL", help="With --openai-only: grpc://host:port of a Triton server that holds PAIR.")
@click.option("--max-problems", type=_COUNT, default=256, help="Most requests at work; more are told to come back.")
@click.option("--api-key-file", type=FILE, help="Keys that callers of the endpoint must show, one a line.")
@json_option
def serve(
    pair: str,
    host: str,
    openai: bool,
    openai_only: bool,
    openai_port: int,
    url: str | None,
    max_problems: int,
    api_key_file: Path | None,
    out: Output,
    **triton: Any,
) -> None:
    """Serve PAIR with a Triton Inference Server until Ctrl-C, and to OpenAI clients if that is wanted.

    When the server is ready its addresses are printed; with --json, as one line of JSON.

    \b
    Examples:
      a1-trt serve engines/mine/pair.toml --grpc-port 9001 --http-port 9000 --metrics-port 9002
      a1-trt serve reference --grpc-port 0 --http-port 0 --metrics-port 0 --json
      a1-trt serve reference --openai --api-key-file keys.txt
      a1-trt serve reference --openai-only --url grpc://127.0.0.1:8001
    """
    from a1_trt.triton.server import TritonServer

    if url is not None and not openai_only:
        raise InvalidRequestError("a URL is given without --openai-only", field="url", remedy="add --openai-only")
    settings = _settings(host, openai_port, api_key_file, max_problems) if openai or openai_only else None
    loaded = load_pair(pair)
    # Ctrl-C and a service manager's SIGTERM end the server the same way, also where a shell's "&" made us ignore one.
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    if settings is not None and openai_only:
        _serve_openai(loaded, settings, {"pair": loaded.name}, url, out.as_json)
    else:
        server = TritonServer(loaded, host=host, progress=lambda text: note(f"{loaded.name}: {text}"), **triton)
        _serve_triton(loaded, server, settings, out.as_json)
    note("stopped")


def _settings(host: str, port: int, api_key_file: Path | None, max_problems: int) -> Settings:
    try:
        from a1_trt.openai_server.serving import Settings
    except ModuleNotFoundError as error:
        missing = f"{error.name}, which the endpoint is built on, is not installed"
        raise ConfigError(missing, field="openai", remedy="pip install 'a1_trt[openai]'") from None
    settings = Settings(host, port, api_key_file, max_problems)
    if settings.is_open:
        note(f"everybody who reaches {host}:{port} may use the endpoint; --api-key-file asks for a key")
    return settings


def _serve_triton(pair: Pair, server: TritonServer, settings: Settings | None, as_json: bool) -> None:
    with server:
        grpc_url = f"grpc://{server.grpc_url}"
        addresses: dict[str, Any] = {"pair": pair.name, "grpc_url": grpc_url, "http_url": server.http_url}
        addresses |= {"metrics_url": server.metrics_url, "pid": server.pid}
        if settings is not None:
            _serve_openai(pair, settings, addresses, grpc_url, as_json, is_over=lambda: server.pid is None)
            if server.pid is None:
                server.wait()  # says why it has ended
            note("stopping")
            return
        try:
            _tell(addresses, as_json)
            server.wait()
        except KeyboardInterrupt:
            note("stopping")


def _serve_openai(
    pair: Pair, settings: Settings, addresses: Mapping[str, Any], url: str | None, as_json: bool, **more: Any
) -> None:
    from a1_trt.openai_server.serving import serve as serve_endpoint

    note(f"{pair.name}: loading the endpoint")

    def tell(openai_url: str) -> None:
        _tell({**addresses, "openai_url": openai_url}, as_json)

    metrics_url = addresses.get("metrics_url")
    asyncio.run(serve_endpoint(pair, settings, url=url, metrics_url=metrics_url, on_ready=tell, **more))


def _tell(addresses: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        say_json(addresses, indent=None)
        return
    click.echo(f"serving {addresses['pair']}; Ctrl-C stops it")
    for name, label in _LABELS.items():
        if name in addresses:
            click.echo(f"  {label:<8} {addresses[name]}")


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
