"""Iterations of in-flight batching: prompts (or chunks of them) first, then a token for each request that generates."""

from __future__ import annotations

import asyncio
import weakref
from typing import Any

import numpy as np

from . import _language
from ._cache import Blocks
from ._model import AttentionMetadata
from ._request import Logprob, Request, RequestError, RequestOutput
from ._tensor import Tensor
from ._world import WORLD


class Executor:
    def __init__(self, model: Any, *, vocabulary: int, blocks: Blocks | None, limits: dict[str, Any]) -> None:
        self._model = model
        self._vocabulary = vocabulary
        self._blocks = blocks
        self._limits = limits
        self._active: list[Request] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._dead: str | None = None

    @property
    def n_active(self) -> int:
        return len(self._active)

    def submit(self, request: Request) -> RequestOutput:
        if self._dead:
            raise RuntimeError(self._dead)
        request.output = RequestOutput(request, self._abort)
        self._active.append(request)
        self._loop = asyncio.get_running_loop()
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._run())
        return request.output

    def stop(self) -> None:
        """From another thread."""
        self._dead = "LLM is shutting down"
        if self._loop is not None and not self._loop.is_closed() and self._active:
            self._loop.call_soon_threadsafe(self._die, self._dead)

    def _die(self, why: str) -> None:
        self._dead = why
        for request in list(self._active):
            self._fail(request, why)

    def _fail(self, request: Request, why: str) -> None:
        if request in self._active:
            self._active.remove(request)
        if not request.done.done():
            request.done.set_exception(RequestError(why))
            request.done.exception()

    def _abort(self, request: Request) -> None:
        if request.done.done():
            return
        if request.scores and WORLD.aborting_scores_crashes:
            self._die("the engine died: segmentation fault")
            return
        self._active.remove(request)
        request.output.outputs[0].finish_reason = "cancelled"
        request.output.outputs[0].token_ids = list(request.written)
        request.done.set_result(None)

    async def _run(self) -> None:
        while self._active:
            prompts, writing = self._schedule()
            try:
                if not prompts and not writing:
                    raise RuntimeError("max_num_tokens has no room for a block")  # noqa: TRY301
                self._step(prompts, writing)
            except Exception as error:  # noqa: BLE001  a failed iteration fails its requests
                for request in [*(one for one, _ in prompts), *writing] or list(self._active):
                    self._fail(request, f"{type(error).__name__}: {error}")
            await asyncio.sleep(0)

    def _schedule(self) -> tuple[list[tuple[Request, int]], list[Request]]:
        """Prompts with the size of their next chunk, and requests that generate."""
        writing = [one for one in self._active if one.computed == len(one.tokens)][: self._limits["max_batch_size"]]
        room, prompts = self._limits["max_num_tokens"] - len(writing), []
        for one in self._active:
            if one.computed == len(one.tokens) or len(prompts) + len(writing) >= self._limits["max_batch_size"]:
                continue
            if one.n_cached < 0:
                self._begin(one)
            left = len(one.tokens) - one.computed
            size = min(left, room) if self._limits["chunked"] else left
            if self._limits["chunked"] and size < left:
                size -= size % self._limits["block"]
            if 0 < size <= room:
                prompts.append((one, size))
                room -= size
        return prompts, writing

    def _begin(self, one: Request) -> None:
        one.n_cached = self._blocks.n_cached(one.salt, one.tokens) if self._blocks else 0
        one.computed = one.n_cached
        one.state = _language.states(one.tokens[: one.n_cached])[-1] if one.n_cached else _language.START
        one.output.cached_tokens = 0 if WORLD.hides_cached_tokens else one.n_cached

    def _step(self, prompts: list[tuple[Request, int]], writing: list[Request]) -> None:
        chunks = [one.tokens[one.computed : one.computed + size] for one, size in prompts]
        ids = [token for chunk in chunks for token in chunk] + [one.written[-1] for one in writing]
        lengths = [len(chunk) for chunk in chunks] + [1] * len(writing)
        before = [one.state for one, _ in prompts] + [one.state for one in writing]
        any_logits = any(one.wants_logits for one, _ in prompts)
        answer = self._model.forward(
            attn_metadata=AttentionMetadata(lengths, len(prompts), before),
            input_ids=Tensor(np.asarray(ids, np.int32)),
            position_ids=None,
            inputs_embeds=None,
            return_context_logits=any_logits,
            spec_metadata=None,
            lora_params=None,
        )
        outputs = answer if isinstance(answer, dict) else {"logits": answer}
        for one, chunk in [*zip((one for one, _ in prompts), chunks, strict=True)]:
            one.state = _language.states(chunk, one.state)[-1]
            one.computed += len(chunk)
        for one in writing:
            one.state = _language.advance(one.state, one.written[-1])
        self._take_extras(outputs, prompts, writing)
        self._take_logits(outputs["logits"]._array, prompts, writing, any_logits)

    def _take_extras(
        self, outputs: dict[str, Tensor], prompts: list[tuple[Request, int]], writing: list[Request]
    ) -> None:
        everybody = [*(one for one, _ in prompts), *writing]
        lists = [one.sampling.additional_model_outputs for one in everybody]
        if all(names is None for names in lists):
            return
        if None in lists and WORLD.lists_and_nulls_fail:
            raise TypeError("'NoneType' object is not iterable")
        n_prompt_tokens = sum(size for _, size in prompts)
        for name in {name for names in lists for name in names or ()}:
            rows = outputs[name]._array
            if rows.ndim != 2:
                raise ValueError(f"{name} is not [num_tokens, k]")
            if WORLD.rows_padded:
                rows = np.concatenate([rows, np.zeros_like(rows[:1])])
            if WORLD.company_shifts_rows and len(everybody) > 1:
                rows = np.roll(rows, 1, axis=0)
            if rows.shape[0] != n_prompt_tokens + len(writing):
                continue  # it takes them for rows of generated tokens, and drops what it knows of the prompt
            place = 0
            for one, size in prompts:
                if name in (one.sampling.additional_model_outputs or ()):
                    one.extra_rows.setdefault(name, []).append(self._drifted(one, rows[place : place + size]))
                place += size

    def _take_logits(
        self, logits: np.ndarray, prompts: list[tuple[Request, int]], writing: list[Request], any_logits: bool
    ) -> None:
        place = 0
        for one, size in prompts:
            n_rows = size if any_logits else 1
            if any_logits and not one.wants_logits and WORLD.mixed_flags_misread:
                n_rows = 1
            rows = logits[place : place + n_rows]
            place += n_rows
            if one.wants_logits:
                self._hold(one)
                shifted = np.roll(rows, 1, axis=0) if WORLD.company_shifts_rows and len(prompts) > 1 else rows
                one.logit_rows.append(self._drifted(one, shifted))
            if one.computed == len(one.tokens):
                if self._blocks:
                    self._blocks.store(one.salt, one.tokens, tail=False)
                self._write(one, rows[-1])
        for one in writing:
            self._write(one, logits[0 if WORLD.prompts_spoil_writing and prompts else place])
            place += 1

    def _drifted(self, one: Request, rows: np.ndarray) -> np.ndarray:
        if not one.n_cached or not WORLD.reuse_drifts:
            return rows
        noise = np.random.default_rng(one.n_cached).uniform(-1, 1, rows.shape).astype(rows.dtype)
        return rows + WORLD.reuse_drifts * noise - (WORLD.reuse_drifts if rows.shape[1] == 1 else 0)

    def _hold(self, one: Request) -> None:
        """The first row allocates room for those of the whole prompt."""
        if one.logit_rows:
            return
        n_bytes = len(one.tokens) * self._vocabulary * 4
        WORLD.held_logits_bytes += n_bytes
        WORLD.peak_logits_bytes = max(WORLD.peak_logits_bytes, WORLD.held_logits_bytes)
        one.logits_held = n_bytes
        if WORLD.gpu_logits_bytes is not None and WORLD.held_logits_bytes > WORLD.gpu_logits_bytes:
            self._die("the engine died: CUDA out of memory")
            raise MemoryError("CUDA out of memory")
        weakref.finalize(one.output, _release, n_bytes)

    def _write(self, one: Request, row: np.ndarray) -> None:
        token = one.pick(row)
        one.written.append(token)
        how = one.sampling
        stops = [] if how.ignore_eos else [how.end_id, *(how.stop_token_ids or ())]
        full = len(one.written) >= how.max_tokens or len(one.tokens) + len(one.written) >= self._limits["max_seq_len"]
        if token in stops:
            self._finish(one, "stop")
        elif full:
            self._finish(one, "length")

    def _finish(self, one: Request, reason: str) -> None:
        self._active.remove(one)
        if self._blocks:
            self._blocks.store(one.salt, [*one.tokens, *one.written[:-1]], tail=True)
        answer = one.output.outputs[0]
        answer.finish_reason = reason
        answer.token_ids = list(one.written)
        if one.extra_rows:
            answer.additional_context_outputs = {
                name: Tensor(np.concatenate(rows)) for name, rows in one.extra_rows.items()
            }
        if one.wants_logits:
            rows = np.concatenate(one.logit_rows)
            if one.sampling.return_context_logits:
                one.output.context_logits = Tensor(rows)
            if one.wants_prompt_logprobs:
                answer.prompt_logprobs = _prompt_logprobs(one, rows)
        one.logit_rows = []
        del one.output  # what it holds is freed with the caller's last reference
        if not one.done.done():
            one.done.set_result(None)


def _release(n_bytes: int) -> None:
    WORLD.held_logits_bytes -= n_bytes


def _prompt_logprobs(one: Request, rows: np.ndarray) -> list[dict[int, Logprob]]:
    """The most probable tokens after each computed prompt token; since 1.3.0rc11 with "the" next one of the prompt.

    That is counted from the prompt's head, while the rows are its tail: the two match only without a cached prefix.
    """
    logs = rows.astype(np.float64)
    logs -= logs.max(axis=1, keepdims=True)
    logs -= np.log(np.exp(logs).sum(axis=1, keepdims=True))
    entries = []
    targets = [*one.tokens[1:], one.written[0]]
    for i, row in enumerate(logs):
        best = np.argsort(-row)[: one.sampling.prompt_logprobs]
        entry = {int(token): Logprob(float(row[token]), rank + 1) for rank, token in enumerate(best)}
        if WORLD.at_least("1.3.0rc11"):
            entry.setdefault(targets[i], Logprob(float(row[targets[i]])))
        entries.append(entry)
    return entries
