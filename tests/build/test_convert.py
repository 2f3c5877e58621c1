"""Compiling a checkpoint: what is refused, and that an unfinished directory never looks finished."""

from __future__ import annotations

import importlib.util
import json

import pytest

from a1_trt.backends.openvino import OpenVinoEngine, OpenVinoTokenizer
from a1_trt.build.convert import _appearing, build_openvino
from a1_trt.errors import BuildError, ConfigError

TOOLS = ("torch", "transformers", "optimum.intel")


def missing_tools() -> list[str]:
    return [tool for tool in TOOLS if importlib.util.find_spec(tool.partition(".")[0]) is None]


@pytest.fixture
def checkpoint(tmp_path):
    directory = tmp_path / "checkpoint"
    directory.mkdir()
    (directory / "config.json").write_text('{"model_type": "llama"}')
    return directory


def listing(directory) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.skipif(not missing_tools(), reason="torch, transformers and optimum-intel are installed")
def test_without_the_tools_the_pip_lines_are_named(checkpoint, tmp_path):
    with pytest.raises(BuildError) as caught:
        build_openvino(checkpoint, tmp_path / "output")
    assert "pip install torch==2.13.0" in caught.value.remedy
    assert "--no-deps optimum-intel" in caught.value.remedy
    assert listing(tmp_path) == ["checkpoint"]


def test_an_unknown_weight_format_is_refused(checkpoint, tmp_path):
    with pytest.raises(ConfigError) as caught:
        build_openvino(checkpoint, tmp_path / "output", weight_format="int3")
    assert caught.value.field == "weight_format"
    assert "int8" in caught.value.remedy


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_a_source_that_is_no_checkpoint_is_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError) as caught:
        build_openvino(tmp_path / name, tmp_path / "output")
    assert caught.value.field == "source"
    assert "config.json" in caught.value.message


def test_what_is_compiled_already_needs_no_build(checkpoint, tmp_path):
    (checkpoint / "openvino_model.xml").write_text("<net/>")
    for source in (checkpoint, tmp_path / "model.gguf"):
        with pytest.raises(ConfigError, match="needs no build"):
            build_openvino(source, tmp_path / "output")


def test_an_existing_output_is_kept(checkpoint, tmp_path):
    output = tmp_path / "output"
    output.mkdir()
    (output / "mine").write_text("x")
    with pytest.raises(ConfigError) as caught:
        build_openvino(checkpoint, output)
    assert caught.value.field == "output"
    assert listing(output) == ["mine"]


def test_a_directory_appears_complete(tmp_path):
    with _appearing(tmp_path / "deep" / "output", replace=False) as directory:
        (directory / "model").write_text("x")
        assert not (tmp_path / "deep" / "output").exists()
    assert listing(tmp_path / "deep") == ["output"]
    assert listing(tmp_path / "deep" / "output") == ["model"]


@pytest.mark.parametrize("replace", [False, True])
def test_a_failed_build_leaves_everything_as_it_was(tmp_path, replace):
    output = tmp_path / "output"
    if replace:
        output.mkdir()
        (output / "old").write_text("x")

    def fail() -> None:
        with _appearing(output, replace=replace) as directory:
            (directory / "half").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert listing(tmp_path) == (["output"] if replace else [])
    assert not replace or listing(output) == ["old"]


def test_a_replaced_directory_holds_only_the_new(tmp_path):
    output = tmp_path / "output"
    output.mkdir()
    (output / "old").write_text("x")
    with _appearing(output, replace=True) as directory:
        (directory / "new").write_text("x")
    assert listing(tmp_path) == ["output"]
    assert listing(output) == ["new"]


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(bool(missing_tools()), reason="needs torch, transformers and optimum-intel")
@pytest.mark.parametrize("weight_format", ["f32", "f16", "int8"])
def test_a_checkpoint_becomes_a_model_that_loads(tmp_path, weight_format):
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    source, output = tmp_path / "source", tmp_path / "output"
    end = "<|end|>"
    alphabet = {token: i for i, token in enumerate([end, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    raw = Tokenizer(models.BPE(alphabet, []))
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=raw, eos_token=end).save_pretrained(source)
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=len(alphabet), max_position_embeddings=128, eos_token_id=0, **shape)
    LlamaForCausalLM(config).save_pretrained(source)

    manifest = build_openvino(source, output, weight_format=weight_format)

    assert json.loads((output / "manifest.json").read_text()) == manifest
    assert set(manifest["bytes"]) == {path.name for path in output.iterdir()} - {"manifest.json"}
    assert str(tmp_path) not in json.dumps(manifest)
    assert OpenVinoTokenizer.load(output).decode(OpenVinoTokenizer.load(output).encode("1 + 1 ")) == "1 + 1 "
    assert OpenVinoEngine.load(output, role="draft").max_context_tokens == 128
