"""Before a target serves: are its scores the same alone and in company, fresh and from the KV cache?

Each way in which TensorRT-LLM is known, or thought, to return wrong log-probs returns plausible ones. So the engine is
asked for scores that must agree, and refused where they do not.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from a1_trt.backends.tensorrt_llm.runtime import at_least
from a1_trt.backends.tensorrt_llm.scorers import PROMPT_LOGPROBS_SINCE, PromptLogprobsScorer
from a1_trt.engine import Generation
from a1_trt.errors import EngineError

if TYPE_CHECKING:
    from a1_trt.backends.tensorrt_llm.engine import TensorRtLlmEngine

TOLERANCE = 0.25
"""Largest difference of one token's log-prob, nats. Another batch or a cached prefix moves it by rounding, some
hundredths with bfloat16 arithmetic; a row of another token is off by whole nats."""
INNOCENT_TOLERANCE = 1.0
"""Largest loss in mean log-prob of what was generated beside scores, nats a token: greedy text may change at a near
tie, but stays probable; text made from other rows does not."""
_TEXT = "The sum of 12 and 30 is 42, and 7 times 6 is 42 too; 100 less 58 is 42. Let x = 9, so x * x = 81.\n"
_N_TOKENS = 100
_N_COMPANIONS = 6
_N_WRITTEN = 4
"""Tokens that the first companion writes; each writes as many more than the one before, so that they end apart and
scores run beside some of them even where memory lets only few requests in."""
_N_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class CanaryReport:
    """What the canary measured."""

    differences: dict[str, float]  # comparison -> largest difference of a log-prob from a fresh score alone, nats
    innocent_loss: float  # mean log-prob that generations lost by running beside scores, nats a token
    n_cached_tokens: int  # that the score from the KV cache did not compute; 0 where there is no reuse


async def run(engine: TensorRtLlmEngine, *, version: str, vocabulary: int) -> CanaryReport:
    """Compare scores of a target on which nothing else is in flight; an EngineError has the numbers that disagree."""
    tokens = _tokens(engine)
    alone = await _fresh(engine, tokens)
    reused, n_cached = await _reused(engine, tokens)
    differences = {"reused": _difference(alone, reused)}
    if at_least(version, PROMPT_LOGPROBS_SINCE):
        checked = await engine.measure(tokens, scorer=PromptLogprobsScorer(vocabulary), salt=_salt())
        differences["prompt_logprobs"] = _difference(alone, checked.after(1))
    mixed, beside = await _in_company(engine, tokens)
    for name, values in mixed.items():
        differences[name] = _difference(alone, values)
    # Only now: prompts that are in the cache already would hardly be prefilled beside the scores.
    loss = await _loss(engine, tokens, await _write(engine, tokens), beside)
    report = CanaryReport(differences, loss, n_cached)
    _judge(report)
    return report


def _tokens(engine: TensorRtLlmEngine) -> list[int]:
    encoded = engine.tokenizer.encode(_TEXT)
    room = min(_N_TOKENS, engine.max_context_tokens - _N_WRITTEN * _N_COMPANIONS)
    return (encoded * (_N_TOKENS // len(encoded) + 1))[:room]


async def _fresh(engine: TensorRtLlmEngine, tokens: list[int]) -> list[float | None]:
    tail = await engine.measure(tokens, salt=_salt())
    if tail.start != 1:
        raise _refused(f"a request with a salt of its own found {tail.start - 1} tokens in the cache")
    return tail.after(1)


async def _reused(engine: TensorRtLlmEngine, tokens: list[int]) -> tuple[list[float | None], int]:
    """A score whose beginning is in the cache, and how many tokens that are."""
    salt = _salt()
    await engine.measure(tokens[: len(tokens) // 2], salt=salt)
    tail = await engine.measure(tokens, salt=salt)
    return tail.after(1), tail.start - 1


async def _in_company(
    engine: TensorRtLlmEngine, tokens: list[int]
) -> tuple[dict[str, list[float | None]], list[Generation]]:
    """Scores while other requests are prefilled and decoded, and what those wrote."""
    mixed: dict[str, list[float | None]] = {}
    writing = asyncio.create_task(_write(engine, tokens))
    try:
        await asyncio.sleep(0)
        for number in range(_N_ROUNDS):
            fresh, (reused, _) = await asyncio.gather(_fresh(engine, tokens), _reused(engine, tokens))
            mixed |= {f"in company, {number}": fresh, f"reused, in company, {number}": reused}
        return mixed, await writing
    finally:
        writing.cancel()


async def _write(engine: TensorRtLlmEngine, tokens: list[int]) -> list[Generation]:
    """Greedy continuations of prompts of different lengths, of different lengths themselves."""
    calls = (
        engine.generate(prompt, max_tokens=_N_WRITTEN * (number + 1), temperature=0.0, seed=0)
        for number, prompt in enumerate(_prompts(tokens))
    )
    return list(await asyncio.gather(*calls))


def _prompts(tokens: Sequence[int]) -> list[list[int]]:
    return [list(tokens[number : 20 + 9 * number]) for number in range(_N_COMPANIONS)]


async def _loss(
    engine: TensorRtLlmEngine, tokens: list[int], apart: list[Generation], beside: list[Generation]
) -> float:
    """The largest loss in mean log-prob among the generations that came out differently beside scores."""
    losses = [0.0]
    for prompt, one, other in zip(_prompts(tokens), apart, beside, strict=True):
        if one.token_ids and other.token_ids and one.token_ids != other.token_ids:
            means = [await _mean(engine, prompt, written.token_ids) for written in (one, other)]
            losses.append(means[0] - means[1])
    return max(losses)


async def _mean(engine: TensorRtLlmEngine, prompt: list[int], written: tuple[int, ...]) -> float:
    tail = await engine.measure([*prompt, *written], salt=_salt())
    values = [value for value in tail.after(len(prompt)) if value is not None]
    return sum(values) / len(values) if values else 0.0


def _difference(one: Sequence[float | None], other: Sequence[float | None]) -> float:
    """The largest difference of a token that both know; infinite where they know none in common."""
    pairs = [(a, b) for a, b in zip(one, other, strict=True) if a is not None and b is not None]
    return max((abs(a - b) for a, b in pairs), default=float("inf"))


def _judge(report: CanaryReport) -> None:
    worst = max(report.differences, key=lambda name: report.differences[name])
    if not report.differences[worst] <= TOLERANCE:
        raise _refused(
            f"log-probs differ from those of a fresh score alone by up to {report.differences[worst]:.3g} nats "
            f"({worst}; at most {TOLERANCE} is accepted)"
        )
    if report.innocent_loss > INNOCENT_TOLERANCE:
        raise _refused(
            f"what is generated beside scores is {report.innocent_loss:.3g} nats a token less probable than alone "
            f"(at most {INNOCENT_TOLERANCE} is accepted)"
        )


def _refused(what: str) -> EngineError:
    message = f"the canary refuses this engine: {what}"
    remedy = "use another version of TensorRT-LLM, or scorer = 'context_logits' on an engine that only scores"
    return EngineError(message, role="target", field="score", remedy=remedy)


def _salt() -> str:
    return uuid.uuid4().hex
