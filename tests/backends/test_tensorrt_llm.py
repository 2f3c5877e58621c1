"""What is particular to the TensorRT-LLM engine, on the strict double of the package."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from a1_trt.backends.tensorrt_llm import TensorRtLlmEngine, canary
from a1_trt.backends.tensorrt_llm.requests import typed_error
from a1_trt.backends.tensorrt_llm.runtime import ModelShape, open_llm, planned_scores, read_settings
from a1_trt.backends.tensorrt_llm.scorers import (
    AdditionalOutputScorer,
    ContextLogitsScorer,
    PromptLogprobsScorer,
    choose,
)
from a1_trt.backends.tensorrt_llm.token_logprobs import token_logprobs
from a1_trt.config import make_pair
from a1_trt.errors import (
    ConfigError,
    ContextLengthError,
    EngineError,
    EngineOverloaded,
    EngineTimeout,
    EngineUnavailable,
    ScoreShapeError,
)
from a1_trt.runtime.session import open_session
from tests.doubles import installed

TEXT = "12 + 30 = 42\n7 * 6 = 42\n100 - 58 = 42\n" * 4
TOKENS = [ord(character) for character in TEXT]
SCORERS = ["additional_output", "context_logits"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return installed.checkpoint(tmp_path / "model")


@asynccontextmanager
async def opened(model: Path, *, scorer: str = "auto", settings: Any = None, **how: Any) -> Any:
    said = {"model": str(model), "max_seq_len": 301, **(settings or {})}
    options = {"tokenizer": installed.CharacterTokenizer(), "end_ids": frozenset([0]), "role": "target"} | how
    engine = await TensorRtLlmEngine.open(said, scorer=scorer, **options)
    try:
        yield engine
    finally:
        await engine.aclose()


# The canary.


@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize("version", ["1.2.1", "1.3.0rc11"])
def test_the_canary_lets_a_right_engine_pass(model: Path, scorer: str, version: str) -> None:
    async def scenario() -> canary.CanaryReport:
        async with opened(model, scorer=scorer) as engine:
            return engine.canary_report

    with installed.tensorrt_llm(version=version):
        report = asyncio.run(scenario())
    assert max(report.differences.values()) < 1e-4
    assert report.n_cached_tokens >= 32
    assert ("prompt_logprobs" in report.differences) == (version == "1.3.0rc11")


@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize(
    "fault",
    [
        {"reuse_drifts": 1.0},
        {"company_shifts_rows": True},
        {"prompts_spoil_writing": True},
        {"hides_cached_tokens": True},
        {"ignores_salt": True},
    ],
    ids=lambda fault: next(iter(fault)),
)
def test_the_canary_finds_scores_that_disagree(model: Path, scorer: str, fault: Any) -> None:
    async def scenario() -> None:
        async with opened(model, scorer=scorer):
            pass

    with installed.tensorrt_llm(**fault), pytest.raises(EngineError) as caught:
        asyncio.run(scenario())
    assert caught.value.remedy
    assert any(character.isdigit() for character in caught.value.message)


def test_the_canary_finds_dropped_rows(model: Path) -> None:
    async def scenario() -> None:
        async with opened(model, scorer="additional_output"):
            pass

    with installed.tensorrt_llm(rows_padded=True), pytest.raises(ScoreShapeError, match="a1_token_logprob"):
        asyncio.run(scenario())


class CarelessLogits(ContextLogitsScorer):
    """Forgets that the others have to ask for logits, too."""

    every_request: ClassVar[Any] = {}


class CarelessOutputs(AdditionalOutputScorer):
    """Forgets that the others have to carry a list, too."""

    every_request: ClassVar[Any] = {}


async def careless(model: Path, scorer: Any) -> canary.CanaryReport:
    settings = {"skip_tokenizer_init": True, **read_settings(str(model))}
    engine = TensorRtLlmEngine(
        open_llm(settings, log_probs=True),
        installed.CharacterTokenizer(),
        role="target",
        shape=ModelShape("Qwen2ForCausalLM", 128, 300),
        scorer=scorer,
        end_ids=frozenset([0]),
        n_scores=1000,
    )
    try:
        return await canary.run(engine, version="1.2.1", vocabulary=128)
    finally:
        await engine.aclose()


@pytest.mark.parametrize("scorer", [CarelessLogits(128), CarelessOutputs()], ids=SCORERS)
def test_the_canary_finds_batches_of_requests_that_differ(model: Path, scorer: Any) -> None:
    with installed.tensorrt_llm(), pytest.raises(EngineError):
        asyncio.run(careless(model, scorer))


@pytest.mark.parametrize("scorer", [CarelessLogits(128), CarelessOutputs()], ids=SCORERS)
def test_without_the_fault_batches_may_differ(model: Path, scorer: Any) -> None:
    with installed.tensorrt_llm(mixed_flags_misread=False, lists_and_nulls_fail=False):
        assert max(asyncio.run(careless(model, scorer)).differences.values()) < 1e-4


# Scores nobody waits for, and memory.


@pytest.mark.parametrize("scorer", SCORERS)
def test_a_score_that_is_cancelled_is_allowed_to_finish(model: Path, scorer: str) -> None:
    async def scenario() -> None:
        async with opened(model, scorer=scorer) as engine:
            calls = [asyncio.ensure_future(engine.score(TOKENS[: 9 + i], TOKENS[9 + i : 60])) for i in range(9)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            for call in calls[1:]:
                call.cancel()
            assert engine._requests.llm._executor.n_active > 0
            await asyncio.wait(calls[1:])
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert len(outcomes[0]) == 51
            assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes[1:])
            while engine.in_flight:
                await asyncio.sleep(0)
            assert engine._requests.llm._executor.n_active == 0
            assert len(await engine.score(TOKENS[:20], TOKENS[20:70])) == 50

    with installed.tensorrt_llm(aborting_scores_crashes=True):
        asyncio.run(scenario())


def test_closing_awaits_scores_and_aborts_the_rest(model: Path) -> None:
    async def scenario() -> list[Any]:
        async with opened(model) as engine:
            scoring = asyncio.ensure_future(engine.score(TOKENS[:20], TOKENS[20:60]))
            writing = asyncio.ensure_future(engine.generate(TOKENS[:20], max_tokens=200, temperature=0.0, seed=0))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await engine.aclose()
            return await asyncio.gather(scoring, writing, return_exceptions=True)

    with installed.tensorrt_llm(aborting_scores_crashes=True):
        scored, written = asyncio.run(scenario())
    assert len(scored) == 40
    assert isinstance(written, EngineUnavailable)


def test_logits_of_prompts_never_need_more_memory_than_is_set_aside(model: Path) -> None:
    room = 3 * 300 * 128 * 4

    async def scenario() -> None:
        async with opened(model, scorer="context_logits", n_scores=3) as engine:
            scores = [engine.score(TOKENS[: 5 + i], TOKENS[5 + i : 140]) for i in range(20)]
            texts = [engine.generate(TOKENS[i:90], max_tokens=4, temperature=0.0, seed=0) for i in range(20)]
            outcomes = await asyncio.gather(*scores, *texts)
            assert [len(values) for values in outcomes[:20]] == [135 - i for i in range(20)]
            assert engine._logits_memory.free_bytes == engine._logits_memory.n_bytes

    with installed.tensorrt_llm(gpu_logits_bytes=room) as world:
        asyncio.run(scenario())
        assert room / 2 < world.peak_logits_bytes <= room


def test_more_logits_than_there_is_memory_for_end_the_double(model: Path) -> None:
    async def scenario() -> None:
        async with opened(model, scorer="context_logits", n_scores=1000) as engine:
            await asyncio.gather(*(engine.score(TOKENS[: 5 + i], TOKENS[5 + i : 140]) for i in range(20)))

    with installed.tensorrt_llm(gpu_logits_bytes=10 * 100 * 128 * 4), pytest.raises(EngineError, match="memory"):
        asyncio.run(scenario())


# Which scorer, and from which version on.


@pytest.mark.parametrize(
    ("wanted", "version", "architecture", "settings", "kind"),
    [
        ("auto", "1.2.1", "Qwen2ForCausalLM", {}, AdditionalOutputScorer),
        ("auto", "1.3.0rc11", "LlamaForCausalLM", {}, AdditionalOutputScorer),
        ("auto", "1.2.1", "MixtralForCausalLM", {}, ContextLogitsScorer),
        ("auto", "1.2.1", "Qwen2ForCausalLM", {"torch_compile_config": {}}, ContextLogitsScorer),
        ("auto", "1.2.1", "Qwen2ForCausalLM", {"enable_attention_dp": True}, ContextLogitsScorer),
        ("context_logits", "1.2.1", "Qwen2ForCausalLM", {}, ContextLogitsScorer),
        ("auto", "1.1.0", "Qwen2ForCausalLM", {}, None),
        ("auto", "1.2.0rc2", "Qwen2ForCausalLM", {}, None),
        ("auto", "1.2.1", "Qwen2ForCausalLM", {"speculative_config": {}}, None),
        ("additional_output", "1.2.1", "MixtralForCausalLM", {}, None),
        ("prompt_logprobs", "1.3.0rc11", "Qwen2ForCausalLM", {}, None),
    ],
)
def test_the_cheapest_right_scorer_is_chosen(
    wanted: str, version: str, architecture: str, settings: Any, kind: type | None
) -> None:
    def chosen() -> Any:
        return choose(wanted, version=version, shape=ModelShape(architecture, 9, 99), settings=settings)

    if kind is None:
        with pytest.raises(ConfigError) as caught:
            chosen()
        assert caught.value.field
        assert caught.value.remedy
    else:
        assert type(chosen()) is kind


def test_a_model_without_its_loader_returns_no_log_probs(model: Path) -> None:
    """As in a worker process that nothing made import the registering module."""

    async def scenario() -> None:
        async with opened(model, check=False) as engine:
            engine._requests.llm = open_llm({"skip_tokenizer_init": True, **read_settings(str(model))}, log_probs=False)
            await engine.score(TOKENS[:5], TOKENS[5:9])

    with installed.tensorrt_llm(), pytest.raises(EngineError):
        asyncio.run(scenario())


@pytest.mark.parametrize(("version", "fits"), [("1.2.1", False), ("1.3.0rc11", True)])
def test_prompt_logprobs_are_checked_before_they_are_believed(model: Path, version: str, fits: bool) -> None:
    async def scenario() -> None:
        async with opened(model, check=False) as engine:
            way = PromptLogprobsScorer(128)
            if fits:
                own = await engine.measure(TOKENS[:80], salt="a")
                other = await engine.measure(TOKENS[:80], scorer=way, salt="b")
                assert other.after(1) == pytest.approx(own.after(1), abs=1e-4)
            else:
                with pytest.raises(ScoreShapeError, match="prompt_logprobs"):
                    await engine.measure(TOKENS[:80], scorer=way, salt="b")
            with pytest.raises(ScoreShapeError, match="cached"):
                await engine.measure(TOKENS[:90], scorer=way, salt="b")

    with installed.tensorrt_llm(version=version):
        asyncio.run(scenario())


# What can be wrong.


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"max_seq_len": None}, "max_seq_len"),
        ({"max_sequence_length": 100}, "engine"),
        ({"max_batch_size": "many"}, "engine"),
        ({"kv_cache_config": {"enable_blok_reuse": True}}, "engine"),
        ({"kv_cache_config": {"free_gpu_memory_fraction": 1.5}}, "engine"),
        ({"model": "nowhere"}, "model"),
    ],
)
def test_wrong_settings_are_typed_errors(
    model: Path, settings: Any, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with opened(model, settings=settings):
            pass

    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with installed.tensorrt_llm(), pytest.raises(ConfigError) as caught:
        asyncio.run(scenario())
    assert caught.value.field == field
    assert caught.value.remedy


def test_without_the_package_a_pair_is_a_typed_error(model: Path) -> None:
    role = {"model": str(model), "engine": "tensorrt_llm"}
    pair = make_pair({"name": "p", "draft": role, "target": role})
    with pytest.raises(ConfigError, match="TensorRT-LLM") as caught:
        asyncio.run(open_session(pair))
    assert caught.value.field == "engine"
    assert "docs/gpu.md" in str(caught.value)


def test_damaged_settings_of_a_built_engine_are_a_typed_error(model: Path) -> None:
    (model / "settings.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_settings(str(model))
    assert caught.value.remedy
    (model / "settings.json").write_text(json.dumps({"model": "x", "max_seq_len": 5}), encoding="utf-8")
    assert read_settings(str(model)) == {"model": "x", "max_seq_len": 5}


def test_a_built_engine_has_the_shape_of_its_checkpoint(model: Path, tmp_path: Path) -> None:
    built = tmp_path / "built" / "target"
    built.mkdir(parents=True)
    (built / "settings.json").write_text(json.dumps({"model": str(model), "max_seq_len": 9}), encoding="utf-8")
    assert ModelShape.read(str(built)) == ModelShape.read(str(model)) == ModelShape("Qwen2ForCausalLM", 128, 512)


def test_the_scores_at_once_are_those_that_a_build_set_memory_aside_for(model: Path) -> None:
    assert planned_scores(str(model)) == 1
    record = model.parent / "manifest.json"
    record.write_text(json.dumps({"max_scoring_requests": 7}), encoding="utf-8")
    assert planned_scores(str(model)) == 7
    record.write_text('{"max_scoring_requests": "many"}', encoding="utf-8")
    with pytest.raises(ConfigError):
        planned_scores(str(model))


def test_a_draft_generates_and_does_not_score(model: Path) -> None:
    async def scenario() -> None:
        async with opened(model, role="draft") as engine:
            assert (await engine.generate(TOKENS[:9], max_tokens=3, temperature=0.0, seed=0)).token_ids
            with pytest.raises(EngineError, match="draft"):
                await engine.score(TOKENS[:9], TOKENS[9:12])

    with installed.tensorrt_llm():
        asyncio.run(scenario())


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("LLM is shutting down"), EngineUnavailable),
        (RuntimeError("Maximum queue size of 8 has been reached"), EngineOverloaded),
        (RuntimeError("CUDA out of memory"), EngineOverloaded),
        (ValueError("the prompt should not exceed max_num_tokens (4)"), ContextLengthError),
        (TimeoutError(), EngineTimeout),
        (KeyError("x"), EngineError),
    ],
)
def test_failures_of_the_library_are_typed(error: Exception, kind: type[EngineError]) -> None:
    found = typed_error(error, "target")
    assert type(found) is kind
    assert found.role == "target"


# The function in the model's forward.


def reference(lengths: list[int], ids: np.ndarray, logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    values = np.full((len(ids), 1), np.nan)
    place = 0
    for length in lengths:
        for row in range(place, place + length - 1):
            values[row] = logs[row, ids[row + 1]]
        place += length
    return values


@pytest.mark.parametrize("block", [1, 2, 5, 512])
@pytest.mark.parametrize("lengths", [[1], [7], [3, 1, 5], [1, 1, 1]])
@pytest.mark.parametrize("library", ["double", "torch"])
def test_token_logprobs(lengths: list[int], block: int, library: str) -> None:
    rng = np.random.default_rng(3)
    n, ids = sum(lengths), rng.integers(0, 11, sum(lengths)).astype(np.int32)
    hidden, weights = rng.normal(size=(n, 4)).astype(np.float32), rng.normal(size=(4, 13)).astype(np.float32)
    wanted = reference(lengths, ids, (hidden @ weights)[:, :11])
    if library == "torch":
        torch = pytest.importorskip("torch")
        tensors = [torch.from_numpy(array) for array in (hidden, ids, np.asarray(lengths, np.int32))]
        head: Any = lambda rows: rows @ torch.from_numpy(weights)  # noqa: E731
        found = token_logprobs(tensors[0], head, tensors[1], tensors[2], vocabulary=11, block=block).tolist()
    else:
        with installed.tensorrt_llm():
            from tensorrt_llm._tensor import Tensor

            head = lambda rows: Tensor(rows._array @ weights)  # noqa: E731
            tensors = [Tensor(array) for array in (hidden, ids, np.asarray(lengths, np.int32))]
            found = token_logprobs(tensors[0], head, tensors[1], tensors[2], vocabulary=11, block=block).tolist()
    assert np.allclose(found, wanted, atol=1e-5, equal_nan=True)


# The double is strict.


@pytest.fixture
def package() -> Iterator[Any]:
    with installed.tensorrt_llm():
        import tensorrt_llm

        yield tensorrt_llm


@pytest.mark.parametrize(
    "call",
    [
        lambda t, m: t.SamplingParams(max_token=3),
        lambda t, m: t.SamplingParams(max_tokens="3"),
        lambda t, m: t.SamplingParams(max_tokens=True),
        lambda t, m: t.SamplingParams(temperature=-1.0),
        lambda t, m: t.SamplingParams(logprobs_mode="raw"),
        lambda t, m: t.SamplingParams(additional_model_outputs="a1_token_logprob"),
        lambda t, m: t.LLM(str(m), max_batch_size=1.5),
        lambda t, m: t.LLM(str(m), kv_cache_config={"enable_block_reuse": True}),
        lambda t, m: t.LLM(str(m), build_config=None),
        lambda t, m: t.BuildConfig,
        lambda t, m: t.LLM(str(m)).generate_async("text"),
        lambda t, m: t.LLM(str(m)).generate_async([1], priority=1),
        lambda t, m: t.LLM(str(m)).generate_async([1], t.SamplingParams(end_id=0), cache_salt=3),
        lambda t, m: t.LLM(str(m)).generate_async([1]),
    ],
)
def test_the_double_refuses_what_the_contract_does_not_know(package: Any, model: Path, call: Any) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError)):
        call(package, model)


def test_aborting_a_score_crashes_the_double(model: Path) -> None:
    async def scenario() -> None:
        import tensorrt_llm

        llm = tensorrt_llm.LLM(str(model))
        sampling = tensorrt_llm.SamplingParams(max_tokens=1, end_id=0, return_context_logits=True)
        output = llm.generate_async([1, 2, 3], sampling)
        output.abort()
        with pytest.raises(RuntimeError, match="died"):
            await output.aresult()
        with pytest.raises(RuntimeError, match="died"):
            llm.generate_async([1, 2, 3], sampling)

    with installed.tensorrt_llm():
        asyncio.run(scenario())
