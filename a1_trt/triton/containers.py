"""Files that put a rendered repository into containers: for one machine (Compose), or for a cluster (Kubernetes)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal

import yaml

from a1_trt.config import Pair
from a1_trt.errors import DeployError
from a1_trt.triton.dashboard import dashboard
from a1_trt.triton.kubernetes import PORTS, manifests, server_command
from a1_trt.triton.role_placement import Hosting, Profile
from a1_trt.types import Role

Platform = Literal["compose", "kubernetes"]
PLATFORMS: tuple[Platform, ...] = ("compose", "kubernetes")
TRITON_TAG = "26.04-trtllm-python-py3"
"""NVIDIA's container with TensorRT-LLM 1.2.1; see the version matrix in docs/triton.md."""
USER = 10001
_HEADER = "# Written by 'a1-trt deploy render'; render again instead of editing.\n"


def container_files(
    pair: Pair, profile: Profile, hosting: Mapping[Role, Hosting], platform: Platform
) -> dict[str, str]:
    """Dockerfile, dashboard, and compose.yaml or kubernetes.yaml.

    Args:
        pair: A pair that was read from a file.
        profile: "pytorch" or "tensorrt".
        hosting: Role -> GPUs.
        platform: What the containers are for.
    """
    assert pair.path is not None  # noqa: S101  render refuses others
    directory = str(pair.path.resolve().parent)
    name = image_name(pair, profile)
    found = {
        "Dockerfile": _dockerfile(pair, profile, hosting, platform),
        ".dockerignore": "compose.yaml\nkubernetes.yaml\ndashboard.json\n",
        "dashboard.json": json.dumps(dashboard(pair.name), indent=1) + "\n",
    }
    if platform == "compose":
        return found | {"compose.yaml": _yaml(_compose(name, directory, profile, hosting))}
    documents = manifests(name, directory, hosting, user=USER, orchestrated=profile == "tensorrt")
    return found | {"kubernetes.yaml": _yaml(*documents)}


def image_name(pair: Pair, profile: Profile) -> str:
    """The image's name: lower case, as containers want it."""
    return f"a1-trt-{re.sub(r'[^a-z0-9]+', '-', pair.name.lower()).strip('-')}:{profile}"


def _dockerfile(pair: Pair, profile: Profile, hosting: Mapping[Role, Hosting], platform: Platform) -> str:
    copies = 1 if platform == "kubernetes" else None
    models = ["a1", *(model for role, host in hosting.items() for model in list(host.models(role))[:copies])]
    lines = [
        f"# {pair.name}, profile {profile}. Put the wheel of a1_trt beside this file first:",
        "#   pip wheel --no-deps --wheel-dir . a1_trt",
        "#   docker build --tag " + image_name(pair, profile) + " .",
        f"ARG TRITON={TRITON_TAG}",
        "FROM nvcr.io/nvidia/tritonserver:${TRITON}",
        "COPY *.whl /tmp/wheels/",
        "RUN python3 -m pip install --no-cache-dir /tmp/wheels/*.whl && rm -r /tmp/wheels \\",
        f" && useradd --uid {USER} --create-home a1 && install --directory --owner={USER} /cache",
        "ENV HF_HOME=/cache PYTHONUNBUFFERED=1",
        *(f"COPY {model} /models/{model}" for model in models),
        f"USER {USER}:{USER}",
        f"EXPOSE {' '.join(str(port) for port in PORTS.values())}",
        "# Ready only when every model is loaded, scores of the target checked.",
        "HEALTHCHECK --interval=10s --timeout=5s --start-period=30m --retries=3 \\",
        '  CMD ["python3", "-c", "import urllib.request as r; '
        f"r.urlopen('http://127.0.0.1:{PORTS['http']}/v2/health/ready', timeout=4)\"]",
        "CMD " + json.dumps(server_command()),
    ]
    return _HEADER + "\n".join(lines) + "\n"


def _compose(image: str, directory: str, profile: Profile, hosting: Mapping[Role, Hosting]) -> dict[str, Any]:
    gpus = sorted({gpu for host in hosting.values() for replica in host.replicas for gpu in replica})
    environment = {"A1_TRT_GRPC_URL": f"127.0.0.1:{PORTS['grpc']}", "HF_TOKEN": "${HF_TOKEN:-}"}
    if profile == "tensorrt" and any(len(replica) > 1 for host in hosting.values() for replica in host.replicas):
        # Models of several GPUs each in one server: it starts their workers itself.
        environment["TRTLLM_ORCHESTRATOR"] = "1"
    service = {
        "build": ".",
        "image": image,
        "user": f"{USER}:{USER}",
        # To this machine only: Triton has no authentication.
        "ports": [f"127.0.0.1:{port}:{port}" for port in PORTS.values()],
        "environment": environment,
        "volumes": [
            {"type": "bind", "source": directory, "target": directory, "read_only": True},
            {"type": "volume", "source": "cache", "target": "/cache"},
        ],
        "shm_size": "8gb",
        "ulimits": {"memlock": -1, "stack": 67108864},
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "restart": "unless-stopped",
        "stop_grace_period": "30s",
        "deploy": {
            "resources": {
                "reservations": {
                    "devices": [{"driver": "nvidia", "device_ids": [str(gpu) for gpu in gpus], "capabilities": ["gpu"]}]
                }
            }
        },
    }
    return {"name": image.split(":")[0], "services": {"triton": service}, "volumes": {"cache": {}}}


def _yaml(*documents: Mapping[str, Any]) -> str:
    for document in documents:
        _check_text(document)
    return _HEADER + yaml.safe_dump_all(documents, sort_keys=False, width=120, explicit_start=len(documents) > 1)


def _check_text(value: Any) -> None:
    """Refuse a path that Compose would take for a variable."""
    if isinstance(value, Mapping):
        source = value.get("source")
        if isinstance(source, str) and "$" in source:
            raise DeployError(f"the path {source} has a $ in it", field="pair", remedy="move the pair file elsewhere")
        for each in value.values():
            _check_text(each)
    elif isinstance(value, list):
        for each in value:
            _check_text(each)
