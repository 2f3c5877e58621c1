"""a1-trt serve"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import NoReturn

import click

from a1_trt.cli.options import json_option
from a1_trt.cli.output import note, say_json
from a1_trt.config import load_pair


@click.command()
@click.argument("pair")
@click.option("--grpc-port", type=int, default=8001, show_default=True, help="Port of gRPC; 0 is any free one.")
@click.option("--http-port", type=int, default=8000, show_default=True, help="Port of HTTP; 0 is any free one.")
@click.option("--metrics-port", type=int, default=8002, show_default=True, help="Port of /metrics; 0 is any free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address; 0.0.0.0 lets other machines in.")
@click.option("--log-file", type=click.Path(dir_okay=False, path_type=Path), help="Keep Triton's log here.")
@json_option
def serve(
    pair: str, grpc_port: int, http_port: int, metrics_port: int, host: str, log_file: Path | None, as_json: bool
) -> None:
    """Serve PAIR with a Triton Inference Server until Ctrl-C.

    When the server is ready its addresses are printed; with --json, as one line of JSON.

    \b
    Examples:
      a1-trt serve reference
      a1-trt serve engines/mine/pair.toml --grpc-port 9001 --http-port 9000 --metrics-port 9002
      a1-trt serve reference --grpc-port 0 --http-port 0 --metrics-port 0 --json
    """
    from a1_trt.deploy.server import TritonServer

    loaded = load_pair(pair)
    # Ctrl-C and a service manager's SIGTERM end the server the same way, also where a shell's "&" made us ignore one.
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    with TritonServer(
        loaded,
        host=host,
        grpc_port=grpc_port,
        http_port=http_port,
        metrics_port=metrics_port,
        log_path=log_file,
        progress=lambda text: note(f"{loaded.name}: {text}"),
    ) as server:
        said = {
            "pair": loaded.name,
            "grpc_url": f"grpc://{server.grpc_url}",
            "http_url": server.http_url,
            "metrics_url": server.metrics_url,
            "pid": server.pid,
        }
        if as_json:
            say_json(said, indent=None)
        else:
            click.echo(f"serving {loaded.name}; Ctrl-C stops it")
            click.echo(f"  gRPC     {said['grpc_url']}")
            click.echo(f"  HTTP     {said['http_url']}")
            click.echo(f"  metrics  {said['metrics_url']}")
        try:
            server.wait()
        except KeyboardInterrupt:
            note("stopping")
    note("stopped")


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
