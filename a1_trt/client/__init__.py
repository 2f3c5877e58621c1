"""Solving problems from a program: the same words for a server and for this process.

`AsyncClient` is the client; `Client` is its face for programs without asyncio. Both take a target: a Triton server
(``grpc://host:port`` or ``http://host:port``), a pair (its name, its file or a `Pair`) that then runs in this process,
or an open `Session`. What differs between targets is behind one seam, `_transport.Transport`.
"""

from a1_trt.client._async import AsyncClient, Progress
from a1_trt.client._sync import Client
from a1_trt.client._transport import Overrides

__all__ = ["AsyncClient", "Client", "Overrides", "Progress"]
