"""From a pair to a Triton model repository that serves it."""

from __future__ import annotations

import json
import os
from importlib import resources
from pathlib import Path

from a1_trt.config import Pair
from a1_trt.deploy.tensors import A1_INPUTS, A1_OUTPUTS, ENGINE_INPUTS, ENGINE_OUTPUTS, Tensor
from a1_trt.errors import DeployError
from a1_trt.locations import list_pairs
from a1_trt.types import Role

MAX_BATCH_SIZE = 64
MODELS = ("a1", "draft", "target")


def render(pair: Pair, output: str | os.PathLike[str]) -> list[Path]:
    """Write the model repository of a pair.

    Args:
        pair: A pair that was read from a file: the models read that file again when they are loaded.
        output: Directory to write to; made when it is not there, files of an earlier rendering are replaced.

    Returns:
        The files that were written.

    Raises:
        DeployError: The pair has no file, or `output` cannot be written.

    Example:
        >>> render(load_pair("reference"), "triton_models")  # doctest: +SKIP
    """
    written = []
    for name, text in files(pair).items():
        path = Path(output) / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise DeployError(
                f"{path} cannot be written: {error.strerror}", field="output", remedy="choose another directory"
            ) from None
        written.append(path)
    return written


def files(pair: Pair) -> dict[str, str]:
    """The files of a pair's model repository: path in it -> text.

    Raises:
        DeployError: The pair has no file.
    """
    reference = _reference(pair)
    scheduler = _source("a1")
    engine = _source("engine")
    return {
        "a1/config.pbtxt": _a1_config(reference),
        "a1/1/model.py": scheduler,
        "draft/config.pbtxt": _engine_config("draft", reference),
        "draft/1/model.py": engine,
        "target/config.pbtxt": _engine_config("target", reference),
        "target/1/model.py": engine,
    }


def _reference(pair: Pair) -> str:
    """How the models find the pair file: by name where that is enough, else by its absolute path."""
    if pair.path is None:
        raise DeployError(
            f"the pair {pair.name} was not read from a file",
            field="pair",
            remedy="write it to a pair.toml and load that",
        )
    path = pair.path.resolve()
    known = list_pairs().get(path.parent.name)
    return path.parent.name if known is not None and known.resolve() == path else str(path)


def _source(name: str) -> str:
    return resources.files("a1_trt.deploy.models").joinpath(f"{name}.py").read_text(encoding="utf-8")


def _a1_config(reference: str) -> str:
    policy = "# One instance: two would be two processes, each with a calibration of its own.\n"
    decoupled = "model_transaction_policy { decoupled: true }\n"
    return _config("a1", 0, policy + decoupled, A1_INPUTS, A1_OUTPUTS, {"pair": reference})


def _engine_config(role: Role, reference: str) -> str:
    note = "# The engine batches by itself, whatever is in flight; a model that is not decoupled is cheaper to call.\n"
    return _config(role, MAX_BATCH_SIZE, note, ENGINE_INPUTS, ENGINE_OUTPUTS, {"pair": reference, "role": role})


def _config(
    name: str,
    max_batch_size: int,
    policy: str,
    inputs: tuple[Tensor, ...],
    outputs: tuple[Tensor, ...],
    parameters: dict[str, str],
) -> str:
    parts = [
        "# Written by 'a1-trt deploy render'; change the pair file instead.\n",
        f'name: "{name}"\nbackend: "python"\nmax_batch_size: {max_batch_size}\n',
        policy,
        *(_tensor("input", tensor) for tensor in inputs),
        *(_tensor("output", tensor) for tensor in outputs),
        "instance_group [ { count: 1 kind: KIND_CPU } ]\n",
        *(_parameter(key, value) for key, value in parameters.items()),
    ]
    return "".join(parts)


def _tensor(kind: str, tensor: Tensor) -> str:
    dims = ", ".join(str(size) for size in tensor.dims)
    lines = [f'name: "{tensor.name}"', f"data_type: TYPE_{tensor.data_type}", f"dims: [ {dims} ]"]
    if tensor.scalar:
        lines.append("reshape: { shape: [ ] }")
    if tensor.optional:
        lines.append("optional: true")
    if tensor.ragged:
        lines.append("allow_ragged_batch: true")
    return f"{kind} [ {{ {' '.join(lines)} }} ]\n"


def _parameter(key: str, value: str) -> str:
    # JSON's escapes are valid in protobuf text for everything it writes here: quotes, backslashes and control
    # characters; other characters stay as they are.
    return f'parameters {{ key: "{key}" value {{ string_value: {_quoted(value)} }} }}\n'


def _quoted(value: str) -> str:
    if any(ord(character) < 32 for character in value):
        raise DeployError(
            f"the path {value!r} has a control character", field="pair", remedy="move the pair file elsewhere"
        )
    return json.dumps(value, ensure_ascii=False)
