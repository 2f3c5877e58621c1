"""The model repository: what is written, and that it fits TensorRT-LLM's own model."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
import yaml
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from a1_trt.config import load_pair, make_pair
from a1_trt.errors import DeployError
from a1_trt.triton.render import files, render
from a1_trt.triton.role_placement import RolePlacement

ROOT = Path(__file__).parents[2]
CONTRACT = json.loads((ROOT / "tests" / "contracts" / "triton_tensorrt_llm_model.json").read_text())


def parsed(text):
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def test_the_tree_equals_the_rendered_reference_pair(tmp_path):
    written = render(load_pair(ROOT / "engines" / "reference"), tmp_path)
    tracked = {
        path.relative_to(ROOT / "triton_models") for path in (ROOT / "triton_models").rglob("*") if path.is_file()
    }
    assert {path.relative_to(tmp_path) for path in written} == {
        path for path in tracked if "__pycache__" not in path.parts
    }
    for path in written:
        assert path.read_bytes() == (ROOT / "triton_models" / path.relative_to(tmp_path)).read_bytes()


@pytest.mark.parametrize("role", ["draft", "target"])
@pytest.mark.parametrize("kind", ["input", "output"])
def test_engine_tensors_are_those_of_tensorrt_llm(role, kind):
    config = parsed(files(load_pair(ROOT / "engines" / "reference"))[f"{role}/config.pbtxt"])
    theirs = {tensor["name"]: tensor for tensor in CONTRACT[f"{kind}s"]}
    ours = getattr(config, kind)
    assert len(ours) > 4
    for tensor in ours:
        wanted = theirs[tensor.name]
        assert model_config_pb2.DataType.Name(tensor.data_type) == wanted["data_type"]
        assert list(tensor.dims) == wanted["dims"]
        assert tensor.HasField("reshape") == ("reshape" in wanted)
        assert list(tensor.reshape.shape) == wanted.get("reshape", [])
        if kind == "input":
            assert tensor.optional == wanted["optional"]
            assert tensor.allow_ragged_batch == wanted.get("allow_ragged_batch", False)


def test_cancellation_has_the_inputs_tensorrt_llm_asks_for():
    config = parsed(files(load_pair(ROOT / "engines" / "reference"))["draft/config.pbtxt"])
    assert set(CONTRACT["cancellation"]["required_inputs"]) <= {tensor.name for tensor in config.input}


def test_nothing_is_left_to_fill_in():
    for text in files(load_pair(ROOT / "engines" / "reference")).values():
        assert "${" not in text


PROFILES = ("cpu", "pytorch", "tensorrt")
GPU_PAIR = load_pair(ROOT / "engines" / "qwen2.5-7b-instruct_qwq-32b")


@pytest.fixture
def placement():
    return {"draft": RolePlacement(((0,),), 16), "target": RolePlacement(((1, 2), (3, 4)), 8, max_context_tokens=900)}


@pytest.mark.parametrize("role", ["draft", "target"])
@pytest.mark.parametrize("kind", ["input", "output"])
def test_the_whole_of_tensorrt_llm_is_there_and_nothing_else(role, kind):
    config = parsed(files(GPU_PAIR, profile="tensorrt")[f"{role}/config.pbtxt"])
    filled = {"${logits_datatype}": "TYPE_FP32", "${encoder_input_features_data_type}": "TYPE_FP16"}
    filled["${prompt_embedding_table_data_type}"] = "TYPE_FP16"
    wanted = [
        (
            tensor["name"],
            filled.get(tensor["data_type"], tensor["data_type"]),
            tensor["dims"],
            tensor.get("optional", False),
            tensor.get("reshape"),
            tensor.get("allow_ragged_batch", False),
        )
        for tensor in CONTRACT[f"{kind}s"]
    ]
    assert len(wanted) == (62 if kind == "input" else 21)
    assert wanted == [
        (
            tensor.name,
            model_config_pb2.DataType.Name(tensor.data_type),
            list(tensor.dims),
            kind == "input" and tensor.optional,
            list(tensor.reshape.shape) if tensor.HasField("reshape") else None,
            kind == "input" and tensor.allow_ragged_batch,
        )
        for tensor in getattr(config, kind)
    ]


@pytest.mark.parametrize("role", ["draft", "target"])
def test_every_parameter_of_tensorrt_llm_is_filled_as_the_contract_allows(role, placement):
    config = parsed(files(GPU_PAIR, profile="tensorrt", placement=placement)[f"{role}/config.pbtxt"])
    said = {key: value.string_value for key, value in config.parameters.items()}
    assert set(said) == {parameter["key"] for parameter in CONTRACT["parameters"]}
    for parameter in CONTRACT["parameters"]:
        value, allowed = said[parameter["key"]], parameter.get("allowed")
        assert "${" not in value
        assert value or not (parameter["mandatory"] or parameter.get("literal"))
        if parameter.get("literal"):
            assert value == parameter["literal"]
        if value and isinstance(allowed, list):
            assert value in allowed
        if value and isinstance(allowed, dict):
            assert allowed["min"] <= float(value) <= allowed["max"]
        if value and parameter["value_type"] == "bool":
            assert value in ("true", "false")
        if value and parameter["value_type"] == "int":
            int(value)
    assert said["enable_kv_cache_reuse"] == "true"
    assert said["gpu_device_ids"] == {"draft": "0", "target": "1,2"}[role]
    assert config.backend in CONTRACT["model"]["backend"]["allowed"]
    assert [(group.count, group.kind) for group in config.instance_group] == [(1, 2)]
    assert [config.max_batch_size] == list(config.dynamic_batching.preferred_batch_size)
    assert config.dynamic_batching.default_queue_policy.max_queue_size >= config.max_batch_size


@pytest.mark.parametrize("profile", PROFILES)
def test_the_repositories_differ_in_draft_and_target_only(profile):
    reference = load_pair(ROOT / "engines" / "reference")
    ours = parsed(files(reference, profile=profile)["a1/config.pbtxt"])
    theirs = parsed(files(reference)["a1/config.pbtxt"])
    # On GPUs never inside, whatever the pair says: a GPU belongs to one process.
    assert ours.parameters["engines"].string_value == ("inside" if profile == "cpu" else "models")
    for key in ("pair", "engines"):
        ours.parameters[key].string_value = theirs.parameters[key].string_value
    assert ours == theirs
    assert files(reference, profile=profile)["a1/1/model.py"] == files(reference)["a1/1/model.py"]


def test_each_copy_of_a_model_is_a_model_with_gpus_of_its_own(placement):
    for profile in ("pytorch", "tensorrt"):
        found = files(GPU_PAIR, profile=profile, placement=placement)
        devices = {
            name.split("/")[0]: parsed(text).parameters["gpu_device_ids"].string_value
            for name, text in found.items()
            if name.endswith(".pbtxt") and not name.startswith("a1/")
        }
        assert devices == {"draft": "0", "target": "1,2", "target_2": "3,4"}
        scheduler = parsed(found["a1/config.pbtxt"]).parameters
        assert scheduler["target_models"].string_value == "target,target_2"
        assert scheduler["target_context_tokens"].string_value == "900"
        assert "draft_models" not in scheduler


def test_a_pod_of_its_own_numbers_its_gpus_from_zero(placement):
    found = files(GPU_PAIR, profile="tensorrt", placement=placement, platform="kubernetes")
    assert "target_2/config.pbtxt" not in found
    assert parsed(found["target/config.pbtxt"]).parameters["gpu_device_ids"].string_value == "0,1"
    documents = list(yaml.safe_load_all(found["kubernetes.yaml"]))
    sets = {each["metadata"]["name"]: each["spec"] for each in documents if each["kind"] == "StatefulSet"}
    pods = {name: spec["template"]["spec"]["containers"][0] for name, spec in sets.items()}
    assert {name: spec["replicas"] for name, spec in sets.items()} == {"draft": 1, "target": 2}
    assert {name: pod["resources"]["limits"]["nvidia.com/gpu"] for name, pod in pods.items()} == {
        "draft": 1,
        "target": 2,
    }
    assert "--load-model=target" in pods["target"]["args"]


@pytest.mark.parametrize("profile", ["pytorch", "tensorrt"])
def test_containers_are_for_this_machine_and_nobody_special(placement, profile):
    found = files(GPU_PAIR, profile=profile, placement=placement)
    service = yaml.safe_load(found["compose.yaml"])["services"]["triton"]
    assert {str(port).split(":")[0] for port in service["ports"]} == {"127.0.0.1"}
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert device["device_ids"] == ["0", "1", "2", "3", "4"]
    assert ("TRTLLM_ORCHESTRATOR" in service["environment"]) == (profile == "tensorrt")
    lines = found["Dockerfile"].splitlines()
    assert [line for line in lines if line.startswith("FROM")] == ["FROM nvcr.io/nvidia/tritonserver:${TRITON}"]
    assert any(line.startswith("USER 10001") for line in lines)
    assert any(line.startswith("HEALTHCHECK") for line in lines)
    copied = [line.split()[1] for line in lines if line.startswith("COPY") and "whl" not in line]
    assert copied == ["a1", "draft", "target", "target_2"]
    dashboard = json.loads(found["dashboard.json"])
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_the_dashboard_asks_for_metrics_that_there_are():
    """Those of a1 in the exporter; those of Triton and its backend in the recorded contract."""
    known = set(re.findall(r"a1_[a-z_]+", (ROOT / "a1_trt" / "triton" / "exporter.py").read_text()))
    known |= {metric["name"] for metric in CONTRACT["triton_core_metrics"]}
    known |= {family["name"] for family in CONTRACT["metrics"]["families"]} | {"nv_gpu_memory_used_bytes"}
    text = files(GPU_PAIR, profile="tensorrt")["dashboard.json"]
    for panel in json.loads(text)["panels"]:
        for target in panel["targets"]:
            assert set(re.findall(r"\b(?:a1|nv)_[a-z_]+", target["expr"])) <= known


def test_a_path_that_compose_would_expand_is_refused(tmp_path):
    folder = tmp_path / "a$HOME"
    folder.mkdir()
    (folder / "pair.toml").write_text('name = "p"\n[draft]\nmodel = "d"\n[target]\nmodel = "t"\n')
    with pytest.raises(DeployError, match="has a"):
        files(load_pair(folder), profile="pytorch")


def test_a_second_rendering_replaces_the_first_and_leaves_nothing_of_it(tmp_path, placement):
    output = tmp_path / "out"
    render(GPU_PAIR, output, profile="tensorrt", placement=placement)
    (output / "notes.txt").write_text("mine")
    render(GPU_PAIR, output, profile="pytorch")
    names = {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()}
    assert names == {*files(GPU_PAIR, profile="pytorch"), "rendered.json", "notes.txt"}
    assert (output / "notes.txt").read_text() == "mine"
    assert not (output / "target_2").exists()


@pytest.mark.parametrize("name", ["draft/config.pbtxt", "a1/1/model.py", "Dockerfile", "rendered.json"])
def test_foreign_files_are_not_overwritten(tmp_path, name):
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(DeployError, match=name.split("/")[-1]) as caught:
        render(GPU_PAIR, tmp_path / "out", profile="tensorrt")
    assert "--force" in caught.value.remedy
    assert [each for each in (tmp_path / "out").rglob("*") if each.is_file()] == [path]
    assert path.read_text() == "mine"
    render(GPU_PAIR, tmp_path / "out", profile="tensorrt", force=True)
    assert path.read_text() != "mine"


def test_a_file_that_was_changed_since_is_not_overwritten(tmp_path):
    render(GPU_PAIR, tmp_path / "out", profile="tensorrt")
    path = tmp_path / "out" / "target" / "config.pbtxt"
    path.write_text(path.read_text() + "# mine\n")
    with pytest.raises(DeployError, match="changed since"):
        render(GPU_PAIR, tmp_path / "out", profile="tensorrt")


def test_a_rendering_that_fails_leaves_nothing(tmp_path, monkeypatch):
    from a1_trt.triton import repository

    real, written = repository._write_one, []

    def failing(path, text):
        if len(written) == 4:
            raise OSError(28, "No space left on device")
        written.append(path)
        real(path, text)

    monkeypatch.setattr(repository, "_write_one", failing)
    with pytest.raises(DeployError, match="No space"):
        render(GPU_PAIR, tmp_path / "out", profile="tensorrt")
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_cannot_have_files_elsewhere_removed(tmp_path):
    render(GPU_PAIR, tmp_path / "out", profile="tensorrt")
    outside = tmp_path / "precious"
    outside.write_text("x")
    manifest = tmp_path / "out" / "rendered.json"
    said = json.loads(manifest.read_text())
    digest = hashlib.sha256(b"x").hexdigest()
    said["files"] |= {"../precious": digest, str(outside): digest}
    manifest.write_text(json.dumps(said))
    render(GPU_PAIR, tmp_path / "out", profile="tensorrt")
    assert outside.exists()


def test_only_one_scheduler():
    config = parsed(files(load_pair(ROOT / "engines" / "reference"))["a1/config.pbtxt"])
    assert [(group.count, group.kind) for group in config.instance_group] == [(1, 2)]
    assert config.model_transaction_policy.decoupled


@pytest.mark.parametrize("folder", ["plain", "with space", 'quo"te', "back\\slash", "ünï", "new$ {x}"])
def test_a_pair_elsewhere_is_named_by_its_path(tmp_path, folder):
    pair_file = tmp_path / folder / "pair.toml"
    pair_file.parent.mkdir()
    pair_file.write_text('name = "p"\n[draft]\nmodel = "d"\n[target]\nmodel = "t"\n')
    for name, text in files(load_pair(pair_file)).items():
        if name.endswith(".pbtxt"):
            assert parsed(text).parameters["pair"].string_value == str(pair_file)


def test_a_path_with_a_line_break_is_refused(tmp_path):
    pair_file = tmp_path / 'a\n" } }' / "pair.toml"
    pair_file.parent.mkdir()
    pair_file.write_text('name = "p"\n[draft]\nmodel = "d"\n[target]\nmodel = "t"\n')
    with pytest.raises(DeployError, match="control character"):
        files(load_pair(pair_file))


def test_a_pair_without_a_file_is_refused():
    with pytest.raises(DeployError) as caught:
        files(make_pair({"name": "p", "draft": {"model": "a"}, "target": {"model": "b"}}))
    assert caught.value.field == "pair"


def test_a_directory_that_cannot_be_written_is_a_typed_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DeployError) as caught:
        render(load_pair(ROOT / "engines" / "reference"), tmp_path / "file")
    assert caught.value.field == "output"
    assert caught.value.remedy


@pytest.mark.parametrize("where", ["models", "inside"])
def test_a_pair_says_where_the_scheduler_finds_its_engines(monkeypatch, where):
    monkeypatch.setenv("A1_TRT_SERVING__ENGINES", where)
    config = parsed(files(load_pair(ROOT / "engines" / "reference"))["a1/config.pbtxt"])
    assert config.parameters["engines"].string_value == where
