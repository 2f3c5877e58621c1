"""From what a caller names as target to the transport that reaches it."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from a1_trt.client._transport import Transport
from a1_trt.config import Pair, load_pair
from a1_trt.errors import InvalidRequestError
from a1_trt.runtime.session import Session

Target = str | os.PathLike[str] | Pair | Session


def connect(target: Target) -> Transport:
    """The transport to `target`; nothing is sent or loaded yet."""
    if isinstance(target, str) and "://" in target:
        return _remote(target)
    from a1_trt.client._local import LocalTransport

    return LocalTransport(target if isinstance(target, Pair | Session) else load_pair(target))


def _remote(url: str) -> Transport:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme not in ("grpc", "http", "https") or not parts.hostname or port is None:
        remedy = "give grpc://host:port or http://host:port"
        raise InvalidRequestError(f"{url!r} is no URL of a server", field="url", remedy=remedy)
    # The libraries behind the transports are slow to import, so only the one that is wanted is.
    if parts.scheme == "grpc":
        from a1_trt.client._triton_grpc import GrpcTransport

        return GrpcTransport(parts.netloc)
    from a1_trt.client._triton_http import HttpTransport

    return HttpTransport(f"{parts.scheme}://{parts.netloc}")
