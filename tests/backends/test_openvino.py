"""What is special about the openvino engine: its numbers against a plain forward pass, its files, its failures."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from functools import cache

import numpy as np
import openvino
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a1_trt.backends.openvino import OpenVinoEngine, OpenVinoTokenizer, context_length
from a1_trt.backends.openvino.batcher import Batcher
from a1_trt.backends.openvino.pipeline import GenerateRequest, Setup
from a1_trt.config import load_pair
from a1_trt.errors import ConfigError, ContextLengthError, EngineError, EngineUnavailable
from tests.places import REFERENCE

MODEL = REFERENCE / "target"
SMALL_MODEL = REFERENCE / "draft"
TOKENIZER = OpenVinoTokenizer.load(MODEL)
TEXT = "12 + 30 = 42\n7 * 6 = 42\n100 - 58 = 42\n" * 3


@pytest.fixture
def model(tmp_path):
    """A copy of a model that a test may damage."""
    return shutil.copytree(SMALL_MODEL, tmp_path / "model")


@pytest.fixture(scope="module")
def engine():
    """One engine for all that only count and compare scores; its prefixes must differ from test to test."""
    loaded = OpenVinoEngine.load(MODEL, role="target")
    yield loaded
    asyncio.run(loaded.aclose())


def with_engine(scenario, model=MODEL, **options):
    async def whole():
        engine = OpenVinoEngine.load(model, role="target", **options)
        try:
            return await scenario(engine)
        finally:
            await engine.aclose()

    return asyncio.run(whole())


@cache
def compiled_model() -> openvino.CompiledModel:
    return openvino.Core().compile_model(MODEL / "openvino_model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def forward_logprobs(tokens: list[int]) -> np.ndarray:
    """Log-probs of tokens[1:], by one plain pass over the model: no batching, no paging, no cache."""
    request, n = compiled_model().create_infer_request(), len(tokens)
    inputs = {
        "input_ids": np.array([tokens]),
        "attention_mask": np.ones((1, n), np.int64),
        "position_ids": np.arange(n)[None],
        "beam_idx": np.zeros(1, np.int32),
    }
    names = [name for port in compiled_model().inputs for name in port.names & inputs.keys()]
    logits = request.infer({name: inputs[name] for name in names})[0][0]
    logits = logits.astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return logits[np.arange(n - 1), tokens[1:]]


def test_scores_equal_a_plain_forward_pass(engine):
    async def scenario():
        tokens = engine.tokenizer.encode(TEXT)[:100]
        expected = forward_logprobs(tokens)
        for start in (1, 2, 16, 31, 32, 33, 63, 64, 65):
            for _ in range(2):  # fresh, then with everything in the cache
                assert await engine.score(tokens[:start], tokens[start:]) == pytest.approx(
                    expected[start - 1 :], abs=1e-3
                )

    asyncio.run(scenario())


def test_the_next_turn_does_not_score_twice(engine):
    """A chain that grows by accepted segments keeps its cache: only a start at a block's edge needs a second pass."""

    async def scenario():
        tokens = engine.tokenizer.encode("next " + TEXT)
        for start in range(10, 94, 7):
            await engine.score(tokens[:start], tokens[start : start + 7])

    before = engine.rescored
    asyncio.run(scenario())
    assert engine.rescored - before <= 3


def test_a_start_at_the_edge_of_a_block_is_scored_again_and_counted(engine):
    async def scenario():
        tokens = engine.tokenizer.encode("edge " + TEXT)
        await engine.score(tokens[:20], tokens[20:32])
        await engine.score(tokens[:32], tokens[32:50])

    before = engine.rescored, engine.recalled
    asyncio.run(scenario())
    assert (engine.rescored - before[0], engine.recalled - before[1]) == (1, 0)


def test_a_segment_scored_before_is_recalled(engine):
    async def scenario():
        tokens = engine.tokenizer.encode("once " + TEXT)
        for _ in range(3):
            await engine.score(tokens[:20], tokens[20:90])

    before = engine.rescored, engine.recalled
    asyncio.run(scenario())
    assert (engine.rescored - before[0], engine.recalled - before[1]) == (0, 2)


def test_a_cancelled_call_is_out_of_the_engine_within_a_few_steps():
    async def scenario(engine):
        prompt = engine.tokenizer.encode(TEXT)[:12]
        calls = [
            asyncio.ensure_future(engine.generate(prompt, max_tokens=900, temperature=3.0, seed=seed))
            for seed in range(64)
        ]
        while not engine.in_flight:
            await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        while engine.in_flight:
            await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(_as_coroutine(scenario), 60))


class Abandoned:
    """A pipeline all of whose requests are cancelled after each of its steps."""

    def __init__(self, batcher):
        self._batcher = batcher
        self._native = batcher._pipeline

    def __getattr__(self, name):
        return getattr(self._native, name)

    def step(self):
        self._native.step()
        for request in self._batcher._running:
            request.cancelled = True


