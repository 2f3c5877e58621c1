"""What compose.yaml and kubernetes.yaml have to say so that the server is reached, and by nobody else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from a1_trt.triton.findings import Finding
from a1_trt.triton.kubernetes import PORTS
from a1_trt.types import ROLES

_MOST_BYTES = 1 << 20
_LOCAL = ("127.0.0.1", "localhost", "[::1]")


def container_findings(directory: Path) -> Iterator[Finding]:
    """Whatever is wrong with the files for containers; they may be missing."""
    for name, rules in (("compose.yaml", _compose), ("kubernetes.yaml", _kubernetes)):
        path = directory / name
        if not path.is_file():
            continue
        try:
            text = path.read_text(encoding="utf-8") if path.stat().st_size <= _MOST_BYTES else "]"
            documents = [document for document in yaml.safe_load_all(text) if document is not None]
            yield from rules(name, documents)
        except (yaml.YAMLError, OSError, UnicodeDecodeError):
            yield Finding("", name, "parse", f"{name} is no YAML")
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            yield Finding("", name, "parse", f"{name} lacks what it needs: {type(error).__name__} {error}")


def _compose(name: str, documents: list[Any]) -> Iterator[Finding]:
    service = documents[0]["services"]["triton"]
    published = {}
    for text in service["ports"]:
        host, outside, inside = str(text).rsplit(":", 2) if str(text).count(":") > 1 else ("", *str(text).split(":"))
        published[int(inside)] = (host, int(outside))
    for port, number in PORTS.items():
        if number not in published:
            yield Finding("", "ports", "address", f"{name} does not publish the {port} port {number}")
        elif published[number][0] not in _LOCAL:
            yield Finding(
                "",
                "ports",
                "address",
                f"{name} publishes the {port} port to other machines, and Triton has no authentication",
                f"write 127.0.0.1:{number}:{number}, and put a proxy in front",
            )
    url = service["environment"]["A1_TRT_GRPC_URL"]
    if url != f"127.0.0.1:{PORTS['grpc']}":
        yield Finding("", "A1_TRT_GRPC_URL", "address", f"a1 looks for its server at {url!r}")
    if str(service["user"]).split(":")[0] in ("0", "root"):
        yield Finding("", "user", "value", f"{name} runs the server as root")


def _kubernetes(name: str, documents: list[Any]) -> Iterator[Finding]:
    kinds = {(document["kind"], document["metadata"]["name"]): document for document in documents}
    scheduler = kinds["Deployment", "a1"]["spec"]
    if scheduler["replicas"] != 1 or scheduler["strategy"]["type"] != "Recreate":
        yield Finding("a1", "replicas", "instances", f"{name} may start two schedulers, each with its own calibration")
    pod = scheduler["template"]["spec"]["containers"][0]
    environment = {each["name"]: each.get("value", "") for each in pod["env"]}
    for role in ROLES:
        copies = kinds["StatefulSet", role]["spec"]["replicas"]
        wanted = [f"{role}-{index}.{role}:{PORTS['grpc']}" for index in range(copies)]
        if json.loads(environment[f"A1_TRT_SERVING__{role.upper()}"]) != wanted:
            yield Finding(role, "replicas", "address", f"a1 does not call the {copies} copies of the {role}, {wanted}")
        if ("Service", role) not in kinds or kinds["Service", role]["spec"].get("clusterIP") != "None":
            yield Finding(role, "service", "address", f"{name} has no headless service {role}, so copies have no names")
    for (kind, which), document in kinds.items():
        if kind in ("Deployment", "StatefulSet"):
            yield from _pod(name, which, document["spec"]["template"]["spec"])


def _pod(name: str, which: str, spec: dict[str, Any]) -> Iterator[Finding]:
    container = spec["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    if ports != PORTS:
        yield Finding(which, "ports", "address", f"{name} gives {which} the ports {ports}, not {PORTS}")
    for probe, path in (("startupProbe", "ready"), ("readinessProbe", "ready"), ("livenessProbe", "live")):
        if container[probe]["httpGet"]["path"] != f"/v2/health/{path}":
            yield Finding(which, probe, "value", f"the {probe} of {which} does not ask /v2/health/{path}")
    gpus = container["resources"]["limits"].get("nvidia.com/gpu", 0)
    if (which == "a1") != (gpus == 0):
        yield Finding(which, "nvidia.com/gpu", "value", f"{which} is given {gpus} GPUs")
    if not spec["securityContext"]["runAsNonRoot"]:
        yield Finding(which, "runAsNonRoot", "value", f"{name} runs {which} as root")
