"""A machine with GPUs and TensorRT-LLM, as far as a build can tell."""

from __future__ import annotations

import dataclasses
import importlib
import json
import shlex
import sys
from pathlib import Path

import pytest

from a1_trt.build.hardware import GpuSpec
from a1_trt.build.manifest import installed_version
from a1_trt.build.plan import make_plan
from a1_trt.build.run import run
from a1_trt.config import load_pair
from tests.places import DOUBLES, ROOT

CONFIG = {
    "architectures": ["Qwen2ForCausalLM"],
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "vocab_size": 128,
    "max_position_embeddings": 4096,
}
PAIR = """\
schema = 1
name = "tiny"
[draft]
model = "small"
engine = "tensorrt_llm"
max_in_flight = 4
[draft.sampling]
segment_tokens = 16
[target]
model = "Qwen/QwQ-32B"
engine = "tensorrt_llm"
max_in_flight = 2
[target.sampling]
segment_tokens = 16
[target.gpu]
{gpu}
[scheduler]
n_samples = 4
max_turns = 3
"""

STEPS = [
    ("convert_checkpoint.py", "draft"),
    ("trtllm-build", "draft"),
    ("hf", "target"),
    ("convert_checkpoint.py", "target"),
    ("trtllm-build", "target"),
]
"""What a compiled build of the machine's pair runs: program, and whose."""


class Machine:
    """A directory with a pair, a hub, and programs on the PATH."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.calls_file = root / "calls"
        self.pid_file = root / "pid"
        self.hub = root / "hub"
        self.pair_file = root / "pair" / "pair.toml"
        for directory in (root / "pair" / "small", self.hub / "Qwen" / "QwQ-32B"):
            directory.mkdir(parents=True)
            (directory / "config.json").write_text(json.dumps(CONFIG))
            (directory / "model.safetensors").write_bytes(b"weights")
        self.write_pair("")
        self.tool("bin/trtllm-build", "trtllm-build")
        self.tool("bin/hf", "hf")
        self.tool("examples/models/core/qwen/convert_checkpoint.py", "convert_checkpoint.py")
        self.tool("examples/quantization/quantize.py", "quantize.py")
        self.install("1.2.1")

    def write_pair(self, gpu: str) -> None:
        self.pair_file.write_text(PAIR.format(gpu=gpu))

    @property
    def pair(self):
        return load_pair(self.pair_file)

    def tool(self, path: str, name: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(
            # sh runs the second line, as a path with a space cannot stand in the first; to Python it is a string.
            f"#!/bin/sh\n'''exec' {shlex.quote(sys.executable)} \"$0\" \"$@\"\n' '''\n"
            f"import sys\nsys.path.insert(0, {str(DOUBLES)!r})\n"
            f"from build_tools import main\nsys.exit(main({name!r}, sys.argv[1:]))\n"
        )
        file.chmod(0o755)

    def install(self, version: str) -> None:
        """What importlib.metadata finds as TensorRT-LLM."""
        for old in (self.root / "site").glob("*"):
            (old / "METADATA").unlink()
            old.rmdir()
        info = self.root / "site" / f"tensorrt_llm-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tensorrt_llm\nVersion: {version}\n")
        importlib.invalidate_caches()

    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in self.calls_file.read_text().splitlines()]

    def environment(self) -> dict[str, str]:
        path = [self.root / "site", DOUBLES, DOUBLES / "gpu", ROOT]
        return {
            "PATH": f"{self.root / 'bin'}:/usr/bin:/bin",
            "PYTHONPATH": ":".join(map(str, path)),
            "FAKE_CALLS": str(self.calls_file),
            "FAKE_PID": str(self.pid_file),
            "FAKE_HUB": str(self.hub),
            "FAKE_GPUS": json.dumps([{"name": "NVIDIA H100 80GB HBM3", "gib": 79.6, "sm": 90}] * 2),
            "A1_TRT_TENSORRT_LLM_EXAMPLES": str(self.root / "examples"),
        }


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Machine:
    made = Machine(tmp_path)
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delenv("FAKE_FAULT", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return made


@pytest.fixture
def h100s() -> GpuSpec:
    return GpuSpec.parse("2 x h100-80g")


def output(machine: Machine) -> Path:
    return machine.root / "out"


@pytest.fixture
def build(machine, h100s):
    """Build the machine's pair; gives the manifest and what was said of each step."""

    def call(profile="tensorrt", gpu=None, here=None, **given):
        said = []
        plan = make_plan(machine.pair, profile, gpu or h100s, output=machine.root / "out")
        plan = dataclasses.replace(plan, **given)
        manifest = run(
            plan, here or gpu or h100s, installed_version(), lambda now: said.append((now.step.title, now.state))
        )
        return manifest, said

    return call
