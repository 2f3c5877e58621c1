"""Network ports for a server: the wanted ones where they are free, free ones where none is wanted."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping

from a1_trt.errors import DeployError


def choose_ports(host: str, wanted: Mapping[str, int]) -> dict[str, int]:
    """Settle on ports, all different: argument name, such as "grpc_port" -> port; 0 is any free one."""
    held: list[socket.socket] = []
    chosen: dict[str, int] = {}
    try:
        # Held until all are found, so that no port is given out twice; the fixed ones first.
        for name in sorted(wanted, key=lambda name: wanted[name] == 0):
            held.append(_bind(host, name, wanted[name]))
            chosen[name] = held[-1].getsockname()[1]
    finally:
        for listener in held:
            listener.close()
    return chosen


def _bind(host: str, name: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise DeployError(f"{name} is {port}", field=name, remedy="give a port from 0 (any free one) to 65535")
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        # As the server itself does: a port that an ended server still holds in TIME_WAIT is free.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        # A listening socket of somebody else shows at the latest here.
        bound.listen()
    except OSError as error:
        bound.close()
        raise _refused(host, name, port, error) from None
    return bound


def _refused(host: str, name: str, port: int, error: OSError) -> DeployError:
    if error.errno == errno.EADDRINUSE:
        message = f"port {port} of {host} is in use"
        remedy = f"stop what listens there, or give another one with --{name.replace('_', '-')} (0 is any free one)"
        return DeployError(message, field=name, remedy=remedy)
    if error.errno == errno.EACCES:
        return DeployError(f"port {port} is not permitted", field=name, remedy="give one above 1023")
    message = f"cannot listen on {host}: {error.strerror or error}"
    return DeployError(message, field="host", remedy="give an address of this machine")
