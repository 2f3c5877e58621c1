"""Whatever is changed in a rendered repository is found."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from google.protobuf import text_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tritonclient.grpc import model_config_pb2

from a1_trt.config import load_pair
from a1_trt.errors import DeployError
from a1_trt.triton.check import check
from a1_trt.triton.compare import config_findings
from a1_trt.triton.render import render
from a1_trt.triton.tensorrt_llm import SETTINGS
from tests.triton.conftest import LLM

ROOT = Path(__file__).parents[2]
CONTRACT = json.loads((ROOT / "tests" / "contracts" / "triton_tensorrt_llm_model.json").read_text())


class Changed:
    """A repository whose one configuration is changed and then put back."""

    def __init__(self, directory, model):
        self.directory = directory
        self.path = directory / model / "config.pbtxt"
        self.text = self.path.read_text()

    def findings(self, text):
        self.path.write_text(text)
        try:
            return check(self.directory).problems
        finally:
            self.path.write_text(self.text)

    def after(self, change):
        config = text_format.Parse(self.text, model_config_pb2.ModelConfig())
        change(config)
        return self.findings(text_format.MessageToString(config))


@pytest.mark.parametrize("profile", ["cpu", "pytorch", "tensorrt", "kubernetes"])
def test_what_is_rendered_is_right(rendered, profile):
    report = check(rendered / profile)
    assert report.problems == []
    assert report.profile == ("tensorrt" if profile == "kubernetes" else profile)
    copies = () if profile in ("cpu", "kubernetes") else ("target_2",)
    assert report.models == ("a1", "draft", "target", *copies)
    assert {finding.code for finding in report.warnings} <= {"file"}


@pytest.mark.parametrize(
    ("profile", "model"), [("cpu", "a1"), ("cpu", "draft"), ("pytorch", "target"), ("tensorrt", "target")]
)
def test_every_field_of_every_tensor_matters(rendered, profile, model):
    path = rendered / profile / model / "config.pbtxt"
    config = text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
    assert config_findings(model, config, config, {}) == ([], [])
    for kind in ("input", "output"):
        for index in range(len(getattr(config, kind))):
            for code, change in MUTATIONS.items():
                if code in ("optional", "ragged") and kind == "output":
                    continue
                changed = model_config_pb2.ModelConfig()
                changed.CopyFrom(config)
                change(getattr(changed, kind), index)
                errors, warnings = config_findings(model, config, changed, {})
                assert [finding.code for finding in errors] == [code], (kind, index, code)
                assert errors[0].field == getattr(config, kind)[index].name
                assert errors[0].model == model
                assert errors[0].remedy
                assert warnings == []


def test_the_check_hears_of_it(copied):
    for profile in ("cpu", "pytorch", "tensorrt"):
        directory = copied(profile)
        for model in ("a1", "draft", "target"):
            for kind in ("input", "output"):
                found = Changed(directory, model).after(lambda config, kind=kind: _widen(getattr(config, kind), 1))
                assert [(finding.model, finding.code) for finding in found] == [(model, "dims")]


def _pop(tensors, index):
    del tensors[index]


def _retype(tensors, index):
    tensors[index].data_type = model_config_pb2.TYPE_FP64


def _widen(tensors, index):
    tensors[index].dims.append(3)


def _unshape(tensors, index):
    if tensors[index].HasField("reshape"):
        tensors[index].ClearField("reshape")
    else:
        tensors[index].reshape.SetInParent()


def _demand(tensors, index):
    tensors[index].optional = not tensors[index].optional


def _rag(tensors, index):
    tensors[index].allow_ragged_batch = not tensors[index].allow_ragged_batch


def _twice(tensors, index):
    tensors.add().CopyFrom(tensors[index])


MUTATIONS = {
    "missing": _pop,
    "dtype": _retype,
    "dims": _widen,
    "reshape": _unshape,
    "optional": _demand,
    "ragged": _rag,
    "extra": _twice,
}


@pytest.mark.parametrize("key", [parameter["key"] for parameter in CONTRACT["parameters"]])
def test_every_parameter_matters(copied, key):
    changed = Changed(copied("tensorrt"), "target")

    def codes(value):
        def change(config):
            if value is None:
                del config.parameters[key]
            else:
                config.parameters[key].string_value = value

        return {(finding.field, finding.code) for finding in changed.after(change)}

    assert (key, "missing") in codes(None)
    assert ("${something}", "placeholder") in codes("${something}")
    setting = next(setting for setting in SETTINGS if setting.key == key)
    if setting.kind != "string" or setting.allowed:
        assert {code for field, code in codes("not that") if field == key} & {"value", "reuse"}
    if setting.kind in ("int", "float"):
        assert (key, "value") in codes("-1")
        assert (key, "value") in codes("nan")
    if setting.most:
        assert (key, "value") in codes("1.5")


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("enable_kv_cache_reuse", "false", "reuse"),
        ("enable_kv_cache_reuse", "", "reuse"),
        ("gpt_model_type", "V1", "value"),
        ("gpt_model_path", "", "value"),
        ("gpt_model_path", "relative/path", "value"),
        ("gpu_device_ids", "", "value"),
        ("gpu_device_ids", "0,", "value"),
        ("executor_worker_path", "", "value"),
        ("enable_trt_overlap", "true", "extra"),
    ],
)
def test_values_that_would_be_wrong_silently(copied, key, value, code):
    changed = Changed(copied("tensorrt"), "draft")

    def change(config):
        config.parameters[key].string_value = value

    assert [(finding.field, finding.code) for finding in changed.after(change)] == [(key, code)]


def _two_instances(config):
    config.instance_group[0].count = 2


def _on_gpu(config):
    config.instance_group[0].kind = model_config_pb2.ModelInstanceGroup.KIND_GPU


def _another_group(config):
    config.instance_group.add(count=1, kind=2)


def _no_group(config):
    del config.instance_group[:]


def _rename(config):
    config.name = "other"


def _rebackend(config):
    config.backend = "onnxruntime"


def _toggle_batch(config):
    config.max_batch_size = 0 if config.max_batch_size else 8


def _toggle_decoupled(config):
    config.model_transaction_policy.decoupled = not config.model_transaction_policy.decoupled


def _sequence(config):
    config.sequence_batching.max_sequence_idle_microseconds = 5


def _cache(config):
    config.response_cache.enable = True


@pytest.mark.parametrize("profile", ["cpu", "pytorch", "tensorrt"])
@pytest.mark.parametrize("model", ["a1", "draft", "target"])
@pytest.mark.parametrize(
    "change",
    [_two_instances, _on_gpu, _another_group, _no_group, _rename, _rebackend, _toggle_batch, _sequence, _cache],
)
def test_the_frame_matters(copied, profile, model, change):
    assert Changed(copied(profile), model).after(change)


@pytest.mark.parametrize(
    ("profile", "model"), [("cpu", "a1"), ("tensorrt", "a1"), ("cpu", "draft"), ("pytorch", "target")]
)
def test_our_own_models_are_decoupled_or_not_as_they_are_made(copied, profile, model):
    assert Changed(copied(profile), model).after(_toggle_decoupled)


def test_a_decoupled_model_of_theirs_is_a_warning(copied):
    directory = copied("tensorrt")
    path = directory / "draft" / "config.pbtxt"
    path.write_text(path.read_text() + "model_transaction_policy { decoupled: true }\n")
    report = check(directory)
    assert report.ok
    assert "model_transaction_policy" in {finding.field for finding in report.warnings}


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config.ClearField("dynamic_batching"),
        lambda config: config.dynamic_batching.preferred_batch_size.append(3),
        lambda config: config.dynamic_batching.default_queue_policy.ClearField("max_queue_size"),
        lambda config: setattr(config.dynamic_batching, "preserve_ordering", True),
        lambda config: setattr(config.dynamic_batching.default_queue_policy, "default_timeout_microseconds", 5),
    ],
)
def test_the_queue_matters(copied, change):
    assert Changed(copied("tensorrt"), "target").after(change)


@pytest.mark.parametrize(
    ("profile", "model"),
    [
        ("cpu", "a1"),
        ("cpu", "draft"),
        ("pytorch", "a1"),
        ("pytorch", "draft"),
        ("pytorch", "target"),
        ("tensorrt", "a1"),
    ],
)
def test_own_parameters_matter(copied, profile, model):
    changed = Changed(copied(profile), model)
    config = text_format.Parse(changed.text, model_config_pb2.ModelConfig())
    for key in list(config.parameters):
        assert changed.after(lambda config, key=key: config.parameters.pop(key)), key

        def spoil(config, key=key):
            config.parameters[key].string_value = "/nowhere/x"

        assert changed.after(spoil), key


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_line_less_is_found(copied, rendered, data):
    directory = rendered / "tensorrt"
    model = data.draw(st.sampled_from(["a1", "draft", "target", "target_2"]))
    changed = Changed(directory, model)
    lines = changed.text.splitlines(keepends=True)
    index = data.draw(st.integers(0, len(lines) - 1))
    found = changed.findings("".join(lines[:index] + lines[index + 1 :]))
    assert bool(found) != lines[index].startswith("#"), lines[index]


@pytest.mark.parametrize("model", ["a1", "draft", "target"])
@pytest.mark.parametrize("profile", ["cpu", "pytorch", "tensorrt"])
def test_a_model_that_is_missing_is_found(copied, profile, model):
    directory = copied(profile)
    shutil.rmtree(directory / model)
    assert (model, "missing") in {(finding.model, finding.code) for finding in check(directory).problems}


@pytest.mark.parametrize("text", ["", "{", "name: 3", "nonsense: 1", "\x00\xff"])
def test_what_cannot_be_read_is_found(copied, text):
    directory = copied("cpu")
    (directory / "draft" / "config.pbtxt").write_text(text)
    assert not check(directory).ok
    (directory / "draft" / "config.pbtxt").write_bytes(b"\xff\xfe")
    assert not check(directory).ok


@pytest.mark.parametrize("model", ["a1", "draft"])
def test_the_code_of_a_model_matters(copied, model):
    directory = copied("cpu")
    path = directory / model / "1" / "model.py"
    path.write_text(path.read_text() + "\n# mine\n")
    assert [finding.code for finding in check(directory).problems] == ["file"]
    path.unlink()
    assert [finding.code for finding in check(directory).problems] == ["missing"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"model": None}, "model"),
        ({"max_seq_len": None}, "max_seq_len"),
        ({"kv_cache_config": {"enable_block_reuse": False}}, "enable_block_reuse"),
        ({"enable_chunked_prefill": True}, "enable_chunked_prefill"),
        ({"speculative_config": {"decoding_type": "NGram"}}, "speculative_config"),
    ],
)
def test_settings_that_would_spoil_scores_or_turns(copied, change, field):
    directory = copied("pytorch")
    path = directory / "target" / "1" / "settings.json"
    path.write_text(json.dumps({**LLM, **change}))
    assert [finding.field for finding in check(directory).problems] == [field]
    for text in ("[]", "nonsense", ""):
        path.write_text(text)
        assert [finding.code for finding in check(directory).problems] == ["parse"]


def test_a_copy_that_nobody_calls_is_found(copied):
    directory = copied("tensorrt")
    shutil.rmtree(directory / "target_2")
    assert ("a1", "target_models") in {(finding.model, finding.field) for finding in check(directory).problems}


def test_a_model_of_another_profile_is_found(copied):
    directory, other = copied("tensorrt"), copied("cpu")
    shutil.rmtree(directory / "draft")
    shutil.copytree(other / "draft", directory / "draft")
    assert ("draft", "backend") in {(finding.model, finding.field) for finding in check(directory).problems}


def test_a_repository_without_a_manifest_is_checked_as_well(copied):
    for profile in ("cpu", "pytorch", "tensorrt"):
        directory = copied(profile)
        (directory / "rendered.json").unlink()
        report = check(directory)
        assert (report.ok, report.profile) == (True, profile)


DAMAGED = [([], 1), ([[]], "x"), ("x", 1), ([[0]], "x"), ([[0]], -1e99)]


@pytest.mark.parametrize(
    "placement",
    [
        None,
        [],
        {},
        {"draft": 1},
        *({key: {"replicas": gpus, "max_batch_size": size} for key in ("draft", "target")} for gpus, size in DAMAGED),
    ],
)
def test_a_manifest_that_is_damaged_is_found(copied, placement):
    directory = copied("tensorrt")
    path = directory / "rendered.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "placement": placement}))
    assert ("rendered.json", "parse") in {(finding.field, finding.code) for finding in check(directory).problems}


def test_a_changed_file_is_a_warning(copied):
    directory = copied("tensorrt")
    (directory / "dashboard.json").write_text("{}")
    (directory / "Dockerfile").unlink()
    report = check(directory)
    assert report.ok
    assert {finding.field for finding in report.warnings if finding.code == "changed"} == {
        "dashboard.json",
        "Dockerfile",
    }


def _larger(config):
    config.max_batch_size = 32
    config.dynamic_batching.preferred_batch_size[:] = [32]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_larger, {"max_batch_size is 32, not 16", "dynamic_batching.preferred_batch_size is [32], not [16]"}),
        (
            lambda config: config.parameters["kv_cache_free_gpu_mem_fraction"].MergeFrom(_text("0.5")),
            {"parameters.kv_cache_free_gpu_mem_fraction is '0.5', not '0.9'"},
        ),
        (
            lambda config: config.parameters["recv_poll_period_ms"].MergeFrom(_text("1")),
            {"parameters.recv_poll_period_ms is extra"},
        ),
    ],
)
def test_what_differs_and_may_is_a_warning_with_both_values(copied, change, words):
    directory = copied("tensorrt")
    path = directory / "target" / "config.pbtxt"
    config = text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
    change(config)
    path.write_text(text_format.MessageToString(config))
    report = check(directory)
    assert report.ok
    assert {finding.message for finding in report.warnings if finding.code != "file"} == words
    assert all(finding.remedy for finding in report.warnings)


def _text(value):
    return model_config_pb2.ModelParameter(string_value=value)


@pytest.mark.parametrize("url", ["grpc://", "grpc://h:0", "grpc://h:99999", "h:8001", "ftp://h:1"])
def test_an_address_that_is_none_is_found(tmp_path, url):
    (tmp_path / "pair.toml").write_text(
        f'name = "p"\n[draft]\nmodel = "d"\n[target]\nmodel = "t"\n[serving]\nurl = "{url}"\n'
    )
    render(load_pair(tmp_path), tmp_path / "models")
    assert [finding.code for finding in check(tmp_path / "models").problems] == ["address"]


def test_no_directory_is_a_typed_error(tmp_path):
    with pytest.raises(DeployError) as caught:
        check(tmp_path / "nothing")
    assert caught.value.field == "directory"
    assert caught.value.remedy


def test_an_empty_directory_has_nothing(tmp_path):
    report = check(tmp_path)
    assert [finding.model for finding in report.problems] == ["a1", "draft", "target"]
    assert json.loads(json.dumps(report.as_dict()))["ok"] is False


def test_engines_are_inside_on_a_cpu_only(copied):
    def spoil(config):
        config.parameters["engines"].string_value = "inside"

    assert not Changed(copied("cpu"), "a1").after(spoil)
    assert Changed(copied("pytorch"), "a1").after(spoil)
