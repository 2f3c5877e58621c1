"""Files that put a rendered repository into containers: for one machine (Compose), or for a cluster (Kubernetes).

Kubernetes: a scheduler without a GPU, and a set of pods for each role, one a copy of its model. Copies have names that
stay (`target-0.target`), so that the scheduler can send each sample to the copy that holds its text; a service that
spreads calls would send every turn somewhere else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from string import Template
from typing import Literal

from a1_trt.config import Pair
from a1_trt.errors import DeployError
from a1_trt.triton.role_placement import Placement, Profile
from a1_trt.triton.tensorrt_llm import TEMPLATES

Platform = Literal["compose", "kubernetes"]
PORTS = {"http": 8000, "grpc": 8001, "metrics": 8002}
_ORCHESTRATOR = "TRTLLM_ORCHESTRATOR"
_MEMORY = {"draft": "128Gi", "target": "256Gi"}


class _Text(Template):
    delimiter = "@"  # Docker, Compose and Grafana have a use for $


def container_files(pair: Pair, profile: Profile, placement: Placement, platform: Platform) -> dict[str, str]:
    """Dockerfile, dashboard, and compose.yaml or kubernetes.yaml: path -> text."""
    assert pair.path is not None  # noqa: S101  render refuses others
    directory = str(pair.path.resolve().parent)
    project = f"a1-trt-{re.sub(r'[^a-z0-9]+', '-', pair.name.lower()).strip('-')}"
    values = {"pair": pair.name, "profile": profile, "project": project, "image": f"{project}:{profile}"}
    values["directory"] = _quoted(directory)
    n_copies = 1 if platform == "kubernetes" else None
    models = ["a1", *(model for role, place in placement.items() for model in list(place.models(role))[:n_copies])]
    files = {
        "Dockerfile": _filled("Dockerfile", values, copies="\n".join(f"COPY {name} /models/{name}" for name in models)),
        ".dockerignore": "compose.yaml\nkubernetes.yaml\ndashboard.json\n",
        "dashboard.json": _filled("dashboard.json", values, pair=json.dumps(pair.name)[1:-1]),
    }
    if platform == "kubernetes":
        return files | {"kubernetes.yaml": _kubernetes(values, placement, orchestrated=profile == "tensorrt")}
    if "$" in directory:
        raise DeployError(f"the path {directory} has a $ in it", field="pair", remedy="move the pair file elsewhere")
    gpus = sorted({gpu for place in placement.values() for replica in place.replicas for gpu in replica})
    shared = profile == "tensorrt" and any(len(gpus) > 1 for place in placement.values() for gpus in place.replicas)
    orchestrator = f'{_ORCHESTRATOR}: "1"' if shared else ""
    text = _filled("compose.yaml", values, gpus=json.dumps([str(gpu) for gpu in gpus]), orchestrator=orchestrator)
    return files | {"compose.yaml": text}


def _kubernetes(values: dict[str, str], placement: Placement, *, orchestrated: bool) -> str:
    hosts = {role: json.dumps(addresses(role, len(place.replicas))) for role, place in placement.items()}
    addressed = {f"{role}_addresses": _quoted(text) for role, text in hosts.items()}
    parts = [_filled("kubernetes.yaml", values, **addressed)]
    for role, place in placement.items():
        n_gpus = len(place.replicas[0])
        environment = [{"name": _ORCHESTRATOR, "value": "1"}] if orchestrated and n_gpus > 1 else []
        sizes = {"replicas": str(len(place.replicas)), "gpus": str(n_gpus), "memory": _MEMORY[role]}
        parts.append(_filled("kubernetes-role.yaml", values | sizes, role=role, environment=json.dumps(environment)))
    return "".join(parts)


def addresses(role: str, n_copies: int) -> list[str]:
    """Where the copies of a role are reached in a cluster."""
    return [f"{role}-{index}.{role}:{PORTS['grpc']}" for index in range(n_copies)]


def _filled(name: str, values: Mapping[str, str], **more: str) -> str:
    text = _Text((TEMPLATES / name).read_text(encoding="utf-8")).substitute(values, **more)
    return re.sub(r"^ +\n", "", text, flags=re.MULTILINE)  # a value that is empty takes its line with it


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
