"""Model configurations as protobuf messages, and their text."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from a1_trt.errors import DeployError
from a1_trt.triton.tensors import Tensor

HEADER = "# Written by 'a1-trt deploy render'; change the pair file instead.\n"


def model_config(
    name: str, size: int, inputs: Iterable[Tensor], outputs: Iterable[Tensor], parameters: Mapping[str, str]
) -> Any:
    """The ModelConfig of one of this project's models: Python backend, one instance.

    `size` is that of the largest batch. At 0 requests have no batch dimension, and any number of responses.
    """
    config = model_config_pb2.ModelConfig(name=name, backend="python", max_batch_size=size)
    config.instance_group.add(count=1, kind=model_config_pb2.ModelInstanceGroup.KIND_CPU)
    if size == 0:
        config.model_transaction_policy.decoupled = True
    for tensor in inputs:
        _fill(config.input.add(optional=tensor.optional, allow_ragged_batch=tensor.ragged), tensor)
    for tensor in outputs:
        _fill(config.output.add(), tensor)
    set_parameters(config, parameters)
    return config


def set_parameters(config: Any, parameters: Mapping[str, str]) -> None:
    for key, value in parameters.items():
        if any(ord(character) < 32 for character in value):
            raise DeployError(f"{key} {value!r} has a control character", field=key, remedy="move the file elsewhere")
        config.parameters[key].string_value = value


def to_text(config: Any, note: str = "") -> str:
    """The text of a config.pbtxt: plain fields first, then a line for each tensor and each parameter.

    Example:
        >>> config = model_config("m", 0, [Tensor("x", "INT32")], [], {"pair": "p"})
        >>> print(to_text(config, "One instance."))
        # Written by 'a1-trt deploy render'; change the pair file instead.
        # One instance.
        name: "m"
        backend: "python"
        input { name: "x" data_type: TYPE_INT32 dims: [1] }
        instance_group { count: 1 kind: KIND_CPU }
        parameters { key: "pair" value { string_value: "p" } }
        model_transaction_policy { decoupled: true }
        <BLANKLINE>
    """
    out = io.StringIO()
    out.write(HEADER + (f"# {note}\n" if note else ""))
    for field, value in sorted(config.ListFields(), key=lambda item: item[0].message_type is not None):
        for item in _items(field, value):
            text_format.PrintField(field, item, out, as_utf8=True, as_one_line=True, use_short_repeated_primitives=True)
            out.seek(out.tell() - 1)  # each field ends in a space
            out.write("\n")
    return out.getvalue()


def parse(text: str) -> Any:
    """The ModelConfig of a config.pbtxt; a ParseError where it is not protobuf text or has an unknown field."""
    config = model_config_pb2.ModelConfig()
    config.CopyFrom(_parsed(text))
    return config


@lru_cache(maxsize=64)  # a repository has the same configuration for each copy of a model
def _parsed(text: str) -> Any:
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def _fill(target: Any, tensor: Tensor) -> None:
    target.name = tensor.name
    target.data_type = model_config_pb2.DataType.Value(f"TYPE_{tensor.data_type}")
    target.dims.extend(tensor.dims)
    if tensor.scalar:
        target.reshape.SetInParent()


def _items(field: Any, value: Any) -> list[Any]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return [value.GetEntryClass()(key=key, value=value[key]) for key in sorted(value)]
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
