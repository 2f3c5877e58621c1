"""The text of a model's config.pbtxt."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from a1_trt.errors import DeployError
from a1_trt.triton.tensors import Tensor

HEADER = "# Written by 'a1-trt deploy render'; change the pair file instead.\n"


def config_text(
    name: str,
    *,
    backend: str,
    max_batch_size: int,
    policy: str,
    inputs: Iterable[Tensor],
    outputs: Iterable[Tensor],
    parameters: Mapping[str, str],
) -> str:
    """A config.pbtxt with one instance.

    Args:
        name: The model's name.
        backend: Its backend.
        max_batch_size: Largest batch; 0 where requests have no batch dimension.
        policy: What is particular about the model, as text.
        inputs: Its inputs; likewise `outputs`.
        outputs: Its outputs.
        parameters: Name -> text of its parameters.

    Raises:
        DeployError: A parameter's text has a control character.

    Example:
        >>> print(config_text("m", backend="python", max_batch_size=0, policy="", inputs=[Tensor("x", "INT32")],
        ...     outputs=[], parameters={"pair": "p"}))
        # Written by 'a1-trt deploy render'; change the pair file instead.
        name: "m"
        backend: "python"
        max_batch_size: 0
        input [ { name: "x" data_type: TYPE_INT32 dims: [ 1 ] } ]
        instance_group [ { count: 1 kind: KIND_CPU } ]
        parameters { key: "pair" value { string_value: "p" } }
        <BLANKLINE>
    """
    parts = [
        HEADER,
        f'name: "{name}"\nbackend: "{backend}"\nmax_batch_size: {max_batch_size}\n',
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
    return f'parameters {{ key: "{key}" value {{ string_value: {_quoted(key, value)} }} }}\n'


def _quoted(key: str, value: str) -> str:
    if any(ord(character) < 32 for character in value):
        raise DeployError(f"{key} {value!r} has a control character", field=key, remedy="move the file elsewhere")
    return json.dumps(value, ensure_ascii=False)