def test_a_request_that_is_cancelled_within_its_prompt_leaves_nothing_wrong_in_the_cache(engine):
    """A prompt takes several steps when it is long, or when there are many."""
    prompt = engine.tokenizer.encode("given up " + TEXT)[:31]

    async def scenario():
        batcher = Batcher.load(Setup(MODEL, "target", max_in_flight=4, n_blocks=64, max_batched_tokens=10))
        native, batcher._pipeline = batcher._pipeline, Abandoned(batcher)
        task = asyncio.ensure_future(batcher.run(prompt, GenerateRequest(50)))
        await asyncio.sleep(0)
        while batcher.in_flight:
            await asyncio.sleep(0.001)
        task.cancel()
        batcher._pipeline = native
        written = await batcher.run(prompt, GenerateRequest(8))
        await asyncio.to_thread(batcher.close)
        return tuple(written.token_ids), await engine.generate(prompt, max_tokens=8, temperature=0.0, seed=0)

    written, expected = asyncio.run(scenario())
    assert len(expected.token_ids) > 3
    assert written[: len(expected.token_ids)] == expected.token_ids


async def _as_coroutine(scenario):
    engine = await asyncio.to_thread(OpenVinoEngine.load, MODEL, role="target", max_in_flight=4)
    try:
        await scenario(engine)
    finally:
        await engine.aclose()


class BrokenPipeline:
    """A pipeline whose step fails, as a native one does when memory runs out."""

    def __init__(self, native):
        self._native = native
        self.broken = True

    def __getattr__(self, name):
        return getattr(self._native, name)

    def step(self):
        if self.broken:
            self.broken = False
            raise RuntimeError("out of memory")
        self._native.step()


def test_a_failing_step_fails_its_calls_and_the_engine_goes_on():
    async def scenario(engine):
        prompt = engine.tokenizer.encode(TEXT)[:12]
        engine._generator._pipeline = BrokenPipeline(engine._generator._pipeline)
        calls = [engine.generate(prompt, max_tokens=5, temperature=0.5, seed=seed) for seed in range(3)]
        outcomes = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 60)
        assert "out of memory" in str(outcomes[0])
        assert all(isinstance(outcome, EngineError) for outcome in outcomes)
        assert engine.in_flight == 0
        after = await engine.generate(prompt, max_tokens=5, temperature=0.5, seed=1)
        assert after.ended or len(after.token_ids) == 5

    with_engine(scenario, start=Batcher.load)


def test_an_engine_that_stays_broken_refuses_further_calls():
    async def scenario(engine):
        prompt = engine.tokenizer.encode(TEXT)[:12]
        native = engine._generator._pipeline
        broken = BrokenPipeline(native)
        broken.step = lambda: native.no_such_step()
        engine._generator._pipeline = broken
        with pytest.raises(EngineError):
            await asyncio.wait_for(engine.generate(prompt, max_tokens=5, temperature=0.5, seed=1), 60)
        with pytest.raises(EngineUnavailable):
            await asyncio.wait_for(engine.generate(prompt, max_tokens=5, temperature=0.5, seed=1), 60)
        while native.has_non_finished_requests():  # the stand-in never let it finish
            native.step()

    with_engine(scenario, start=Batcher.load)


def test_token_ids_of_another_vocabulary_are_refused(engine):
    async def scenario():
        for ids in ([10**6], [-1], [3, 2**40]):
            with pytest.raises(ValueError, match="vocabulary"):
                await engine.generate(ids, max_tokens=1, temperature=0.0, seed=0)

    asyncio.run(scenario())


def test_a_chosen_context_replaces_the_models_own(warm_pipelines):
    async def scenario(engine):
        assert engine.max_context_tokens == 64
        with pytest.raises(EngineError, match="64"):
            await engine.generate([5] * 60, max_tokens=5, temperature=0.0, seed=0)

    with_engine(scenario, max_context_tokens=64, start=warm_pipelines.start)


def test_the_context_is_the_one_of_the_config():
    config = json.loads((MODEL / "config.json").read_text())
    assert context_length(MODEL) == config["max_position_embeddings"]


def _remove(path):
    path.unlink()


def _cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _scribble(path):
    path.write_bytes(b"scribble")


@pytest.mark.parametrize("damage", [_remove, _cut, _scribble])
@pytest.mark.parametrize(
    "name",
    [
        "openvino_model.xml",
        "openvino_model.bin",
        "openvino_tokenizer.xml",
        "openvino_tokenizer.bin",
        "openvino_detokenizer.xml",
        "config.json",
    ],
)
def test_a_damaged_model_is_a_config_error(model, name, damage):
    damage(model / name)
    with pytest.raises(ConfigError) as caught:
        OpenVinoEngine.load(model, role="draft")
    assert caught.value.field == "model"
    assert str(model) in caught.value.message
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "GGUF"),
        (b"scribble", "GGUF"),
        (b"GGUF" + b"\xff" * 400, "cut off"),
        (b"GGUF\x03\0\0\0" + b"\0" * 60, "general.architecture"),
    ],
)
def test_a_damaged_gguf_is_a_config_error(tmp_path, content, said):
    file = tmp_path / "model.gguf"
    file.write_bytes(content)
    for load in (context_length, OpenVinoTokenizer.load, lambda path: OpenVinoEngine.load(path, role="draft")):
        with pytest.raises(ConfigError) as caught:
            load(file)
        assert caught.value.field == "model"
    with pytest.raises(ConfigError, match=said):
        context_length(file)


