"""A draft or a target that a Triton server holds, over gRPC.

The tensors are those of TensorRT-LLM's `tensorrt_llm` model, so one adapter talks to that model and to this project's
own (`triton_models/draft`, `triton_models/target`). A model that is not decoupled is asked by a plain call, which costs
less than a stream; a decoupled one by a stream of its own for each call, so that cancelling one call leaves the others
alone. Cancelling the awaiting task cancels the call on the server either way.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from a1_trt.engine import Generation, Tokenizer
from a1_trt.errors import (
    ContextLengthError,
    EngineError,
    EngineOverloaded,
    EngineTimeout,
    EngineUnavailable,
    ScoreShapeError,
    from_wire,
)
from a1_trt.types import Role

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
_DTYPES = {"INT32": np.int32, "UINT64": np.uint64, "FP32": np.float32, "BOOL": np.bool_}
_Tensors = dict[str, tuple[str, Sequence[Any]]]
"""Name -> data type and values."""
_FULL_QUEUE = "maximum queue size"
_STATUS: dict[grpc.StatusCode, type[EngineError]] = {
    grpc.StatusCode.UNAVAILABLE: EngineUnavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: EngineTimeout,
    grpc.StatusCode.RESOURCE_EXHAUSTED: EngineOverloaded,
}


class TritonEngine:
    """An engine behind Triton. Used from one event loop; one channel carries all its calls.

    Args:
        url: ``host:port`` of the server's gRPC endpoint.
        model: Name of the Triton model, such as "draft".
        tokenizer: The model's tokenizer; tokenizing happens here, not on the server.
        role: "draft" or "target", for error messages.
        max_context_tokens: Longest prompt plus generation.
        end_id: The end-of-text token, for a server that does not know its model's own.
        timeout_s: Longest time of one call, seconds.

    Example:
        >>> engine = TritonEngine("127.0.0.1:8001", "draft", tokenizer, role="draft",
        ...     max_context_tokens=1024)  # doctest: +SKIP
        >>> await engine.generate(tokenizer.encode("2 + 2 ="), max_tokens=8, temperature=0.0, seed=0)  # doctest: +SKIP
    """

    def __init__(
        self,
        url: str,
        model: str,
        tokenizer: Tokenizer,
        *,
        role: Role,
        max_context_tokens: int,
        end_id: int | None = None,
        timeout_s: float = 600.0,
    ) -> None:
        self._url = url.removeprefix("grpc://")
        self._model = model
        self._tokenizer = tokenizer
        self._role: Role = role
        self._max_context_tokens = max_context_tokens
        self._end_id = end_id
        self._timeout_s = timeout_s
        self._connection: asyncio.Task[_Connection] | None = None
        self._closed = False

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""
        return self._tokenizer

    @property
    def max_context_tokens(self) -> int:
        """Longest prompt plus generation."""
        return self._max_context_tokens

    async def generate(self, prompt: Sequence[int], *, max_tokens: int, temperature: float, seed: int) -> Generation:
        """Continue `prompt` by at most `max_tokens` tokens; see `a1_trt.engine.Engine.generate`."""
        self._check_size(prompt=len(prompt), max_tokens=max_tokens)
        tensors: _Tensors = {"request_output_len": ("INT32", [max_tokens]), "seed": ("UINT64", [seed])}
        if temperature > 0.0:
            tensors["temperature"] = ("FP32", [temperature])
        else:
            tensors["runtime_top_k"] = ("INT32", [1])
        if self._end_id is not None:
            tensors["end_id"] = ("INT32", [self._end_id])
        answer = await self._ask(prompt, tensors, ("output_ids", "sequence_length"))
        ids = tuple(answer["output_ids"].tolist()[: int(answer["sequence_length"][0])])
        return Generation(ids, ended=len(ids) < max_tokens)

    async def score(self, prompt: Sequence[int], segment: Sequence[int]) -> list[float]:
        """Log-probs of `segment` after `prompt`; see `a1_trt.engine.Engine.score`."""
        self._check_size(prompt=len(prompt), segment=len(segment))
        tensors: _Tensors = {
            "request_output_len": ("INT32", [1]),
            "draft_input_ids": ("INT32", segment),
            "return_log_probs": ("BOOL", [True]),
        }
        answer = await self._ask(prompt, tensors, ("output_log_probs",))
        values = answer["output_log_probs"].astype(np.float64)[: len(segment)]
        if len(values) < len(segment) or not np.isfinite(values).all():
            raise ScoreShapeError(
                f"{self._model} at {self._url} returned {len(values)} log-probs for {len(segment)} tokens",
                role=self._role,
                field="output_log_probs",
            )
        return [float(value) for value in values]

    async def aclose(self) -> None:
        """Close the channel; a second call does nothing."""
        self._closed = True
        connecting, self._connection = self._connection, None
        if connecting is None:
            return
        connecting.cancel()
        (connection,) = await asyncio.gather(connecting, return_exceptions=True)
        if isinstance(connection, _Connection):
            await connection.channel.close()

    async def _ask(self, prompt: Sequence[int], tensors: _Tensors, outputs: Sequence[str]) -> dict[str, Any]:
        """One request to the model: name of each output -> its values, flat."""
        try:
            connection = await self._connected()
            request = _request(self._model, prompt, tensors | connection.constants, outputs)
            response = await connection.infer(request, self._timeout_s)
        except grpc.RpcError as error:
            raise self._error(error.code(), error.details() or "") from None
        except _StreamError as error:
            raise self._error(None, str(error)) from None
        except asyncio.CancelledError:
            # The call ends like this too when it is not its caller but `aclose` that cancels it.
            if self._closed and not asyncio.current_task().cancelling():  # type: ignore[union-attr]
                raise self._gone() from None
            raise
        return self._values(response, outputs)

    async def _connected(self) -> _Connection:
        if self._closed:
            raise self._gone()
        if self._connection is None or (self._connection.done() and _failed(self._connection)):
            self._connection = asyncio.create_task(_Connection.open(self._url, self._model, self._timeout_s))
        # Shielded: it belongs to all callers, and one of them going away must not fail the others.
        return await asyncio.shield(self._connection)

    def _values(self, response: Any, outputs: Sequence[str]) -> dict[str, Any]:
        found = {
            output.name: np.frombuffer(raw, dtype=_DTYPES[output.datatype])
            for output, raw in zip(response.outputs, response.raw_output_contents, strict=False)
            if output.name in outputs and output.datatype in _DTYPES
        }
        missing = [name for name in outputs if name not in found]
        if missing:
            raise EngineError(
                f"{self._model} at {self._url} answered without {missing[0]}",
                role=self._role,
                field=missing[0],
                remedy="serve a model with the tensors of tensorrt_llm; see 'a1-trt deploy check'",
            )
        return found

    def _check_size(self, **sizes: int) -> None:
        """Refuse here what the server would refuse: each size is at least 1, and together they fit the context."""
        for name, size in sizes.items():
            if size < 1:
                raise EngineError(f"{name} is {size} tokens", role=self._role, field=name, remedy="give at least one")
        if sum(sizes.values()) > self._max_context_tokens:
            raise ContextLengthError(
                f"{' and '.join(f'{name} of {size} tokens' for name, size in sizes.items())} exceed the {self._role} "
                f"model's context of {self._max_context_tokens}",
                role=self._role,
                field=list(sizes)[-1],
                remedy="shorten the prompt, ask for fewer tokens, or choose a model with a longer context",
            )

    def _gone(self) -> EngineUnavailable:
        return EngineUnavailable(f"the {self._role} engine is closed", role=self._role)

    def _error(self, status: grpc.StatusCode | None, details: str) -> EngineError:
        typed = from_wire(details)
        if isinstance(typed, EngineError):
            typed.role = self._role
            return typed
        if self._closed:
            return self._gone()
        kind = EngineOverloaded if _FULL_QUEUE in details else EngineError
        if kind is EngineError and status is not None:
            kind = _STATUS.get(status, EngineError)
        remedy = f"is a Triton server at {self._url}? see 'a1-trt serve'" if kind is EngineUnavailable else None
        said = typed.message if typed else details or str(status)
        field = typed.field if typed else None
        return kind(f"{self._model} at {self._url}: {said}", role=self._role, field=field, remedy=remedy)


class _StreamError(Exception):
    """A stream carried an error instead of a response."""


class _Connection:
    """A channel to one model, and what the model says about itself."""

    def __init__(self, channel: Any, stub: Any, config: Any) -> None:
        self.channel = channel
        self._stub = stub
        self._decoupled = config.model_transaction_policy.decoupled
        takes = {tensor.name for tensor in config.input}
        # TensorRT-LLM answers with the prompt in front unless told otherwise.
        self.constants: _Tensors = (
            {"exclude_input_in_output": ("BOOL", [True])} if "exclude_input_in_output" in takes else {}
        )

    @classmethod
    async def open(cls, url: str, model: str, timeout_s: float) -> _Connection:
        """Connect, and read the model's configuration."""
        options = [
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ]
        channel = grpc.aio.insecure_channel(url, options=options)
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        try:
            said = await stub.ModelConfig(service_pb2.ModelConfigRequest(name=model), timeout=timeout_s)
        except BaseException:
            await channel.close()
            raise
        return cls(channel, stub, said.config)

    async def infer(self, request: Any, timeout_s: float) -> Any:
        """The model's one response to a request."""
        if not self._decoupled:
            return await self._stub.ModelInfer(request, timeout=timeout_s)
        call = self._stub.ModelStreamInfer(_only(request), timeout=timeout_s)
        try:
            async for answer in call:
                if answer.error_message:
                    raise _StreamError(answer.error_message)
                return answer.infer_response
        finally:
            call.cancel()
        raise _StreamError("the stream ended without a response")


async def _only(request: Any) -> AsyncIterator[Any]:
    yield request


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.cancelled() or task.exception() is not None


def _request(model: str, prompt: Sequence[int], tensors: _Tensors, outputs: Sequence[str]) -> Any:
    """The message of one request, with a batch of one."""
    # Built by hand: the classes of tritonclient take twice the time.
    request = service_pb2.ModelInferRequest(model_name=model)
    said = {"input_ids": ("INT32", prompt), "input_lengths": ("INT32", [len(prompt)]), **tensors}
    for name, (datatype, values) in said.items():
        request.inputs.add(name=name, datatype=datatype, shape=(1, len(values)))
        request.raw_input_contents.append(np.asarray(values, dtype=_DTYPES[datatype]).tobytes())
    for name in outputs:
        request.outputs.add(name=name)
    return request
