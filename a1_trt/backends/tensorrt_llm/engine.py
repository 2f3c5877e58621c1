"""Generate and score with TensorRT-LLM in this process.

How a score comes about. A request with the prompt and the segment, for one token, returns a row for each prompt token
that did not come from the KV cache. Rows are matched with tokens from the end, and only when there are exactly as many
as the engine says it computed. The first row of a segment is missing where the cache reached up to it (one prompt in
32 is a whole number of blocks) or into it (another sample began alike), or where two chunks of the prompt met. Then
the value is that of an earlier score of the same tokens, or else the whole is scored once more with a salt of its own,
which shares no cache. Values are never guessed: what is still missing then is a ScoreShapeError.

A request that scores is never aborted: TensorRT-LLM has been seen to crash on that. It is allowed to finish, in the
background if nobody waits for it any more, and counts as in flight until then.
"""

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Self

from a1_trt.backends.checks import ArgumentChecks, closed
from a1_trt.backends.tensorrt_llm import canary, runtime
from a1_trt.backends.tensorrt_llm.byte_semaphore import ByteSemaphore
from a1_trt.backends.tensorrt_llm.requests import Requests
from a1_trt.backends.tensorrt_llm.scorers import AdditionalOutputScorer, Scorer, Tail, choose
from a1_trt.backends.tensorrt_llm.tokenizer import TransformersTokenizer
from a1_trt.config import Pair
from a1_trt.engine import Engine, Generation, ScoreMemory, Tokenizer
from a1_trt.errors import EngineError, ScoreShapeError
from a1_trt.types import Role

_ROUNDING = 1e-4  # how far above 0 a log-prob may come out of float32 arithmetic


