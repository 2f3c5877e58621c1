"""What is wrong in a repository whatever it was rendered from, each rule with a reason of its own.

Where a parsed document lacks what a rule looks at, it raises KeyError, IndexError, TypeError, ValueError or
AttributeError.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from a1_trt.config import Pair
from a1_trt.triton.containers import PORTS, addresses
from a1_trt.triton.findings import Finding
from a1_trt.types import ROLES

_PLACEHOLDER = re.compile(r"\$\{[^}\n]*\}?")
_URL = re.compile(r"(grpc|https?)://(\[[0-9a-fA-F:]+\]|[^/\s:\[\]]+)(:(\d{1,5}))?/?")
_LOCAL = ("127.0.0.1", "localhost", "[::1]")


def placeholders(model: str, text: str) -> Iterator[Finding]:
    """What a template left to be filled in."""
    for line in text.splitlines():
        for match in () if line.lstrip().startswith("#") else _PLACEHOLDER.finditer(line):
            yield Finding(model, match.group(), "placeholder", f"{match.group()} was never filled in")


def copies(parameters: Mapping[str, str], models: tuple[str, ...]) -> Iterator[Finding]:
    """The model "a1", with these parameters, calls the models that are there."""
    for role in ROLES:
        there = {name for name in models if name.split("_")[0] == role}
        called = set(parameters.get(f"{role}_models", role).split(","))
        if there and called != there:
            message = f"a1 calls {', '.join(sorted(called))}, the repository has {', '.join(sorted(there))}"
            yield Finding("a1", f"{role}_models", "value", message)


def llm_settings(model: str, settings: Mapping[str, Any]) -> Iterator[Finding]:
    """Settings of the LLM API that would make scores wrong or turns slow."""
    for key in ("model", "max_seq_len"):
        if not settings.get(key):
            yield Finding(model, key, "missing", f"the settings have no {key}")
    cache = settings.get("kv_cache_config")
    if not isinstance(cache, dict) or cache.get("enable_block_reuse", True) is not True:
        yield Finding(model, "enable_block_reuse", "reuse", "kv_cache_config switches the reuse of blocks off")
    for key in ("enable_chunked_prefill", "speculative_config") if model.startswith("target") else ():
        if settings.get(key):
            yield Finding(model, key, "value", f"{key} is set: log-probs of the prompt would be lost")


def address(pair: Pair) -> Iterator[Finding]:
    """The address at which the pair is served is one."""
    match = _URL.fullmatch(pair.serving.url)
    if not match or (match[4] and not 0 < int(match[4]) < 65536):
        message, remedy = f"{pair.serving.url!r} is not an address", "write grpc://host:port in the pair file"
        yield Finding("", "serving.url", "address", message, remedy)


def compose(documents: list[Any]) -> Iterator[Finding]:
    """The server is reached from this machine and by nobody else, and does not run as root."""
    service = documents[0]["services"]["triton"]
    hosts = {}
    for text in service.get("ports", ()):
        *host, _, inside = str(text).rsplit(":", 2)
        hosts[int(inside)] = host[0] if host else ""
    for port, number in PORTS.items():
        if number not in hosts:
            yield Finding("", "ports", "address", f"compose.yaml does not publish the {port} port {number}")
        elif hosts[number] not in _LOCAL:
            message = f"compose.yaml publishes the {port} port to other machines, and Triton has no authentication"
            remedy = f"write 127.0.0.1:{number}:{number}, and put a proxy in front"
            yield Finding("", "ports", "address", message, remedy)
    if str(service.get("user", "root")).split(":")[0] in ("0", "root"):
        yield Finding("", "user", "value", "compose.yaml runs the server as root")


def kubernetes(documents: list[Any]) -> Iterator[Finding]:
    """There is one scheduler, and it calls every copy."""
    specs = {(document["kind"], document["metadata"]["name"]): document["spec"] for document in documents}
    scheduler = specs["Deployment", "a1"]
    if scheduler["replicas"] != 1:
        yield Finding("a1", "replicas", "instances", "kubernetes.yaml starts two schedulers, each with its calibration")
    variables = {item["name"]: item for item in scheduler["template"]["spec"]["containers"][0]["env"]}
    for role in ROLES:
        n_copies = specs["StatefulSet", role]["replicas"]
        wanted = addresses(role, n_copies)
        if json.loads(variables[f"A1_TRT_SERVING__{role.upper()}"]["value"]) != wanted:
            message = f"a1 does not call the {n_copies} copies of the {role}, {wanted}"
            yield Finding(role, "replicas", "address", message)
