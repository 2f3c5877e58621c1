"""Whatever is changed in a rendered compose.yaml or kubernetes.yaml is found."""

from __future__ import annotations

import pytest
import yaml

from a1_trt.triton.check import check


def _edit(path, change):
    documents = list(yaml.safe_load_all(path.read_text()))
    change(documents)
    path.write_text(yaml.safe_dump_all(documents, sort_keys=False))


COMPOSE = {
    "to all": lambda service: service["ports"].__setitem__(0, "8000:8000"),
    "to others": lambda service: service["ports"].__setitem__(1, "0.0.0.0:8001:8001"),
    "unpublished": lambda service: service["ports"].pop(),
    "lost": lambda service: service["environment"].__setitem__("A1_TRT_GRPC_URL", "elsewhere:1"),
    "root": lambda service: service.__setitem__("user", "0:0"),
    "no ports": lambda service: service.pop("ports"),
}


@pytest.mark.parametrize("name", COMPOSE)
def test_compose_reaches_the_server_and_nobody_else_does(copied, name):
    directory = copied("tensorrt")
    _edit(directory / "compose.yaml", lambda documents: COMPOSE[name](documents[0]["services"]["triton"]))
    assert not check(directory).ok


def _set_memory(documents):
    _container(documents, "StatefulSet", "target")["resources"]["limits"]["memory"] = "1Ti"


def _three_copies(documents):
    _of(documents, "StatefulSet", "target")["spec"]["replicas"] = 3
    addresses = '["target-0.target:8001", "target-1.target:8001", "target-2.target:8001"]'
    _container(documents, "Deployment", "a1")["env"][2]["value"] = addresses


@pytest.mark.parametrize(
    ("change", "fields"),
    [(_set_memory, ["resources.limits.memory"]), (_three_copies, ["A1_TRT_SERVING__TARGET.value", "spec.replicas"])],
)
def test_a_cluster_may_differ_where_nothing_breaks(copied, change, fields):
    directory = copied("kubernetes")
    _edit(directory / "kubernetes.yaml", change)
    report = check(directory)
    assert report.ok
    changed = [finding.field for finding in report.warnings if finding.code == "changed"]
    assert len(changed) == len(fields)
    assert all(field.endswith(end) for field, end in zip(changed, fields, strict=True))


def test_compose_may_differ_where_nothing_breaks(copied):
    directory = copied("tensorrt")
    _edit(
        directory / "compose.yaml",
        lambda documents: documents[0]["services"]["triton"].update(shm_size="16gb", user="1000:1000"),
    )
    report = check(directory)
    assert report.ok
    assert [finding.field for finding in report.warnings if finding.code == "changed"] == [
        "services.triton.user",
        "services.triton.shm_size",
    ]


def _of(documents, kind, name):
    return next(each for each in documents if (each["kind"], each["metadata"]["name"]) == (kind, name))


def _container(documents, kind, name):
    return _of(documents, kind, name)["spec"]["template"]["spec"]["containers"][0]


CLUSTER = {
    "two schedulers": lambda d: _of(d, "Deployment", "a1")["spec"].__setitem__("replicas", 2),
    "rolling": lambda d: _of(d, "Deployment", "a1")["spec"].__setitem__("strategy", {"type": "RollingUpdate"}),
    "a copy nobody calls": lambda d: _of(d, "StatefulSet", "target")["spec"].__setitem__("replicas", 3),
    "no names": lambda d: _of(d, "Service", "target")["spec"].pop("clusterIP"),
    "no service": lambda d: d.remove(_of(d, "Service", "draft")),
    "no gpu": lambda d: _container(d, "StatefulSet", "draft")["resources"]["limits"].pop("nvidia.com/gpu"),
    "0 gpus": lambda d: _container(d, "StatefulSet", "draft")["resources"]["limits"].__setitem__("nvidia.com/gpu", 0),
    "a gpu too many": lambda d: _container(d, "Deployment", "a1")["resources"]["limits"].update({"nvidia.com/gpu": 1}),
    "no probe": lambda d: _container(d, "StatefulSet", "target").pop("readinessProbe"),
    "other probe": lambda d: _container(d, "Deployment", "a1")["livenessProbe"]["httpGet"].__setitem__("path", "/"),
    "other port": lambda d: _container(d, "Deployment", "a1")["ports"][1].__setitem__("containerPort", 9),
    "root": lambda d: _of(d, "StatefulSet", "draft")["spec"]["template"]["spec"]["securityContext"].__setitem__(
        "runAsNonRoot", False
    ),
}


@pytest.mark.parametrize("name", CLUSTER)
def test_the_cluster_is_wired(copied, name):
    directory = copied("kubernetes")
    _edit(directory / "kubernetes.yaml", CLUSTER[name])
    assert not check(directory).ok


@pytest.mark.parametrize("text", ["]", "a: [", "- 1", "text", "services: 5"])
def test_yaml_that_is_none_is_found(copied, text):
    directory = copied("tensorrt")
    (directory / "compose.yaml").write_text(text)
    assert [finding.code for finding in check(directory).problems] == ["parse"]
