"""Problems solved by a Triton server, over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
import numpy as np
from tritonclient import grpc as triton
from tritonclient.grpc import aio

from a1_trt.addresses import channel_options
from a1_trt.client._transport import UNKNOWN_PAIR, Events, retried, unreachable
from a1_trt.client._wire import DATATYPES, MODEL, events_of, tensors_of, typed_error
from a1_trt.errors import A1Error, Cancelled, EngineError
from a1_trt.requests import Options
from a1_trt.types import Problem, ProblemFinished

_LIMITS = [(f"grpc.max_{way}_message_length", triton.MAX_GRPC_MESSAGE_SIZE) for way in ("send", "receive")]
_NUMPY = {"INT32": np.int32, "INT64": np.int64, "FP32": np.float32, "BOOL": np.bool_, "BYTES": np.object_}


class GrpcTransport:
    """One gRPC channel to ``host:port``; every problem is a stream of its own on it."""

    defaults = UNKNOWN_PAIR

    def __init__(self, address: str) -> None:
        self._address = address
        self._client: Any = None

    def events(self, problem: Problem, options: Options, *, live: bool) -> Events:
        """See `Transport`."""
        tensors = tensors_of(problem, options.given, live=live)
        return retried(lambda: self._once(tensors, problem))

    async def aclose(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _once(self, tensors: Mapping[str, Any], problem: Problem) -> Events:
        if self._client is None:  # made here, because a channel belongs to the running event loop
            self._client = aio.InferenceServerClient(
                self._address, channel_args=[*_LIMITS, *channel_options(self._address)]
            )
        responses = self._client.stream_infer(_one_request(tensors, problem.id))
        try:
            async for response, error in responses:
                if error is not None:
                    raise typed_error(error.message())
                for event in events_of(response.as_numpy("event")[0], problem):
                    yield event
                    if isinstance(event, ProblemFinished):
                        return
        except grpc.RpcError as error:
            raise _connection_error(self._address, error) from None
        except asyncio.CancelledError:
            if asyncio.current_task().cancelling():  # type: ignore[union-attr]
                raise
            # gRPC ends a call like this, too, when it is closed or the request cannot be made into a message.
            if self._client is None:
                raise Cancelled("the client was closed", remedy="make a new one") from None
            raise EngineError(f"the request to {self._address} could not be sent") from None
        finally:
            responses.cancel()


async def _one_request(tensors: Mapping[str, Any], id: str) -> AsyncIterator[dict[str, Any]]:
    yield {
        "model_name": MODEL,
        "inputs": [_input(name, value) for name, value in tensors.items()],
        "outputs": [triton.InferRequestedOutput("event")],
        "request_id": id,
    }


def _input(name: str, value: Any) -> triton.InferInput:
    datatype = DATATYPES[name]
    tensor = triton.InferInput(name, [1], datatype)
    value = value.encode() if isinstance(value, str) else value
    tensor.set_data_from_numpy(np.array([value], dtype=_NUMPY[datatype]))
    return tensor


def _connection_error(address: str, error: grpc.RpcError) -> A1Error:
    status, details = error.code(), error.details() or ""
    if status == grpc.StatusCode.UNAVAILABLE:
        return unreachable(address, details)
    return typed_error(f"{status.name}: {details}")
