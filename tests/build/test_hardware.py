"""GPUs and models: names, what they can do, what is read from a checkpoint, and what is refused."""

from __future__ import annotations

import importlib
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a1_trt.build.hardware import GpuSpec, known_gpus, known_models, model_dimensions
from a1_trt.build.quantization import FORMATS
from a1_trt.errors import ConfigError


@given(st.sampled_from(sorted(known_gpus())), st.integers(1, 64), st.sampled_from(["{n}x{g}", "{n} x {g}", "{g}x{n}"]))
def test_every_spelling_of_every_gpu_is_read(name, count, spelling):
    found = GpuSpec.parse(spelling.format(n=count, g=name))
    assert (found.gpu.name, found.count) == (name, count)
    assert GpuSpec.parse(str(found)) == found


@given(st.text(max_size=300))
def test_other_text_is_a_typed_error(text):
    with pytest.raises(ConfigError) as caught:
        GpuSpec.parse(text)
    assert caught.value.field == "gpu"
    assert caught.value.remedy


@pytest.mark.parametrize("text", ["h100-80gx0", "2xh100-80gx2", "h100-80gx65", "h100-80gx"])
def test_numbers_of_gpus_that_make_no_sense_are_refused(text):
    with pytest.raises(ConfigError) as caught:
        GpuSpec.parse(text)
    assert caught.value.field == "gpu"


def test_a_misspelt_gpu_gets_a_suggestion():
    with pytest.raises(ConfigError, match="did you mean h100-80g"):
        GpuSpec.parse("h100-80")


def test_every_gpu_has_all_figures_and_a_source():
    for gpu in known_gpus().values():
        assert gpu.source
        assert gpu.bandwidth_gb_s
        assert {"fp32", "bf16"} <= set(gpu.tflops)
        assert ("fp8" in gpu.tflops) == FORMATS["fp8"].runs_on(gpu)
        assert ("fp4" in gpu.tflops) == FORMATS["nvfp4"].runs_on(gpu)


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", 1.78),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-8B", 8.03),
        ("Qwen/Qwen2.5-7B-Instruct", 7.62),
        ("meta-llama/Llama-3.1-8B-Instruct", 8.03),
        ("Qwen/QwQ-32B", 32.8),
        ("simplescaling/s1.1-32B", 32.8),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-70B", 70.6),
    ],
)
def test_parameters_follow_from_the_dimensions(name, billions):
    # The numbers that the model cards give, from the published weights.
    assert known_models()[name].n_parameters / 1e9 == pytest.approx(billions, rel=0.005)


def test_a_checkpoint_is_read_from_its_directory(machine):
    directory = machine.root / "pair" / "small"
    found = model_dimensions("anything", directory)
    assert (found.n_layers, found.head_dim, found.quantization) == (2, 16, None)
    (directory / "hf_quant_config.json").write_text('{"quantization": {"quant_algo": "FP8"}}')
    assert model_dimensions("anything", directory).quantization == "FP8"


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", '{"architectures": []}', '"x"', "null"])
def test_a_damaged_configuration_is_a_typed_error(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError) as caught:
        model_dimensions("m", tmp_path)
    assert caught.value.path == str(tmp_path / "config.json")


@pytest.mark.parametrize("key", ["num_hidden_layers", "hidden_size", "vocab_size", "max_position_embeddings"])
@pytest.mark.parametrize("value", [0, -1, "7", True, 2**31, None])
def test_a_dimension_that_is_none_is_a_typed_error(machine, key, value):
    path = machine.root / "pair" / "small" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(ConfigError):
        model_dimensions("m", path.parent)


@pytest.fixture
def driver(machine, monkeypatch):
    """The double of nvidia-ml-py, whatever is installed."""
    monkeypatch.syspath_prepend(str(machine.root.parent))
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    from tests.build.conftest import DOUBLES

    monkeypatch.syspath_prepend(str(DOUBLES / "gpu"))
    yield importlib.import_module("pynvml")
    sys.modules.pop("pynvml", None)


@pytest.mark.usefixtures("driver")
class TestDetection:
    def test_names_and_memory_are_those_of_the_driver(self):
        found = GpuSpec.detect()
        assert (str(found), found.gpu.memory_gib, found.gpu.sm) == ("2 x h100-80g", 79.6, 90)

    def test_what_others_hold_is_seen(self, monkeypatch):
        gpus = [{"name": "NVIDIA L4", "gib": 22.4, "sm": 89, "used": used} for used in (0.4, 7.5)]
        monkeypatch.setenv("FAKE_GPUS", json.dumps(gpus))
        assert GpuSpec.detect().gpu.used_gib == 7.5

    def test_only_visible_gpus_count(self, monkeypatch):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
        assert GpuSpec.detect().count == 1

    @pytest.mark.parametrize("said", ["7", "GPU-1234", "0,x"])
    def test_visible_gpus_that_are_not_there_are_refused(self, monkeypatch, said):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", said)
        with pytest.raises(ConfigError) as caught:
            GpuSpec.detect()
        assert caught.value.field == "CUDA_VISIBLE_DEVICES"

    def test_an_unknown_gpu_is_described_by_the_driver(self, monkeypatch):
        monkeypatch.setenv("FAKE_GPUS", '[{"name": "NVIDIA L40", "gib": 44.5, "sm": 89}]')
        found = GpuSpec.detect().gpu
        assert (found.name, FORMATS["fp8"].runs_on(found), found.bandwidth_gb_s) == ("nvidia-l40", True, None)

    def test_several_kinds_are_refused(self, monkeypatch):
        both = [{"name": "NVIDIA L4", "gib": 22.4, "sm": 89}, {"name": "NVIDIA A10", "gib": 22.4, "sm": 86}]
        monkeypatch.setenv("FAKE_GPUS", json.dumps(both))
        with pytest.raises(ConfigError, match="several kinds"):
            GpuSpec.detect()

    @pytest.mark.parametrize("said", ["[]", None])
    def test_no_gpu_or_driver_is_a_typed_error(self, monkeypatch, said):
        if said is None:
            monkeypatch.delenv("FAKE_GPUS")
        else:
            monkeypatch.setenv("FAKE_GPUS", said)
        with pytest.raises(ConfigError) as caught:
            GpuSpec.detect()
        assert caught.value.field == "gpu"
        assert "--gpu" in caught.value.remedy


def test_without_nvidia_ml_py_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(ConfigError, match=r"a1_trt\[gpu\]"):
        GpuSpec.detect()
