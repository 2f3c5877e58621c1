"""A channel to one model of a Triton server."""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Self

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from a1_trt.addresses import channel_options

MAX_SENT_BYTES = 16 * 1024 * 1024  # largest request: some four million tokens
MAX_RECEIVED_BYTES = 2**31 - 1
"""Largest response, which is gRPC's own limit: logits of a segment take 4 bytes a token and vocabulary entry."""
DTYPES = {"INT32": np.int32, "UINT64": np.uint64, "FP16": np.float16, "FP32": np.float32, "BOOL": np.bool_}
Tensors = dict[str, tuple[str, Any]]
"""Name -> data type and values. One dimension: a sequence; two: as they are; the batch's comes in front of both."""


class StreamError(Exception):
    """A stream carried an error."""


class Connection:
    """A channel to one model, and the names of the model's `inputs` and `outputs`."""

    def __init__(self, channel: Any, config: Any) -> None:
        self._channel = channel
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        self._decoupled = config.model_transaction_policy.decoupled
        self.inputs = frozenset(tensor.name for tensor in config.input)
        self.outputs = frozenset(tensor.name for tensor in config.output)

    @classmethod
    async def open(cls, url: str, model: str, timeout_s: float) -> Self:
        options = [
            *channel_options(url),
            ("grpc.max_send_message_length", MAX_SENT_BYTES),
            ("grpc.max_receive_message_length", MAX_RECEIVED_BYTES),
        ]
        channel = grpc.aio.insecure_channel(url, options=options)
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        try:
            answer = await stub.ModelConfig(service_pb2.ModelConfigRequest(name=model), timeout=timeout_s)
        except BaseException:
            await channel.close()
            raise
        return cls(channel, answer.config)

    async def infer(self, request: Any, timeout_s: float) -> Any:
        if not self._decoupled:
            return await self._stub.ModelInfer(request, timeout=timeout_s)
        call = self._stub.ModelStreamInfer(_only(request), timeout=timeout_s)
        try:
            async for answer in call:
                if answer.error_message:
                    raise StreamError(answer.error_message)
                return answer.infer_response
        finally:
            call.cancel()
        raise StreamError("the stream ended without a response")

    async def send(self, request: Any, timeout_s: float) -> None:
        with contextlib.suppress(grpc.RpcError, StreamError):
            await self.infer(request, timeout_s)

    async def close(self) -> None:
        await self._channel.close()


def make_request(
    model: str, prompt: Sequence[int], tensors: Mapping[str, tuple[str, Any]], outputs: Sequence[str], id: str = ""
) -> Any:
    """The message of one request, with a batch of one."""
    # Built by hand: the classes of tritonclient take twice the time.
    request = service_pb2.ModelInferRequest(model_name=model, id=id)
    sent = {"input_ids": ("INT32", prompt), "input_lengths": ("INT32", [len(prompt)]), **tensors}
    for name, (datatype, values) in sent.items():
        array = np.asarray(values, dtype=DTYPES[datatype])
        request.inputs.add(name=name, datatype=datatype, shape=(1, *array.shape))
        request.raw_input_contents.append(array.tobytes())
    for name in outputs:
        request.outputs.add(name=name)
    return request


def read_response(response: Any, outputs: Sequence[str]) -> dict[str, Any]:
    """The outputs of a response that are wanted and there: name -> array of the shape it came with."""
    arrays = {}
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=False):
        if output.name in outputs and output.datatype in DTYPES:
            values = np.frombuffer(raw, dtype=DTYPES[output.datatype])
            shape = tuple(output.shape)
            arrays[output.name] = values.reshape(shape) if values.size == np.prod(shape, dtype=np.int64) else values
    return arrays


async def _only(request: Any) -> AsyncIterator[Any]:
    yield request
