"""Generate and score on a CPU.

How a score comes about. A request with echo returns the log-probs of its prompt, but only from the second token after
the part that the KV cache already held: the first one is predicted by a hidden state that was not computed again. So

- the scored sequence gets an end-of-text token as its tail: the cache knows a block that is not full by its whole
  content, so the next turn's prompt does not match it, and the cached part ends before the next segment starts;
- where it still reaches into the segment (another sample began alike; the segment starts at a block's edge) the missing
  values are those of an earlier score of the same tokens, or else the whole is scored again without any cache.

Values are never guessed: what is still missing then is a ScoreShapeError. Scores that begin alike go one after another,
so that what they share is computed once (`PrefixSerializer`).

Scores have a pipeline of their own. In one that also generates, the log-probs of a prompt are read from the wrong rows
as soon as another sequence of the batch is decoding: plausible numbers, and all of them wrong.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from a1_trt.backends.checks import ArgumentChecks, closed
from a1_trt.backends.openvino.loading import read_shape
from a1_trt.backends.openvino.pipeline import GenerateRequest, Pipeline, Setup
from a1_trt.backends.openvino.prefix_order import PrefixSerializer
from a1_trt.backends.openvino.process import PipelineProcess
from a1_trt.backends.openvino.tokenizer import OpenVinoTokenizer
from a1_trt.backends.prefixes import BLOCK_TOKENS
from a1_trt.config import Pair
from a1_trt.engine import Engine, Generation, ScoreMemory
from a1_trt.errors import ConfigError, ScoreShapeError
from a1_trt.types import Role

PROPOSED_TOKENS = 5


class OpenVinoEngine(Engine):
    """A model on openvino-genai; `load` makes one. Used from one event loop.

    Attributes:
        rescored: Segments that were scored a second time, without the KV cache.
        recalled: Segments whose first log-probs, or all of them, came from an earlier score of the same tokens.

    Example:
        >>> engine = OpenVinoEngine.load(Path("engines/reference/target"), role="target")  # doctest: +SKIP
        >>> prompt = engine.tokenizer.encode("2 + 2 =")  # doctest: +SKIP
        >>> await engine.generate(prompt, max_tokens=8, temperature=0.0, seed=0)  # doctest: +SKIP
    """

    def __init__(
        self,
        tokenizer: OpenVinoTokenizer,
        setup: Setup,
        *,
        max_context_tokens: int,
        vocabulary: int | None,
        start: Callable[[Setup], Pipeline] = PipelineProcess.start,
    ) -> None:
        self._tokenizer = tokenizer
        self._setup = setup
        self._role: Role = setup.role
        self._checks = ArgumentChecks(setup.role, max_context_tokens, vocabulary)
        self._start = start
        self._generator = start(setup)
        self._end_tokens = self._generator.end_tokens
        self._scorers: dict[bool, Pipeline] = {}
        self._scorers_lock = asyncio.Lock()
        self._memory = ScoreMemory()
        self._serializer = PrefixSerializer(setup.n_blocks)
        self._prompt_serializer = PrefixSerializer(setup.n_blocks)
        self._closed = False
        self.rescored = 0
        self.recalled = 0

    @classmethod
    def load(
        cls,
        model: Path,
        *,
        role: Role,
        max_in_flight: int = 16,
        kv_cache_gb: int = 1,
        max_context_tokens: int | None = None,
        threads: int | None = None,
        precision: str = "f32",
        start: Callable[[Setup], Pipeline] = PipelineProcess.start,
    ) -> OpenVinoEngine:
        """Load a model; takes seconds and blocks.

        Args:
            model: A compiled model directory, or a .gguf file.
            role: "draft" or "target", for error messages.
            max_in_flight: Most sequences in a batch; further calls wait.
            kv_cache_gb: Size of the KV cache, GB; memory is taken when it is used.
            max_context_tokens: Longest prompt plus generation, within the KV cache; the model's own when None.
            threads: Processor threads; one a core when None.
            precision: "f32", or "device" for the processor's own choice.
            start: Loads a pipeline; each has a process of its own, unless this is `Batcher.load`.
        """
        tokenizer = OpenVinoTokenizer.load(model)
        own = read_shape(model)
        n_blocks = own.n_blocks(kv_cache_gb)
        limit = min(max_context_tokens or own.max_context_tokens, (n_blocks - 2) * BLOCK_TOKENS)
        setup = Setup(model, role, max_in_flight, n_blocks, threads=threads, precision=precision)
        return cls(tokenizer, setup, max_context_tokens=limit, vocabulary=own.vocabulary, start=start)

    @classmethod
    def for_pair(
        cls, pair: Pair, role: Role, *, start: Callable[[Setup], Pipeline] = PipelineProcess.start
    ) -> OpenVinoEngine:
        names = {"max_in_flight", "kv_cache_gb", "max_context_tokens", "threads", "precision"}
        return cls.load(pair.model_path(role), role=role, start=start, **pair.role(role).model_dump(include=names))

    @property
    def tokenizer(self) -> OpenVinoTokenizer:
        return self._tokenizer

    @property
    def max_context_tokens(self) -> int:
        return self._checks.max_context_tokens

    @property
    def in_flight(self) -> int:
        return self._generator.in_flight + sum(scorer.in_flight for scorer in self._scorers.values())

    async def generate(self, prompt: Sequence[int], *, max_tokens: int, temperature: float, seed: int) -> Generation:
        self._checks.generate(prompt, max_tokens)
        proposed = PROPOSED_TOKENS if self._setup.proposer is not None else 0
        request = GenerateRequest(max_tokens, tuple(self._end_tokens), temperature, seed, proposed_tokens=proposed)
        async with self._prompt_serializer.turn(prompt) as is_first:
            if is_first and self._setup.reuse_prefixes:  # the others find the prompt in the cache, not each beside it
                await self._generator.run(prompt, GenerateRequest(1))
        output = await self._generator.run(prompt, request)
        ids = output.token_ids
        ended = output.stopped and bool(ids) and ids[-1] in self._end_tokens
        return Generation(tuple(ids[:-1] if ended else ids), ended)

    async def score(self, prompt: Sequence[int], segment: Sequence[int]) -> list[float]:
        self._checks.score(prompt, segment)
        async with self._serializer.turn([*prompt, *segment]):
            known = self._memory.recall(prompt, segment)
            if known is not None:
                self.recalled += 1
                return known
            values = await self._tail(await self._scorer(reuse_prefixes=True), prompt, segment)
            values = self._completed(prompt, segment, values)
        if len(values) < len(segment):
            self.rescored += 1
            values = await self._tail(await self._scorer(reuse_prefixes=False), prompt, segment)
        if len(values) != len(segment) or not all(math.isfinite(value) and value <= 0.0 for value in values):
            message = f"the {self._role} engine returned {len(values)} usable log-probs for {len(segment)} tokens"
            raise ScoreShapeError(message, role=self._role, field="segment")
        self._memory.remember(prompt, segment, values)
        return values

    async def with_draft(self, draft: Engine) -> OpenVinoEngine:
        """Another engine of the same model that lets the draft's model propose tokens and checks them: token-level
        speculative decoding, as openvino-genai has it.
        """
        if not isinstance(draft, OpenVinoEngine):
            message = f"the draft's engine, {type(draft).__name__}, cannot propose tokens within openvino-genai"
            remedy = 'use engine = "openvino" for both models, in this process'
            raise ConfigError(message, field="draft.engine", remedy=remedy)
        # With prefix reuse its pipeline of two models loses count of its tokens and fails (2026.4).
        setup = replace(self._setup, proposer=draft._setup.model, reuse_prefixes=False)  # noqa: SLF001 - same class
        return await asyncio.to_thread(
            OpenVinoEngine,
            self._tokenizer,
            setup,
            max_context_tokens=min(self.max_context_tokens, draft.max_context_tokens),
            vocabulary=self._checks.vocabulary,
            start=self._start,
        )

    async def forget(self) -> None:
        """Drop whatever is kept of earlier prompts, keys and values and scores, by loading the model anew."""
        async with self._scorers_lock:
            pipelines = (self._generator, *self._scorers.values())
            await asyncio.gather(*(asyncio.to_thread(pipeline.close) for pipeline in pipelines))
            self._generator = await asyncio.to_thread(self._start, self._setup)
            # Both scorers, so that nobody has to wait for one to load in the middle of what is measured.
            for reuse_prefixes in (True, False) if self._scorers else ():
                setup = replace(self._setup, reuse_prefixes=reuse_prefixes)
                self._scorers[reuse_prefixes] = await asyncio.to_thread(self._start, setup)
        self._memory = ScoreMemory()
        self._serializer = PrefixSerializer(self._setup.n_blocks)
        self._prompt_serializer = PrefixSerializer(self._setup.n_blocks)

    async def aclose(self) -> None:
        self._closed = True
        async with self._scorers_lock:
            for pipeline in (self._generator, *self._scorers.values()):
                await asyncio.to_thread(pipeline.close)

    async def _tail(self, scorer: Pipeline, prompt: Sequence[int], segment: Sequence[int]) -> list[float]:
        """The log-probs of the last segment tokens that were computed anew, at most n_segment of them."""
        tail = min(self._end_tokens)
        output = await scorer.run([*prompt, *segment, tail], GenerateRequest(1, tuple(self._end_tokens), echo=True))
        known = output.logprobs[:-2]  # without the tail's and that of the token after it
        # Nothing precedes the very first token of a sequence; its place is filled with a number that means nothing.
        computed = min(len(known), len(prompt) + len(segment) - 1)
        return known[len(known) - min(computed, len(segment)) :]

    async def _scorer(self, *, reuse_prefixes: bool) -> Pipeline:
        """A pipeline in which nothing but scores runs, loaded when it is first wanted."""
        async with self._scorers_lock:
            if self._closed:
                raise closed(self._role)
            if reuse_prefixes not in self._scorers:
                setup = replace(self._setup, reuse_prefixes=reuse_prefixes)
                self._scorers[reuse_prefixes] = await asyncio.to_thread(self._start, setup)
        return self._scorers[reuse_prefixes]

    def _completed(self, prompt: Sequence[int], segment: Sequence[int], tail: list[float]) -> list[float]:
        """`tail`, with the values missing before it taken from an earlier score of the same tokens, if there is one."""
        missing = len(segment) - len(tail)
        head = self._memory.recall(prompt, segment[:missing]) if missing else None
        if head is None:
            return tail
        self.recalled += 1
        return head + tail
