"""A request in the executor, and what its caller sees of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any

import numpy as np

from . import _language
from ._contract import CONTRACT
from ._tensor import Tensor
from ._world import WORLD


class RequestError(RuntimeError):
    """As in tensorrt_llm.executor.utils."""


class Logprob:
    def __init__(self, logprob: float, rank: int | None = None) -> None:
        self.logprob = logprob
        self.rank = rank


class CompletionOutput:
    def __init__(self) -> None:
        for field in CONTRACT["CompletionOutput"]:
            name, default = field["name"], field["default"]
            setattr(self, name, 0 if name == "index" else [] if default == [] else default)


class RequestOutput:
    """Awaitable; made by the executor only."""

    def __init__(self, request: Request, abort: Callable[[Request], None]) -> None:
        self.request_id = request.id
        self.prompt = None
        self.prompt_token_ids = list(request.tokens)
        self.outputs = [CompletionOutput()]
        self.context_logits: Tensor | None = None
        self.cached_tokens = 0
        self._request = request
        self._abort = abort
        self._aborted = False

    @property
    def finished(self) -> bool:
        return self._request.done.done()

    async def aresult(self) -> RequestOutput:
        # The real one waits on a queue: a waiter that goes away leaves the request running.
        await asyncio.shield(self._request.done)
        return self

    def __await__(self) -> Generator[Any, Any, RequestOutput]:
        return self.aresult().__await__()

    def __aiter__(self) -> AsyncIterator[RequestOutput]:
        raise NotImplementedError("the double does not stream")

    def abort(self) -> None:
        self._aborted = True
        self._abort(self._request)

    def aborted(self) -> bool:
        return self._aborted


class Request:
    def __init__(self, number: int, tokens: list[int], sampling: Any, salt: str | None) -> None:
        self.id = number
        self.tokens = tokens
        self.sampling = sampling
        self.salt = None if WORLD.ignores_salt else salt
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.n_cached = -1
        self.computed = 0
        self.state = _language.START
        self.written: list[int] = []
        self.logit_rows: list[np.ndarray] = []
        self.extra_rows: dict[str, list[np.ndarray]] = {}
        self.logits_held = 0
        self.output: RequestOutput

    @property
    def wants_prompt_logprobs(self) -> bool:
        wanted = self.sampling.prompt_logprobs
        return wanted is not None if WORLD.at_least("1.3.0rc11") else bool(wanted)

    @property
    def wants_logits(self) -> bool:
        return bool(self.sampling.return_context_logits) or self.wants_prompt_logprobs

    @property
    def scores(self) -> bool:
        """Whether aborting it is what TensorRT-LLM is known to crash on."""
        asked = self.sampling
        rows = bool(asked.additional_model_outputs) or asked.logprobs is not None or self.wants_prompt_logprobs
        return rows or (bool(asked.return_context_logits) and asked.max_tokens == 1)

    def pick(self, row: np.ndarray) -> int:
        """The next token."""
        how = self.sampling
        greedy = how.top_k == 1 or how.top_p == 0.0 or how.temperature == 0
        if greedy or (how.temperature is None and how.top_p is None and how.top_k is None):
            return int(row.argmax())
        logits = row.astype(np.float64) / (how.temperature or 1.0)
        shares = np.exp(logits - logits.max()).cumsum()
        draw = np.random.default_rng([how.seed or 0, len(self.written)]).random()
        return min(int(np.searchsorted(shares, draw * shares[-1], side="right")), len(row) - 1)
