"""Flags and settings, held to what TensorRT-LLM documents."""

from __future__ import annotations

import itertools
import json
import re

import pytest
import yaml

from a1_trt.build.plan import GpuSpec, make_plan
from a1_trt.config import load_pair, make_pair
from a1_trt.types import ROLES
from tests.build.conftest import ROOT
from tests.build.test_shipped_pairs import GPUS, SHIPPED
from tests.doubles import build_tools
from tests.doubles.installed import tensorrt_llm

API = json.loads((ROOT / "tests" / "contracts" / "tensorrt_llm_api.json").read_text())
TRITON = json.loads((ROOT / "tests" / "contracts" / "triton_tensorrt_llm_model.json").read_text())
BUILD = build_tools.BUILD
CHOICES = list(itertools.product(["none", "fp8", "int4_awq"], ["auto", "fp8"], ["auto", "context_logits"]))


def plan_of(profile, quantization="none", kv_cache="auto", scoring="auto", gpu="8 x h100-80g"):
    said = {"quantization": quantization, "kv_cache_dtype": kv_cache}
    pair = make_pair(
        {
            "name": "p",
            "draft": {"model": "deepseek-ai/DeepSeek-R1-Distill-Llama-8B", "gpu": said},
            "target": {"model": "Qwen/QwQ-32B", "max_in_flight": 4, "gpu": {**said, "scoring": scoring}},
        }
    )
    return make_plan(pair, profile, GpuSpec.parse(gpu))


def tool_of(argv):
    """The program of a command, as the doubles name it, and its arguments."""
    start = 2 if argv[0] == "python3" else 1
    return argv[start - 1].rsplit("/", 1)[-1], list(argv[start:])


@pytest.mark.parametrize(("quantization", "kv_cache", "scoring"), CHOICES)
@pytest.mark.parametrize("profile", ["tensorrt", "pytorch"])
def test_every_command_is_one_that_the_program_takes(profile, quantization, kv_cache, scoring):
    plan = plan_of(profile, quantization, kv_cache, scoring)
    tools = set()
    for argv in plan.commands:
        tool, arguments = tool_of(argv)
        if argv[1:3] != ["-m", "a1_trt.build.warmup"]:
            build_tools.parse(tool, arguments)
            tools.add(tool)
    assert "hf" in tools
    assert ("trtllm-build" in tools) == (profile == "tensorrt")


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("name", SHIPPED)
def test_commands_of_shipped_pairs_are_taken(name, gpu):
    for argv in make_plan(load_pair(name), "tensorrt", GpuSpec.parse(gpu)).commands:
        build_tools.parse(*tool_of(argv))


@pytest.mark.parametrize("flag", BUILD["absent_flags"])
def test_the_double_refuses_flags_that_are_gone(flag):
    with pytest.raises(ValueError, match="unrecognized"):
        build_tools.parse("trtllm-build", [flag, "1"])


@pytest.mark.parametrize("role", ROLES)
def test_compiled_engines_batch_in_flight_and_reuse_the_cache(role):
    flags = plan_of("tensorrt").settings[role]
    assert BUILD["inflight_batching_required"].items() <= flags.items()
    assert BUILD["kv_reuse_or_chunked_context_required"].items() <= flags.items()
    assert flags["--max_input_len"] < flags["--max_seq_len"]


def test_a_compiled_target_scores_segments_as_external_drafts():
    plan = plan_of("tensorrt")
    flags = plan.settings["target"]
    assert flags["--speculative_decoding_mode"] == BUILD["external_draft_required"]["--speculative_decoding_mode"]
    assert flags["--max_draft_len"] >= 500
    assert flags["--max_num_tokens"] >= 4 * (flags["--max_draft_len"] + 1)
    assert "--speculative_decoding_mode" not in plan.settings["draft"]


