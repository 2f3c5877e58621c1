"""What a config.pbtxt has to say, field by field."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from a1_trt.triton.findings import Finding
from a1_trt.triton.tensors import Tensor

_PLACEHOLDER = re.compile(r"\$\{[^}\n]*\}?")
_OTHER_TYPES = {"encoder_input_features": ("TYPE_BF16",)}
"""Types that tensorrt_llm allows beside the one that is rendered."""
_TOP = {
    "name",
    "backend",
    "max_batch_size",
    "input",
    "output",
    "instance_group",
    "parameters",
    "model_transaction_policy",
}


def parse(model: str, text: str) -> tuple[Any, list[Finding]]:
    """A model's configuration, if it can be read, and what is wrong with its text."""
    found = [
        Finding(model, match.group(), "placeholder", f"{match.group()} was never filled in")
        for line in text.splitlines()
        if not line.lstrip().startswith("#")
        for match in _PLACEHOLDER.finditer(line)
    ]
    try:
        return text_format.Parse(text, model_config_pb2.ModelConfig()), found
    except text_format.ParseError as error:
        return None, [*found, Finding(model, "config.pbtxt", "parse", f"config.pbtxt cannot be read: {error}")]


def frame_findings(
    model: str, config: Any, *, backends: Sequence[str], decoupled: bool | None, batching: bool
) -> Iterator[Finding]:
    """Everything beside tensors and parameters.

    Args:
        model: Its name, that of its directory.
        config: The parsed configuration.
        backends: Backends that may serve it.
        decoupled: Whether it has to be decoupled; None where both work.
        batching: Whether requests have a batch dimension.
    """
    if config.name != model:
        yield Finding(model, "name", "value", f"the name is {config.name!r}, the directory {model!r}")
    if config.backend not in backends:
        yield Finding(model, "backend", "value", f"the backend is {config.backend!r}, not {' or '.join(backends)}")
    if (config.max_batch_size > 0) != batching or config.max_batch_size < 0:
        wanted = "at least 1" if batching else "0"
        yield Finding(model, "max_batch_size", "value", f"max_batch_size is {config.max_batch_size}, not {wanted}")
    if decoupled is not None and config.model_transaction_policy.decoupled != decoupled:
        said = "is not decoupled: it cannot stream" if decoupled else "is decoupled: every call would need a stream"
        yield Finding(model, "model_transaction_policy", "value", f"the model {said}")
    yield from _instance_findings(model, config)
    for descriptor, _ in config.ListFields():
        if descriptor.name not in _TOP | ({"dynamic_batching"} if "tensorrtllm" in backends else set()):
            yield Finding(
                model, descriptor.name, "extra", f"{descriptor.name} is not part of this model's configuration"
            )


def queue_findings(model: str, config: Any) -> Iterator[Finding]:
    """The queue in front of tensorrt_llm."""
    batching = config.dynamic_batching
    if not config.HasField("dynamic_batching"):
        yield Finding(model, "dynamic_batching", "missing", "dynamic_batching is missing: the queue has no limit")
        return
    if list(batching.preferred_batch_size) != [config.max_batch_size]:
        said = list(batching.preferred_batch_size)
        yield Finding(model, "preferred_batch_size", "value", f"preferred_batch_size is {said}, not max_batch_size")
    if batching.default_queue_policy.max_queue_size < 1:
        yield Finding(model, "max_queue_size", "value", "max_queue_size is 0: the queue has no limit")
    plain = type(batching)(
        preferred_batch_size=batching.preferred_batch_size,
        max_queue_delay_microseconds=batching.max_queue_delay_microseconds,
    )
    plain.default_queue_policy.max_queue_size = batching.default_queue_policy.max_queue_size
    if plain != batching:
        yield Finding(
            model, "dynamic_batching", "extra", "dynamic_batching has more than batch size, delay and queue size"
        )


def tensor_findings(model: str, kind: str, wanted: Iterable[Tensor], served: Iterable[Any]) -> Iterator[Finding]:
    """Inputs or outputs against those that are wanted."""
    tensors = {tensor.name: tensor for tensor in wanted}
    found = list(served)
    for name, count in Counter(tensor.name for tensor in found).items():
        if count > 1:
            yield Finding(model, name, "extra", f"{kind} {name} is there {count} times")
        if name not in tensors:
            yield Finding(model, name, "extra", f"{kind} {name} is not one of this model's")
    there = {tensor.name: tensor for tensor in found}
    for name, tensor in tensors.items():
        if name not in there:
            yield Finding(model, name, "missing", f"{kind} {name} is missing")
        else:
            yield from _one_tensor(model, kind, tensor, there[name])


def _one_tensor(model: str, kind: str, wanted: Tensor, served: Any) -> Iterator[Finding]:
    said = f"{kind} {wanted.name}"
    data_type = model_config_pb2.DataType.Name(served.data_type)
    allowed = (f"TYPE_{wanted.data_type}", *_OTHER_TYPES.get(wanted.name, ()))
    before = True
    if data_type not in allowed:
        before = False
        yield Finding(model, wanted.name, "dtype", f"{said} is {data_type}, not {' or '.join(allowed)}")
    if tuple(served.dims) != wanted.dims:
        before = False
        yield Finding(model, wanted.name, "dims", f"{said} has dims {list(served.dims)}, not {list(wanted.dims)}")
    if served.HasField("reshape") != wanted.scalar or list(served.reshape.shape):
        before = False
        shape = list(served.reshape.shape) if served.HasField("reshape") else "none"
        yield Finding(
            model, wanted.name, "reshape", f"{said} has reshape {shape}, not {[] if wanted.scalar else 'none'}"
        )
    if kind == "input" and served.optional != wanted.optional:
        before = False
        yield Finding(model, wanted.name, "optional", f"{said} is {'' if served.optional else 'not '}optional")
    if kind == "input" and served.allow_ragged_batch != wanted.ragged:
        before = False
        yield Finding(
            model, wanted.name, "ragged", f"{said} {'allows' if served.allow_ragged_batch else 'lacks'} ragged batches"
        )
    known = {"name", "data_type", "dims", "reshape", "optional", "allow_ragged_batch"}
    more = [descriptor.name for descriptor, _ in served.ListFields() if descriptor.name not in known]
    if before and more:
        yield Finding(model, wanted.name, "extra", f"{said} has {', '.join(more)}")


def _instance_findings(model: str, config: Any) -> Iterator[Finding]:
    groups = [
        (group.count, model_config_pb2.ModelInstanceGroup.Kind.Name(group.kind)) for group in config.instance_group
    ]
    plain = all(
        {descriptor.name for descriptor, _ in group.ListFields()} <= {"count", "kind"}
        for group in config.instance_group
    )
    if groups != [(1, "KIND_CPU")] or not plain:
        why = {
            "a1": "a second scheduler would have a calibration of its own",
        }.get(model, "the model chooses its GPUs itself, and copies of it are models of their own")
        yield Finding(model, "instance_group", "instances", f"the instances are {groups}, not one of KIND_CPU: {why}")
