"""The model repository: what is written, and that it fits TensorRT-LLM's own model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from a1_trt.config import load_pair, make_pair
from a1_trt.deploy.render import files, render
from a1_trt.errors import DeployError

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