def test_a_compiled_target_may_gather_context_logits_instead():
    flags = plan_of("tensorrt", scoring="context_logits").settings["target"]
    assert flags["--gather_context_logits"] is True
    assert "--speculative_decoding_mode" not in flags


@pytest.mark.parametrize("role", ROLES)
def test_parallelism_is_the_same_in_every_step(role):
    plan = plan_of("tensorrt", gpu="4 x a100-80g")
    split = plan.placement[role].split
    convert, build = (
        dict(build_tools.parse(*tool_of(s.argv))[0]) for s in plan.steps if s.role == role and s.name != "fetch"
    )
    assert (convert["--tp_size"], convert["--pp_size"]) == (split.tensor, split.pipeline)
    assert build["--workers"] == split.n_gpus
    assert build["--checkpoint_dir"] == convert["--output_dir"]


@pytest.mark.parametrize("role", ROLES)
def test_parameters_for_triton_are_known_to_its_model(role):
    known = {parameter["key"]: parameter for parameter in TRITON["parameters"]}
    for key, value in plan_of("tensorrt").runtime[role].items():
        said = known[key]
        assert re.fullmatch(
            {"int": r"\d+", "float": r"0?\.\d+", "bool": "true|false"}.get(said["value_type"], ".+"), value
        )
        assert "allowed" not in said or isinstance(said["allowed"], dict) or value in said["allowed"]


def test_reuse_is_switched_on_for_triton():
    # Its default there is off, unlike the LLM API's.
    assert plan_of("tensorrt").runtime["target"]["enable_kv_cache_reuse"] == "true"


@pytest.mark.parametrize(("quantization", "kv_cache", "scoring"), CHOICES)
@pytest.mark.parametrize("role", ROLES)
def test_every_setting_of_the_llm_api_is_known_and_of_its_type(role, quantization, kv_cache, scoring):
    settings = plan_of("pytorch", quantization, kv_cache, scoring).settings[role]
    with tensorrt_llm():
        from tensorrt_llm import _contract, _llm, llmapi

        from a1_trt.backends.tensorrt_llm.runtime import _typed

        assert llmapi
        _contract.fill(_llm._FIELDS, {key: _typed(key, value) for key, value in settings.items()})


def test_a_target_is_set_up_so_that_no_row_is_lost():
    settings = plan_of("pytorch").settings["target"]
    assert settings["enable_chunked_prefill"] is False
    assert settings["max_num_tokens"] >= settings["max_seq_len"]
    assert settings["kv_cache_config"]["enable_block_reuse"] is True
    assert settings["kv_cache_config"]["enable_partial_reuse"] is False
    assert "speculative_config" not in settings
    assert "torch_compile_config" not in settings
    assert plan_of("pytorch").settings["draft"]["enable_chunked_prefill"] is True


@pytest.mark.parametrize("role", ROLES)
def test_both_files_say_the_same(role):
    plan = plan_of("pytorch", "fp8")
    (step,) = (step for step in plan.steps if step.role == role and step.files)
    settings = json.loads(step.files["settings.json"])
    assert settings == plan.settings[role]
    assert yaml.safe_load(step.files["llm.yaml"]) == {k: v for k, v in settings.items() if k != "model"}


def test_a_quantised_checkpoint_is_what_the_engine_loads():
    plan = plan_of("pytorch", "fp8")
    (quantize,) = (step for step in plan.steps if step.role == "target" and step.name == "quantize")
    assert plan.settings["target"]["model"] == str(quantize.output)
    flags, _ = build_tools.parse(*tool_of(quantize.argv))
    assert (flags["--qformat"], flags["--export_format"]) == ("fp8", "hf")


def test_an_fp8_cache_alone_is_calibrated_for_compiled_engines():
    plan = plan_of("tensorrt", "none", "fp8")
    flags, _ = build_tools.parse(*tool_of(next(step.argv for step in plan.steps if step.name == "quantize")))
    assert (flags["--qformat"], flags["--kv_cache_dtype"]) == ("full_prec", "fp8")