class TensorRtLlmEngine(Engine):
    """A model on TensorRT-LLM's LLM API; `open` makes one. Used from one event loop.

    Attributes:
        rescored: Segments that were scored a second time, without the KV cache.
        recalled: Segments that were scored, wholly or in part, by an earlier score of the same tokens.
        canary_report: What the canary measured when the engine was opened; None without a canary.

    Example:
        >>> settings = {"model": "/models/QwQ-32B", "max_seq_len": 16384, "max_num_tokens": 16384}
        >>> engine = await TensorRtLlmEngine.open(settings, role="target")  # doctest: +SKIP
        >>> await engine.score(engine.tokenizer.encode("2 + 2 ="), engine.tokenizer.encode(" 4"))  # doctest: +SKIP
    """

    def __init__(
        self,
        llm: Any,
        tokenizer: Tokenizer,
        *,
        role: Role,
        shape: runtime.ModelShape,
        scorer: Scorer | None,
        end_ids: frozenset[int],
        n_scores: int = 1,
    ) -> None:
        self._tokenizer = tokenizer
        self._role: Role = role
        self._checks = ArgumentChecks(role, shape.max_context_tokens, shape.vocabulary)
        self._scorer = scorer
        self._requests = Requests(llm, role, end_ids)
        self._logits_memory = ByteSemaphore(n_scores * scorer.held_bytes(shape.max_context_tokens) if scorer else 0)
        self._memory = ScoreMemory()
        self._generating: set[Any] = set()
        self._scoring: set[asyncio.Task[Any]] = set()
        self._closed = False
        self.rescored = 0
        self.recalled = 0
        self.canary_report: canary.CanaryReport | None = None

    @classmethod
    async def open(
        cls,
        settings: Mapping[str, Any],
        *,
        role: Role,
        tokenizer: Tokenizer | None = None,
        end_ids: frozenset[int] | None = None,
        scorer: str = "auto",
        n_scores: int = 1,
        check: bool = True,
    ) -> Self:
        """Load a model, and for a target check that its scores are right; takes minutes.

        Args:
            settings: Keyword arguments of `tensorrt_llm.LLM`, nested ones as mappings; "model" and "max_seq_len" are
                needed. See 'a1-trt engine plan'.
            role: "draft" or "target". A draft does not score.
            tokenizer: The model's tokenizer; the checkpoint's own, by transformers, when None.
            end_ids: Tokens that end a text; the checkpoint's own when None.
            scorer: "auto", "additional_output" or "context_logits".
            n_scores: How many whole contexts the GPU memory set aside for the logits of prompts can hold, with
                "context_logits"; other requests wait.
            check: Run the canary on a target; an EngineError if it finds scores that disagree.
        """
        shape = runtime.served_shape(settings)
        version = str(runtime.tensorrt_llm().__version__)
        chosen = choose(scorer, version=version, shape=shape, settings=settings) if role == "target" else None
        if tokenizer is None:
            native = await asyncio.to_thread(TransformersTokenizer.load, str(settings["model"]))
            tokenizer, end_ids = native, end_ids or native.end_ids
        log_probs = isinstance(chosen, AdditionalOutputScorer)
        llm = await asyncio.to_thread(runtime.open_llm, {"skip_tokenizer_init": True, **settings}, log_probs=log_probs)
        engine = cls(
            llm, tokenizer, role=role, shape=shape, scorer=chosen, end_ids=end_ids or frozenset(), n_scores=n_scores
        )
        if chosen is not None and check:
            await engine._pass_canary(version, shape.vocabulary)
        return engine

    @classmethod
    async def for_pair(cls, pair: Pair, role: Role) -> Self:
        """Load the model of a pair's role: a built engine's directory, or a checkpoint; takes minutes."""
        config, model = pair.role(role), str(pair.model_path(role))
        settings = await asyncio.to_thread(runtime.read_settings, model)
        if config.max_context_tokens is not None:
            limit = config.max_context_tokens + 1
            settings["max_seq_len"] = min(limit, settings.get("max_seq_len") or limit)
        return await cls.open(settings, role=role, scorer=config.gpu.scoring, n_scores=runtime.planned_scores(model))

    @property
    def tokenizer(self) -> Tokenizer:
        return self._tokenizer

    @property
    def max_context_tokens(self) -> int:
        return self._checks.max_context_tokens

    @property
    def in_flight(self) -> int:
        """Requests that wait or run in the engine; scores that nobody waits for any more are among them."""
        return len(self._generating) + len(self._scoring)

    async def generate(self, prompt: Sequence[int], *, max_tokens: int, temperature: float, seed: int) -> Generation:
        self._checks.generate(prompt, max_tokens)
        every = self._scorer.every_request if self._scorer else {}
        sampling = self._requests.sampling(max_tokens, temperature=temperature, seed=seed, more=every)
        async with self._logits_memory.acquire(self._held_bytes(len(prompt))):
            output = self._submitted(prompt, sampling)
            self._generating.add(output)
            try:
                return self._requests.generation((await self._requests.finished(output)).outputs[0])
            except asyncio.CancelledError:
                output.abort()
                raise
            finally:
                self._generating.discard(output)

    async def score(self, prompt: Sequence[int], segment: Sequence[int]) -> list[float]:
        self._checks.score(prompt, segment)
        work = asyncio.create_task(self._score([*prompt, *segment], len(prompt)))
        self._scoring.add(work)
        work.add_done_callback(self._forget)
        return await asyncio.shield(work)

    async def measure(self, tokens: Sequence[int], *, scorer: Scorer | None = None, salt: str | None = None) -> Tail:
        """The log-probs that one request yields for int[n_tokens], unfilled: what `score` and the canary are made of.

        Requests share cached prefixes with requests of the same salt only.
        """
        way = scorer or self._scorer
        if way is None:
            remedy = "open the engine with role target"
            raise EngineError("a draft does not score", role=self._role, field="role", remedy=remedy)
        every = self._scorer.every_request if self._scorer else {}
        sampling = self._requests.sampling(1, temperature=0.0, seed=0, more={**every, **way.sampling})
        held = min(max(way.held_bytes(len(tokens)), self._held_bytes(len(tokens))), self._logits_memory.n_bytes)
        async with self._logits_memory.acquire(held):
            try:
                return way.read(await self._requests.finished(self._submitted(tokens, sampling, salt=salt)), tokens)
            except ScoreShapeError as error:
                error.role = self._role
                raise

    async def aclose(self) -> None:
        """Free the engine. Requests that generate are aborted, those that score awaited."""
        if self._closed:
            return
        self._closed = True
        for output in list(self._generating):
            output.abort()
        if self._scoring:
            await asyncio.wait(set(self._scoring))
        await asyncio.to_thread(self._requests.llm.shutdown)

    async def _pass_canary(self, version: str, vocabulary: int) -> None:
        try:
            self.canary_report = await canary.run(self, version=version, vocabulary=vocabulary)
        except BaseException:
            await self.aclose()
            raise

    async def _score(self, tokens: list[int], n_prompt: int) -> list[float]:
        """The log-probs of `tokens` from index `n_prompt` on; holes are filled from memory, or by one more request."""
        prompt, segment = tokens[:n_prompt], tokens[n_prompt:]
        recalled = self._memory.recall(prompt, segment)
        if recalled is not None:
            self.recalled += 1
            return recalled
        values = self._filled(tokens, n_prompt, (await self.measure(tokens)).after(n_prompt))
        if None in values:
            self.rescored += 1
            again = (await self.measure(tokens, salt=uuid.uuid4().hex)).after(n_prompt)
            values = [new if old is None else old for old, new in zip(values, again, strict=True)]
        known = [min(value, 0.0) for value in values if value is not None and value <= _ROUNDING]
        if len(known) != len(segment):
            message = f"the {self._role} engine returned {len(known)} usable log-probs for {len(segment)} tokens"
            remedy = "switch chunked prefill off and give max_num_tokens room for a whole context"
            raise ScoreShapeError(message, role=self._role, field="segment", remedy=remedy)
        self._memory.remember(prompt, segment, known)
        return known

    def _filled(self, tokens: list[int], n_prompt: int, values: list[float | None]) -> list[float | None]:
        """`values` with the holes that an earlier score of the same tokens can fill."""
        holes = [index for index, value in enumerate(values) if value is None]
        for index in holes:
            place = n_prompt + index
            recalled = self._memory.recall(tokens[:place], tokens[place : place + 1])
            values[index] = recalled[0] if recalled else None
        self.recalled += bool(holes) and None not in values
        return values

    def _submitted(self, tokens: Sequence[int], sampling: Any, *, salt: str | None = None) -> Any:
        if self._closed:
            raise closed(self._role)
        return self._requests.submit(tokens, sampling, salt=salt)

    def _held_bytes(self, n_prompt: int) -> int:
        """What any request of this engine holds while it runs, since all of them ask for what the scorer needs."""
        return self._scorer.held_bytes(n_prompt) if self._scorer and self._scorer.every_request else 0

    def _forget(self, work: asyncio.Task[Any]) -> None:
        self._scoring.discard(work)
        if not work.cancelled():
            work.exception()  # seen by whoever awaits the score, if anybody still does
