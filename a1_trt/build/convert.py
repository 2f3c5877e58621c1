"""A Hugging Face checkpoint becomes a model directory for the CPU engine, which appears when it is complete.

Only this step needs torch and optimum-intel; a built directory runs without them.
"""

import importlib
import json
import os
import shutil
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args

from a1_trt.build.manifest import installed_version, sha256
from a1_trt.errors import A1Error, BuildError, ConfigError

WeightFormat = Literal["f32", "f16", "int8"]

TOOLCHAIN = (
    "pip install torch==2.13.0 'transformers<5.6' optimum==2.3.0 nncf==3.4.0 'openvino-tokenizers>=2026.4' requests"
    " && pip install --no-deps optimum-intel==2.2.0"
)
"""What installs the tools of this step; the CPU build of torch is enough; optimum-intel's torchvision is not needed."""

_CARRIED = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json", "LICENSE")
_TOOLS = ("torch", "transformers", "optimum", "optimum-intel", "nncf", "openvino", "openvino-tokenizers")


def build_openvino(
    source: Path, output: Path, *, weight_format: WeightFormat = "f16", force: bool = False
) -> dict[str, Any]:
    """Compile a Hugging Face checkpoint with its tokenizer for the CPU engine; returns ``output/manifest.json``.

    `output` appears complete or not at all. `weight_format` is how weights are stored; arithmetic is in 32 bits in each
    case. ConfigError: `source` is no checkpoint, or `output` exists. BuildError: a tool is missing, or fails.
    """
    _check(source, output, weight_format, force)
    optimum, transformers, tokenizers = _toolchain(weight_format)
    started, clock = datetime.now(UTC), time.monotonic()
    with _appearing(output, replace=force) as directory:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the tracer warns of every branch of the model's code
                _compile_model(source, directory, weight_format, optimum)
                _compile_tokenizer(source, directory, transformers, tokenizers)
        except A1Error:
            raise
        except Exception as error:
            message = f"{source} could not be compiled ({type(error).__name__}: {error})"
            command = f"a1-trt engine build {source} {output}"
            remedy = "check that it is a decoder-only checkpoint that transformers can load"
            raise BuildError(message, command=command, field="source", remedy=remedy) from error
        for name in _CARRIED:
            if (source / name).is_file():
                shutil.copy(source / name, directory / name)
        manifest = _manifest(source, directory, weight_format, started, time.monotonic() - clock)
        (directory / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return manifest


def _check(source: Path, output: Path, weight_format: str, force: bool) -> None:
    if weight_format not in get_args(WeightFormat):
        message = f"weight_format is {weight_format!r}"
        raise ConfigError(message, field="weight_format", remedy=f"choose one of {', '.join(get_args(WeightFormat))}")
    if source.suffix == ".gguf" or (source / "openvino_model.xml").is_file():
        remedy = "name it in the pair file as it is"
        raise ConfigError(f"{source} needs no build", path=str(source), field="source", remedy=remedy)
    if not (source / "config.json").is_file():
        message = f"{source} is not a Hugging Face checkpoint: it has no config.json"
        remedy = "give the directory that holds config.json, the weights and the tokenizer"
        raise ConfigError(message, path=str(source), field="source", remedy=remedy)
    if output.exists() and not force:
        message = f"{output} exists already"
        remedy = "choose another directory, or allow it to be replaced with --force"
        raise ConfigError(message, path=str(output), field="output", remedy=remedy)


def _toolchain(weight_format: str) -> tuple[ModuleType, ModuleType, ModuleType]:
    needed = ("torch", "optimum.intel", "transformers", "openvino_tokenizers") + ("nncf",) * (weight_format == "int8")
    try:
        modules = [importlib.import_module(name) for name in needed]
    except ImportError as error:
        message = f"compiling a checkpoint needs tools that are not installed ({error})"
        raise BuildError(message, field="tools", remedy=TOOLCHAIN) from None
    return modules[1], modules[2], modules[3]


@contextmanager
def _appearing(output: Path, *, replace: bool) -> Iterator[Path]:
    """A directory beside `output` that takes its name if the block succeeds, and is removed if it does not."""
    output.parent.mkdir(parents=True, exist_ok=True)
    building = output.parent / f".{output.name}.building-{os.getpid()}"
    old = output.parent / f".{output.name}.old-{os.getpid()}"
    building.mkdir()
    try:
        yield building
        if replace and output.exists():
            output.rename(old)
        building.rename(output)
    finally:
        shutil.rmtree(building, ignore_errors=True)
        if old.exists() and not output.exists():
            old.rename(output)
        shutil.rmtree(old, ignore_errors=True)


def _compile_model(source: Path, directory: Path, weight_format: str, optimum: Any) -> None:
    import openvino

    model = optimum.OVModelForCausalLM.from_pretrained(source, export=True, compile=False, load_in_8bit=False)
    model.save_pretrained(directory)
    if weight_format == "f32":
        return
    raw = directory / "raw"
    raw.mkdir()
    for kind in ("xml", "bin"):
        (directory / f"openvino_model.{kind}").rename(raw / f"openvino_model.{kind}")
    network = openvino.Core().read_model(raw / "openvino_model.xml")
    if weight_format == "int8":
        nncf = importlib.import_module("nncf")
        network = nncf.compress_weights(network, mode=nncf.CompressWeightsMode.INT8_ASYM)
    openvino.save_model(network, directory / "openvino_model.xml", compress_to_fp16=weight_format == "f16")
    del network  # it maps the file that goes now
    shutil.rmtree(raw)


def _compile_tokenizer(source: Path, directory: Path, transformers: Any, tokenizers: Any) -> None:
    import openvino

    loaded = transformers.AutoTokenizer.from_pretrained(source)
    encoder, decoder = tokenizers.convert_tokenizer(loaded, with_detokenizer=True)
    openvino.save_model(encoder, directory / "openvino_tokenizer.xml")
    openvino.save_model(decoder, directory / "openvino_detokenizer.xml")


def _manifest(source: Path, directory: Path, weight_format: str, started: datetime, seconds: float) -> dict[str, Any]:
    return {
        "schema": 1,
        "source": {
            "name": source.resolve().name,
            "sha256": {path.name: sha256(path) for path in _files(source) if not path.name.startswith(".")},
        },
        "weight_format": weight_format,
        "tools": {tool: installed_version(tool) for tool in _TOOLS},
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "bytes": {path.name: path.stat().st_size for path in _files(directory)},
    }


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if path.is_file())
