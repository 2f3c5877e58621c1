"""Asks a live server for a little real work: a token of each model, a score, a problem."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from a1_trt.backends.triton import TritonEngine
from a1_trt.errors import A1Error, EngineError, EngineTimeout, ScoreShapeError, from_wire
from a1_trt.types import Role

TOLERANCE = 0.1
"""Largest difference between log-probs of the same tokens, alone and in company; 16-bit arithmetic is off by less."""
_PROMPT = tuple(range(1, 41))
_N_SEGMENT = 8
_N_COMPANIONS = 4
_CONTEXT_TOKENS = 64
_T = TypeVar("_T")


class _Ids:
    """Stands for a tokenizer where only ids are sent."""

    fingerprint = ""

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        raise NotImplementedError

    def decode(self, token_ids: Sequence[int]) -> str:
        raise NotImplementedError

    def chat(self, system: str, user: str) -> str:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Canary:
    """What one model did.

    Args:
        model: Its name.
        seconds: How long it took for one token, or one problem.
        score_difference: Largest difference between scores of the same tokens, alone and in company; None where the
            model did not score.
    """

    model: str
    seconds: float
    score_difference: float | None = None


async def run_canary(url: str, model: str, *, timeout_s: float = 30.0) -> Canary:
    """Have a model do a little work.

    Args:
        url: ``host:port`` of gRPC.
        model: "a1", or a model whose name begins with "draft" or "target".
        timeout_s: Longest time of each step, seconds.

    Raises:
        EngineTimeout: It did not answer in time.
        ScoreShapeError: Scores of the same tokens differ by more than `TOLERANCE`, or have the wrong shape.
        A1Error: Whatever else it answers.
    """
    address = url.removeprefix("grpc://")
    if model == "a1":
        started_s = time.monotonic()
        await _in_time(_solve(address), model, timeout_s)
        return Canary(model, time.monotonic() - started_s)
    role: Role = "draft" if model.startswith("draft") else "target"
    # Which token ends a text does not matter for one token.
    engine = TritonEngine(
        address, model, _Ids(), role=role, max_context_tokens=_CONTEXT_TOKENS, end_ids=(0,), timeout_s=timeout_s
    )
    try:
        started_s = time.monotonic()
        await _in_time(engine.generate(_PROMPT[:4], max_tokens=1, temperature=0.0, seed=0), model, timeout_s)
        seconds = time.monotonic() - started_s
        difference = await _in_time(_scores(engine), model, timeout_s) if role == "target" else None
        return Canary(model, seconds, difference)
    finally:
        await engine.aclose()


async def _scores(engine: TritonEngine) -> float:
    """The same tokens scored fresh, from the cache, and while others generate: the largest difference."""
    prompt, segment = _PROMPT[:-_N_SEGMENT], _PROMPT[-_N_SEGMENT:]
    first = await engine.score(prompt, segment)
    again = await engine.score(prompt, segment)
    company = [
        asyncio.ensure_future(engine.generate(_PROMPT[: 5 + index], max_tokens=16, temperature=1.0, seed=index))
        for index in range(_N_COMPANIONS)
    ]
    await asyncio.sleep(0)
    mixed = await engine.score(prompt, segment)
    await asyncio.gather(*company)
    difference = max(abs(one - other) for values in (again, mixed) for one, other in zip(first, values, strict=True))
    if difference > TOLERANCE:
        raise ScoreShapeError(
            f"log-probs of the same tokens differ by {difference:.3f} between alone and in company",
            role="target",
            field="score",
            remedy="do not serve with this server: its scores are wrong; see docs/gpu.md on scoring",
        )
    return difference


async def _in_time(work: Awaitable[_T], model: str, timeout_s: float) -> _T:
    try:
        return await asyncio.wait_for(work, timeout_s)
    except TimeoutError:
        raise EngineTimeout(
            f"{model} is ready but did not answer in {timeout_s:g} s", field="timeout", remedy="see the server's log"
        ) from None


async def _solve(address: str) -> None:
    """One sample of one turn of one token."""
    request = service_pb2.ModelInferRequest(model_name="a1")
    text = b"1 + 1 = "
    _add(request, "problem", "BYTES", len(text).to_bytes(4, "little") + text)
    for name, value in (("n_samples", 1), ("max_turns", 1), ("draft_tokens", 1), ("target_tokens", 1)):
        _add(request, name, "INT32", value.to_bytes(4, "little"))
    async with grpc.aio.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        call = stub.ModelStreamInfer(iter([request]))
        try:
            async for answer in call:
                if answer.error_message:
                    raise _error(answer.error_message)
                return
        except grpc.RpcError as error:
            raise _error(error.details() or str(error.code())) from None
        finally:
            call.cancel()
    raise EngineError("a1 ended its stream without an answer", field="a1", remedy="see the server's log")


def _add(request: Any, name: str, datatype: str, raw: bytes) -> None:
    request.inputs.add(name=name, datatype=datatype, shape=(1,))
    request.raw_input_contents.append(raw)


def _error(text: str) -> A1Error:
    return from_wire(text) or EngineError(f"a1 failed: {text}", field="a1", remedy="see the server's log")
