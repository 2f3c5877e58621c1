"""NVIDIA's real perf_analyzer against the real server, by the command that users run."""

import json
import subprocess

import pytest
from click.testing import CliRunner

from a1_trt.benchmarks.perf import find_perf_analyzer
from a1_trt.cli import main
from a1_trt.config import load_pair
from a1_trt.errors import ConfigError
from a1_trt.triton.server import TritonServer
from tests.places import ROOT, SHARED

pytestmark = pytest.mark.long
INSTALLER = SHARED / "tools" / "install-perf-analyzer"


@pytest.fixture(scope="module")
def binary(tmp_path_factory):
    try:
        return find_perf_analyzer()
    except ConfigError:
        if not INSTALLER.is_file():
            pytest.skip("perf_analyzer is not installed")
    place = tmp_path_factory.mktemp("perf_analyzer")
    subprocess.run([str(INSTALLER), str(place)], check=True, capture_output=True, timeout=300)
    return place / "bin" / "perf_analyzer"


@pytest.fixture(scope="module")
def server():
    with TritonServer(load_pair(ROOT / "engines" / "reference"), repository=ROOT / "triton_models") as running:
        yield running


@pytest.mark.parametrize(
    ("protocol", "models", "load"),
    [
        ("grpc", "a1,draft,target", ["--concurrency", "1,2"]),
        ("grpc", "target", ["--request-rate", "5"]),
        ("http", "draft,target", ["--concurrency", "2"]),
    ],
)
def test_every_model_is_measured(binary, server, tmp_path, protocol, models, load):
    url = server.grpc_url if protocol == "grpc" else server.http_url.removeprefix("http://")
    output = tmp_path / "perf.json"
    asked = ["bench", "perf", "--url", url, "--protocol", protocol, "-m", models, *load, "--samples", "2"]
    asked += ["--interval", "1", "--perf-analyzer", str(binary), "--output", str(output)]
    done = CliRunner().invoke(main, asked, catch_exceptions=False)
    assert done.exit_code == 0, done.output + done.stderr
    measurements = json.loads(output.read_text())["measurements"]
    assert [each["model"] for each in measurements] == [
        model for model in models.split(",") for _ in load[1].split(",")
    ]
    for each in measurements:
        assert each["n_requests"] > 0
        assert 0 < each["latency_ms"]["p50"] <= each["latency_ms"]["p99"]
