"""Addresses of servers: which are this machine's own, and are never asked through a proxy of the environment."""

from __future__ import annotations

import ipaddress
from urllib.request import getproxies_environment, proxy_bypass

_PROXIED = ("grpc", "http", "https", "all")


def is_loopback(address: str) -> bool:
    """Whether a host, ``host:port`` or URL is this machine itself.

    Example:
        >>> [is_loopback(address) for address in ("grpc://127.0.0.1:8001", "[::1]:80", "localhost", "::1", "0.0.0.0")]
        [True, True, True, True, False]
    """
    host = _host(address)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def channel_options(address: str) -> list[tuple[str, int]]:
    """Options of a gRPC channel to an address: gRPC, too, would ask the proxy of the environment for this machine."""
    return [("grpc.enable_http_proxy", 0)] if is_loopback(address) else []


def proxy_note(address: str) -> str:
    """What to add to the error of an address that does not answer: the proxies that are set for it, if any are."""
    if is_loopback(address) or proxy_bypass(_host(address)):
        return ""
    proxies = getproxies_environment()
    # Without what comes before an @, which may be a password.
    return "".join(
        f"; {name}_proxy is set to {proxies[name].rpartition('@')[2]}" for name in _PROXIED if name in proxies
    )


def _host(address: str) -> str:
    place = address.rpartition("://")[2].partition("/")[0]
    if place.startswith("["):
        return place[1:].partition("]")[0]
    return place if place.count(":") > 1 else place.partition(":")[0]
