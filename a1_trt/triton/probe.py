"""Looks at a live server: is it ready, and does it serve what a pair needs?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc
import httpx
from google.protobuf.json_format import MessageToDict
from tritonclient.grpc import service_pb2, service_pb2_grpc

from a1_trt.addresses import channel_options, proxy_note
from a1_trt.errors import DeployError, EngineUnavailable
from a1_trt.triton.render import MODELS
from a1_trt.triton.tensors import A1_INPUTS, A1_OUTPUTS, ENGINE_INPUTS, ENGINE_OUTPUTS, Tensor

_OWN_STATUS = (400, 404)


@dataclass(frozen=True, slots=True)
class ModelReport:
    name: str
    backend: str
    decoupled: bool
    max_batch_size: int  # 0 where requests have no batch dimension
    max_queue_size: int  # 0 is no limit
    optional_absent: tuple[str, ...]  # tensors of ours that it does not have


def probe(url: str, models: tuple[str, ...] = MODELS, *, timeout_s: float = 10.0) -> tuple[ModelReport, ...]:
    """Check that a server is ready and that its models have the tensors that are wanted of them.

    Args:
        url: ``grpc://host:port`` (or without ``grpc://``), or ``http://host:port``.
        models: The models to look at, of "a1", "draft" and "target".
        timeout_s: Longest time of one question to the server, seconds.

    Raises:
        EngineUnavailable: Nothing answers at `url`.
        DeployError: A model is not there or not ready, or lacks a tensor; `field` names the tensor.
    """
    web = url.startswith(("http://", "https://"))
    config = _config_over_http if web else _config_over_grpc
    return tuple(_checked(name, config(url.removeprefix("grpc://").rstrip("/"), name, timeout_s)) for name in models)


def _checked(model: str, config: dict[str, Any]) -> ModelReport:
    inputs, outputs = (A1_INPUTS, A1_OUTPUTS) if model == "a1" else (ENGINE_INPUTS, ENGINE_OUTPUTS)
    absent = []
    for kind, tensors in (("input", inputs), ("output", outputs)):
        served = {tensor["name"]: tensor for tensor in config.get(kind, [])}
        for tensor in tensors:
            if tensor.name not in served and tensor.optional:
                absent.append(tensor.name)
            else:
                _check_tensor(model, kind, tensor, served.get(tensor.name))
    queue = config.get("dynamic_batching", {}).get("default_queue_policy", {})
    decoupled = bool(config.get("model_transaction_policy", {}).get("decoupled", False))
    sizes = int(config.get("max_batch_size", 0)), int(queue.get("max_queue_size", 0))
    return ModelReport(model, config.get("backend", ""), decoupled, *sizes, tuple(absent))


def _check_tensor(model: str, kind: str, wanted: Tensor, served: dict[str, Any] | None) -> None:
    remedy = "serve the repository that 'a1-trt deploy render' writes"
    if served is None:
        raise DeployError(f"model {model} has no {kind} {wanted.name}", model=model, field=wanted.name, remedy=remedy)
    shape = (served["data_type"], tuple(int(size) for size in served["dims"]))
    if shape != (f"TYPE_{wanted.data_type}", wanted.dims):
        message = (
            f"{kind} {wanted.name} of model {model} is {shape[0]} {list(shape[1])}, "
            f"not TYPE_{wanted.data_type} {list(wanted.dims)}"
        )
        raise DeployError(message, model=model, field=wanted.name, remedy=remedy)


def _config_over_grpc(url: str, model: str, timeout_s: float) -> dict[str, Any]:
    with grpc.insecure_channel(url, channel_options(url)) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        try:
            if not stub.ModelReady(service_pb2.ModelReadyRequest(name=model), timeout=timeout_s).ready:
                raise _not_ready(url, model)
            config = stub.ModelConfig(service_pb2.ModelConfigRequest(name=model), timeout=timeout_s).config
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT):
                raise _not_ready(url, model) from None
            raise _silent(url, f"{error.details()}{proxy_note(url)}") from None
    document: dict[str, Any] = MessageToDict(config, preserving_proto_field_name=True)
    return document


def _config_over_http(url: str, model: str, timeout_s: float) -> dict[str, Any]:
    try:
        # Straight to the server: a proxy of the environment does not know it.
        with httpx.Client(timeout=timeout_s, trust_env=False) as http:
            ready = http.get(f"{url}/v2/models/{model}/ready")
            config = http.get(f"{url}/v2/models/{model}/config")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _silent(url, str(error)) from None
    if ready.status_code in _OWN_STATUS or config.status_code in _OWN_STATUS:
        raise _not_ready(url, model)
    if ready.status_code != 200 or config.status_code != 200:
        raise _silent(url, f"HTTP status {config.status_code}")
    document: dict[str, Any] = config.json()
    return document


def _not_ready(url: str, model: str) -> DeployError:
    message = f"the server at {url} has no model {model} that is ready"
    remedy = "see the server's log, or start one with 'a1-trt serve PAIR'"
    return DeployError(message, model=model, field="model", remedy=remedy)


def _silent(url: str, why: str) -> EngineUnavailable:
    message = f"no Triton server answers at {url} ({why})"
    return EngineUnavailable(message, field="url", remedy="start one with 'a1-trt serve PAIR'")
