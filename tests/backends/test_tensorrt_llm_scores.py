"""A score by TensorRT-LLM is exactly that of a full prefill, or a typed error: whatever is cached, cut or in flight."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from a1_trt.backends.tensorrt_llm import TensorRtLlmEngine
from a1_trt.errors import EngineError, ScoreShapeError
from tests.doubles import installed

VOCABULARY = 9
LONGEST = 70
spans = st.tuples(st.lists(st.integers(0, 1), max_size=3), st.integers(1, 40), st.integers(1, 25))
"""Which way a chain turns now and then (so chains share beginnings), prompt and segment lengths."""
engines = st.fixed_dictionaries(
    {
        "version": st.sampled_from(["1.2.1", "1.3.0rc11"]),
        "scorer": st.sampled_from(["additional_output", "context_logits"]),
        "block": st.sampled_from([2, 4, 8, 32]),
        "reuse": st.booleans(),
        "partial": st.booleans(),
        "chunk": st.sampled_from([None, 8, 32]),
    }
)
faults = st.sampled_from(["hides_cached_tokens", "rows_padded", "ignores_salt", None])


def chain(turns: list[int], length: int) -> list[int]:
    return [1 + (i + sum(turns[: i // 13])) % (VOCABULARY - 1) for i in range(length)]


async def scores(engine: TensorRtLlmEngine, calls: list[Any]) -> list[Any]:
    """Half of the calls one after the other, half at once and beside generations."""
    found, half = [], len(calls) // 2
    for prompt, segment in calls[:half]:
        found += await asyncio.gather(engine.score(prompt, segment), return_exceptions=True)
    writing = [
        engine.generate(prompt, max_tokens=5, temperature=1.0, seed=seed) for seed, (prompt, _) in enumerate(calls)
    ]
    scoring = [engine.score(prompt, segment) for prompt, segment in calls[half:]]
    outcomes = await asyncio.gather(*scoring, *writing, return_exceptions=True)
    for written in outcomes[len(scoring) :]:
        assert not isinstance(written, BaseException)
    return found + list(outcomes[: len(scoring)])


def run(model: Path, how: dict[str, Any], calls: list[Any], **world: Any) -> tuple[list[Any], list[list[float]]]:
    cache = {
        "tokens_per_block": how["block"],
        "enable_block_reuse": how["reuse"],
        "enable_partial_reuse": how["partial"],
    }
    arguments = {"model": str(model), "max_seq_len": LONGEST + 2, "kv_cache_config": cache}
    if how["chunk"]:
        arguments |= {"enable_chunked_prefill": True, "max_num_tokens": max(how["chunk"], how["block"]) + len(calls)}

    async def scenario() -> list[Any]:
        engine = await TensorRtLlmEngine.open(
            arguments,
            role="target",
            tokenizer=installed.CharacterTokenizer(),
            scorer=how["scorer"],
            check=False,
        )
        try:
            return await scores(engine, calls)
        finally:
            await engine.aclose()

    with installed.tensorrt_llm(version=how["version"], **world):
        from tensorrt_llm._language import true_logprobs

        truth = [true_logprobs([*one, *two], VOCABULARY)[len(one) - 1 :] for one, two in calls]
        return asyncio.run(scenario()), truth


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed.checkpoint(tmp_path_factory.mktemp("model"), vocabulary=VOCABULARY)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(how=engines, spans=st.lists(spans, min_size=2, max_size=10), fault=faults)
def test_a_score_is_that_of_a_full_prefill_or_a_typed_error(model: Path, how: Any, spans: Any, fault: Any) -> None:
    texts = [(chain(turns, n + more), n) for turns, n, more in spans]
    calls = [(tokens[:n], tokens[n:]) for tokens, n in texts]
    found, truth = run(model, how, calls, **({fault: True} if fault else {}))
    for outcome, wanted in zip(found, truth, strict=True):
        if isinstance(outcome, BaseException):
            assert isinstance(outcome, EngineError)
            assert isinstance(outcome, ScoreShapeError)
            assert fault or (how["chunk"] and how["scorer"] == "additional_output")
        else:
            assert outcome == pytest.approx(wanted, abs=1e-4)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(how=engines, widths=st.lists(st.integers(1, 20), min_size=1, max_size=4))
def test_a_chain_that_grows_is_scored_turn_by_turn(model: Path, how: Any, widths: Any) -> None:
    tokens, calls, start = chain([1, 0, 1], LONGEST), [], 6
    for width in widths:
        stop = min(start + width, LONGEST)
        if stop > start:
            calls.append((tokens[:start], tokens[start:stop]))
        start = stop
    found, truth = run(model, {**how, "chunk": None}, calls)
    for outcome, wanted in zip(found, truth, strict=True):
        assert outcome == pytest.approx(wanted, abs=1e-4)
