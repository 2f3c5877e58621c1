"""Asks a live server for a little real work: a token of each model, a score, a problem."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar, cast

from a1_trt.backends.triton import TritonEngine
from a1_trt.client import AsyncClient
from a1_trt.engine import Tokenizer
from a1_trt.errors import EngineTimeout, ScoreShapeError
from a1_trt.types import Role

TOLERANCE = 0.1
"""Largest difference between log-probs of the same tokens, alone and in company; 16-bit arithmetic is off by less."""
_PROMPT = tuple(range(1, 41))
_N_SEGMENT = 8
_N_COMPANIONS = 4
_CONTEXT_TOKENS = 64
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Canary:
    model: str
    seconds: float
    score_difference: float | None = None  # largest, alone and in company; None where it did not score


async def run_canary(url: str, model: str, *, timeout_s: float = 30.0) -> Canary:
    """Have a model, "a1" or one whose name begins with "draft" or "target", do a little work at gRPC's ``host:port``.

    Raises:
        EngineTimeout: A step was not done in `timeout_s`.
        ScoreShapeError: Scores of the same tokens differ by more than `TOLERANCE`, or have the wrong shape.
        A1Error: Whatever else it answers.
    """
    address = url.removeprefix("grpc://")
    if model == "a1":
        started_s = time.monotonic()
        await _in_time(_solve(address), model, timeout_s)
        return Canary(model, time.monotonic() - started_s)
    role: Role = "draft" if model.startswith("draft") else "target"
    # Only ids are sent, so nobody asks the tokenizer; which token ends a text does not matter for one token.
    tokenizer = cast(Tokenizer, None)
    engine = TritonEngine(
        address, model, tokenizer, role=role, max_context_tokens=_CONTEXT_TOKENS, end_ids=(0,), timeout_s=timeout_s
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
        message = f"log-probs of the same tokens differ by {difference:.3f} between alone and in company"
        remedy = "do not serve with this server: its scores are wrong; see docs/gpu.md on scoring"
        raise ScoreShapeError(message, role="target", field="score", remedy=remedy)
    return difference


async def _in_time(work: Awaitable[_T], model: str, timeout_s: float) -> _T:
    try:
        return await asyncio.wait_for(work, timeout_s)
    except TimeoutError:
        message = f"{model} is ready but did not answer in {timeout_s:g} s"
        raise EngineTimeout(message, field="timeout", remedy="see the server's log") from None


async def _solve(address: str) -> None:
    async with AsyncClient(f"grpc://{address}") as client:
        await client.solve("1 + 1 = ", n_samples=1, max_turns=1, draft_tokens=1, target_tokens=1)
