"""Kubernetes manifests: a scheduler without a GPU, and a set of pods for each role, one a copy of its model.

Copies have names that stay (`target-0.target`), so that the scheduler can send each sample to the copy that holds its
text; a service that spreads calls would send every turn somewhere else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from a1_trt.triton.role_placement import Hosting
from a1_trt.types import Role

PORTS = {"http": 8000, "grpc": 8001, "metrics": 8002}
_STARTUP_S = 1800
_PERIOD_S = 10
_SHARED_MEMORY = "8Gi"
_CPU_ROOM = {
    "a1": ("1", "2Gi", "4", "8Gi"),
    "draft": ("4", "32Gi", "16", "128Gi"),
    "target": ("4", "32Gi", "16", "256Gi"),
}
"""Request and limit of processor and memory, by role."""


def manifests(
    image: str, directory: str, hosting: Mapping[Role, Hosting], *, user: int, orchestrated: bool
) -> list[dict[str, Any]]:
    """All documents of kubernetes.yaml.

    Args:
        image: The image's name.
        directory: Where the pair and its engines are, inside the containers.
        hosting: Role -> GPUs of each copy.
        user: The user's number in the image.
        orchestrated: A server with a model on several GPUs starts its workers itself.
    """
    addresses = {
        f"A1_TRT_SERVING__{role.upper()}": json.dumps(
            [f"{role}-{index}.{role}:{PORTS['grpc']}" for index in range(len(host.replicas))]
        )
        for role, host in hosting.items()
    }
    documents: list[dict[str, Any]] = [
        _claim(),
        _service("a1", headless=False),
        _scheduler(image, directory, addresses, user),
    ]
    for role, host in hosting.items():
        n_gpus = len(host.replicas[0])
        environment = {"TRTLLM_ORCHESTRATOR": "1"} if orchestrated and n_gpus > 1 else {}
        pod = _pod(role, image, directory, environment, user, n_gpus)
        documents += [_service(role, headless=True), _set(role, pod, len(host.replicas)), _policy(role)]
    return documents


def _scheduler(image: str, directory: str, addresses: Mapping[str, str], user: int) -> dict[str, Any]:
    pod = _pod("a1", image, directory, {"A1_TRT_GRPC_URL": f"127.0.0.1:{PORTS['grpc']}", **addresses}, user, 0)
    # Never two at once: they would be two schedulers, each with a calibration of its own.
    how = {"replicas": 1, "strategy": {"type": "Recreate"}}
    return _head("apps/v1", "Deployment", "a1") | {"spec": {**how, **_selecting("a1", pod)}}


def _set(role: Role, pod: dict[str, Any], n_replicas: int) -> dict[str, Any]:
    how = {"serviceName": role, "replicas": n_replicas, "podManagementPolicy": "Parallel"}
    return _head("apps/v1", "StatefulSet", role) | {"spec": {**how, **_selecting(role, pod)}}


def _selecting(name: str, pod: dict[str, Any]) -> dict[str, Any]:
    scraped = {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(PORTS["metrics"]),
        "prometheus.io/path": "/metrics",
    }
    return {
        "selector": {"matchLabels": _labels(name)},
        "template": {"metadata": {"labels": _labels(name), "annotations": scraped}, "spec": pod},
    }


def _pod(
    name: str, image: str, directory: str, environment: Mapping[str, str], user: int, n_gpus: int
) -> dict[str, Any]:
    container = {
        "name": "triton",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": server_command(name),
        "env": [{"name": key, "value": value} for key, value in environment.items()],
        "ports": [{"name": port, "containerPort": number} for port, number in PORTS.items()],
        "startupProbe": {**_probe("ready"), "failureThreshold": _STARTUP_S // _PERIOD_S},
        "readinessProbe": {**_probe("ready"), "failureThreshold": 2},
        "livenessProbe": {**_probe("live"), "failureThreshold": 3},
        "resources": _resources(name, n_gpus),
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [
            {"name": "engines", "mountPath": directory, "readOnly": True},
            {"name": "cache", "mountPath": "/cache"},
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108  a mount in a container
        ],
    }
    return {
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": user,
            "fsGroup": user,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": 30,
        "containers": [container],
        "volumes": [
            {"name": "engines", "persistentVolumeClaim": {"claimName": "engines", "readOnly": True}},
            {"name": "cache", "emptyDir": {}},
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": _SHARED_MEMORY}},
        ],
        **(
            {"tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]} if n_gpus else {}
        ),
    }


def server_command(*models: str) -> list[str]:
    """What starts the server in a container: all models, or those that are named."""
    some = ["--model-control-mode=explicit", *(f"--load-model={model}" for model in models)] if models else []
    return [
        "tritonserver",
        "--model-repository=/models",
        "--disable-auto-complete-config",
        "--exit-timeout-secs=10",
        *(f"--{name}-port={port}" for name, port in PORTS.items()),
        *some,
    ]


def _resources(name: str, n_gpus: int) -> dict[str, Any]:
    cpu, memory, most_cpu, most_memory = _CPU_ROOM[name]
    gpus = {"nvidia.com/gpu": n_gpus} if n_gpus else {}
    return {
        "requests": {"cpu": cpu, "memory": memory, **gpus},
        "limits": {"cpu": most_cpu, "memory": most_memory, **gpus},
    }


def _probe(what: str) -> dict[str, Any]:
    return {"httpGet": {"path": f"/v2/health/{what}", "port": "http"}, "periodSeconds": _PERIOD_S, "timeoutSeconds": 5}


def _service(name: str, *, headless: bool) -> dict[str, Any]:
    ports = [{"name": port, "port": number, "targetPort": port} for port, number in PORTS.items()]
    address = {"clusterIP": "None", "publishNotReadyAddresses": True} if headless else {"type": "ClusterIP"}
    return _head("v1", "Service", name) | {"spec": {**address, "selector": _labels(name), "ports": ports}}


def _policy(role: Role) -> dict[str, Any]:
    """Only the scheduler may call a role, and anything may read its metrics."""
    calls = {
        "from": [{"podSelector": {"matchLabels": _labels("a1")}}],
        "ports": [{"port": PORTS["grpc"]}, {"port": PORTS["http"]}],
    }
    reads = {"ports": [{"port": PORTS["metrics"]}]}
    spec = {"podSelector": {"matchLabels": _labels(role)}, "policyTypes": ["Ingress"], "ingress": [calls, reads]}
    return _head("networking.k8s.io/v1", "NetworkPolicy", role) | {"spec": spec}


def _claim() -> dict[str, Any]:
    """The pair file and its engines; fill it before the pods start."""
    spec = {"accessModes": ["ReadOnlyMany"], "resources": {"requests": {"storage": "500Gi"}}}
    return _head("v1", "PersistentVolumeClaim", "engines") | {"spec": spec}


def _head(version: str, kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": _labels(name)}}


def _labels(name: str) -> dict[str, str]:
    return {"app.kubernetes.io/part-of": "a1-trt", "app.kubernetes.io/component": name}
