"""Differences between a document as it would be rendered and as it is, and which of them are errors.

A difference is an error where something would fail or go wrong silently; any other one may be meant so: a warning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import MessageToDict

from a1_trt.triton.findings import Finding
from a1_trt.triton.tensorrt_llm import Setting
from a1_trt.types import ROLES

Findings = tuple[list[Finding], list[Finding]]
"""Errors and warnings."""
_CODES = {"data_type": "dtype", "allow_ragged_batch": "ragged", "instance_group": "instances"}
_CODES |= {name: name for name in ("dims", "reshape", "optional")}
_OPTIONAL = {
    *(f"{role}_{what}" for role in ROLES for what in ("models", "context_tokens")),
    "recv_poll_period_ms",  # documented for tensorrt_llm, and not in its template
}
"""Parameters that a model may have or not."""
_REASONS = {
    "instance_group": "the model chooses its GPUs itself, copies of it are models of their own, and a second scheduler "
    "would have a calibration of its own",
    "dynamic_batching": "the queue would have no limit, or another order",
    "model_transaction_policy": "a1 streams, and a model that does is called by a stream",
    # compose.yaml and kubernetes.yaml
    "strategy": "there would be two schedulers for a time, each with a calibration of its own",
    "clusterIP": "copies have no names without a headless service",
    "httpGet": "probes have to ask /v2/health",
    "containerPort": "nothing would reach the server",
    "runAsNonRoot": "the server would run as root",
    "A1_TRT_GRPC_URL": "a1 would not find its server",
    "nvidia.com/gpu": "a role needs a GPU, and the scheduler must not hold one",
}
_MUST_EQUAL = ("strategy", "clusterIP", "httpGet", "containerPort", "runAsNonRoot", "A1_TRT_GRPC_URL")
_MUST_EXIST = (*_MUST_EQUAL, "nvidia.com/gpu")


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that is not as it would be rendered; a value is None where the field is absent."""

    path: tuple[str, ...]
    expected: Any
    actual: Any

    @property
    def code(self) -> str:
        part = self.path[min(2, len(self.path) - 1)]
        absent = "missing" if self.actual is None else "extra" if self.expected is None else "value"
        return _CODES.get(part, absent)

    def __str__(self) -> str:
        name = ".".join(self.path)
        if self.actual is None:
            return f"{name} is missing"
        return f"{name} is {self.actual!r}, not {self.expected!r}" if self.expected is not None else f"{name} is extra"


def differences(expected: Any, actual: Any, path: tuple[str, ...] = ()) -> Iterator[Difference]:
    """The leaves in which two documents differ; items of a list that have names are compared by name.

    Example:
        >>> print(*differences({"a": 1, "b": [{"name": "x", "c": 2}]}, {"a": 1, "b": [{"name": "x", "c": 3}]}))
        b.x.c is 3, not 2
    """
    expected, actual = _by_name(expected), _by_name(actual)
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        for key in dict.fromkeys([*expected, *actual]):
            yield from differences(expected.get(key), actual.get(key), (*path, str(key)))
    elif expected != actual:
        yield Difference(path, expected, actual)


def config_findings(model: str, expected: Any, actual: Any, settings: Mapping[str, Setting]) -> Findings:
    """How a ModelConfig differs from the rendered one; `settings`: what may be in parameters that may differ."""
    errors: list[Finding] = []
    warnings: list[Finding] = []
    for difference in differences(_document(expected), _document(actual)):
        top, field = difference.path[0], difference.path[min(1, len(difference.path) - 1)].partition("#")[0]
        is_value = top == "parameters" and difference.code == "value"
        setting = settings.get(field) if is_value else None
        fault = setting.fault(difference.actual) if setting else None
        if fault is not None:
            code = "reuse" if field == "enable_kv_cache_reuse" else "value"
            errors.append(Finding(model, field, code, f"{field} is {difference.actual!r}, {fault}"))
            continue
        is_legal = setting is not None or _is_legal(difference, actual, is_theirs=expected.backend == "tensorrtllm")
        reason = f": {_REASONS[top]}" if top in _REASONS and not is_legal else ""
        (warnings if is_legal else errors).append(Finding(model, field, difference.code, f"{difference}{reason}"))
    return errors, warnings


def document_findings(name: str, expected: Any, actual: Any, model: str = "") -> Findings:
    """How settings.json, compose.yaml or kubernetes.yaml, parsed, differs from the rendered one."""
    errors: list[Finding] = []
    warnings: list[Finding] = []
    for difference in differences(expected, actual):
        names = {*difference.path, *(_names(difference.expected) if difference.actual is None else ())}
        is_absent = not difference.actual or difference.expected is None  # 0 GPUs are none
        broken = [key for key in (_MUST_EXIST if is_absent else _MUST_EQUAL) if key in names]
        field, message = ".".join(difference.path), f"{name}: {difference}"
        if broken:
            errors.append(Finding(model, field, "value", f"{message}: {_REASONS[broken[0]]}"))
        else:
            warnings.append(Finding(model, field, "changed", message))
    return errors, warnings


def parameters_of(config: Any) -> dict[str, str]:
    return {key: value.string_value for key, value in config.parameters.items()}


def _document(config: Any) -> dict[str, Any]:
    document: dict[str, Any] = MessageToDict(config, preserving_proto_field_name=True)
    if not config.model_transaction_policy.decoupled:
        document.pop("model_transaction_policy", None)  # without it a model is not decoupled either
    return document | {"parameters": parameters_of(config)}


def _by_name(value: Any) -> Any:
    """A list of mappings with names, as a mapping; a name that comes again gets a number."""
    if not isinstance(value, list) or not value or not all(isinstance(item, Mapping) for item in value):
        return value
    named: dict[str, Any] = {}
    for item in value:
        metadata = item.get("metadata")
        name = f"{item.get('kind')}/{metadata.get('name')}" if isinstance(metadata, Mapping) else item.get("name")
        if name is None:
            return value
        named[str(name) if name not in named else f"{name}#{len(named)}"] = item
    return named


def _names(value: Any) -> set[str]:
    value = _by_name(value)
    if not isinstance(value, Mapping):
        return set()
    return {str(key) for key in value}.union(*(_names(item) for item in value.values()))


def _is_legal(difference: Difference, config: Any, *, is_theirs: bool) -> bool:
    """Whether a configuration may differ so; `is_theirs` for TensorRT-LLM's own model."""
    value = difference.actual
    match difference.path:
        case ("max_batch_size",):
            return difference.expected is not None and (value or 0) > 0
        case ("backend",):
            return is_theirs and value in ("tensorrtllm", "python")
        case ("model_transaction_policy", *_):
            return is_theirs
        case ("parameters", key):
            return key in _OPTIONAL
        case ("input", "encoder_input_features", "data_type"):
            return bool(value == "TYPE_BF16")
        case ("dynamic_batching", "preferred_batch_size"):
            return bool(value == [config.max_batch_size])
        case ("dynamic_batching", "default_queue_policy", "max_queue_size"):
            return (value or 0) > 0
    return difference.path == ("dynamic_batching", "max_queue_delay_microseconds")