def test_a_model_that_is_not_there_is_a_config_error(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    for path in (tmp_path / "nowhere", tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(ConfigError) as caught:
            OpenVinoEngine.load(path, role="draft")
        assert (caught.value.field, bool(caught.value.remedy)) == ("model", True)


def test_without_the_runtime_the_pip_line_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino_genai", None)
    with pytest.raises(ConfigError) as caught:
        OpenVinoEngine.load(MODEL, role="draft")
    assert caught.value.remedy == "pip install 'a1_trt[cpu]'"


def tight_batcher(n_blocks: int) -> Batcher:
    """A pipeline with room for n_blocks * 32 tokens."""
    return Batcher.load(Setup(MODEL, "draft", max_in_flight=16, n_blocks=n_blocks))


def request(max_tokens: int) -> GenerateRequest:
    """Echoes the prompt."""
    return GenerateRequest(max_tokens, echo=True)


@pytest.mark.parametrize(("n_prompt", "max_tokens"), [(200, 5), (100, 60)])
def test_a_request_larger_than_the_kv_cache_is_an_error(n_prompt, max_tokens):
    async def scenario():
        batcher = tight_batcher(4)
        with pytest.raises(ContextLengthError) as caught:
            await asyncio.wait_for(batcher.run([5] * n_prompt, request(max_tokens)), 60)
        assert caught.value.field == "kv_cache_gb"
        assert 20 < len((await batcher.run([5] * 20, request(5))).token_ids) <= 25
        await asyncio.to_thread(batcher.close)

    asyncio.run(scenario())


def test_sequences_wait_for_room_in_the_kv_cache_and_keep_their_values():
    tokens = TOKENIZER.encode(TEXT)
    prompts = [[first, *tokens[1:80]] for first in tokens[:6]]

    async def scenario():
        batcher = tight_batcher(10)
        outputs = await asyncio.gather(*(batcher.run(prompt, request(30)) for prompt in prompts))
        await asyncio.to_thread(batcher.close)
        return outputs

    for prompt, output in zip(prompts, asyncio.run(scenario()), strict=True):
        expected = forward_logprobs(list(output.token_ids))
        assert len(output.logprobs) <= 110  # more would mean that a part was computed twice
        n_known = min(len(output.logprobs), len(output.token_ids) - 1)
        assert output.token_ids[:80] == prompt
        assert output.logprobs[-n_known:] == pytest.approx(expected[-n_known:], abs=1e-3)


def test_equal_tokenizers_have_equal_fingerprints(model):
    first, copy = OpenVinoTokenizer.load(SMALL_MODEL), OpenVinoTokenizer.load(model)
    assert first.fingerprint == copy.fingerprint
    listed = json.loads((model / "tokenizer.json").read_text())
    vocabulary = listed["model"]["vocab"]
    one, other = [token for token in vocabulary if vocabulary[token] in (30, 31)]
    vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]
    (model / "tokenizer.json").write_text(json.dumps(listed))
    assert OpenVinoTokenizer.load(model).fingerprint != first.fingerprint


def test_a_model_without_a_chat_template_says_so():
    tokenizer = OpenVinoTokenizer.load(MODEL)
    if tokenizer.native.chat_template:
        pytest.skip("this model has one")
    with pytest.raises(ConfigError) as caught:
        tokenizer.chat("", "1 + 1")
    assert caught.value.field == "prompt"


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=80), st.integers(0, 80))
@settings(deadline=None)
def test_pieces_decode_to_the_whole(text, cut):
    ids = TOKENIZER.encode(text)
    assert TOKENIZER.decode(ids) == text
    assert TOKENIZER.decode(ids[:cut]) + TOKENIZER.decode(ids[cut:]) == text


def test_a_pair_file_says_how_many_threads_an_engine_takes(warm_pipelines):
    asked = []

    def remembered(setup):
        asked.append(setup.threads)
        return warm_pipelines.start(setup)

    async def main():
        engine = await asyncio.to_thread(OpenVinoEngine.for_pair, load_pair("reference"), "draft", start=remembered)
        try:
            return await engine.generate(engine.tokenizer.encode("a = 3"), max_tokens=4, temperature=0.0, seed=0)
        finally:
            await engine.aclose()

    assert len(asyncio.run(main()).token_ids) <= 4
    assert asked == [load_pair("reference").draft.threads] == [1]
