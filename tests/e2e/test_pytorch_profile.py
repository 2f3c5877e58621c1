"""The rendered pytorch repository in a real tritonserver, on the strict double of tensorrt_llm."""

from __future__ import annotations

import asyncio
import json
import shutil

import httpx
import pytest

from a1_trt.backends.triton import TritonEngine
from a1_trt.config import load_pair
from a1_trt.errors import ContextLengthError, DeployError, from_wire
from a1_trt.triton.check import check
from a1_trt.triton.render import render
from a1_trt.triton.role_placement import RolePlacement
from a1_trt.triton.server import TritonServer
from tests.doubles import installed
from tests.places import DOUBLES

PAIR = """
name = "characters"
[draft]
model = "draft"
engine = "tensorrt_llm"
[target]
model = "target"
engine = "tensorrt_llm"
[scheduler]
n_samples = 4
max_turns = 2
"""
# transformers is not installed where there is no tensorrt_llm; this one has a token for each ASCII character.
TRANSFORMERS = """
class AutoTokenizer:
    eos_token_id = 0
    chat_template = None

    @classmethod
    def from_pretrained(cls, path, trust_remote_code):
        return cls()

    def get_vocab(self):
        return {chr(number): number for number in range(128)}

    def encode(self, text, add_special_tokens):
        return [ord(character) for character in text]

    def decode(self, token_ids, skip_special_tokens, clean_up_tokenization_spaces):
        return "".join(map(chr, token_ids))
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    directory = tmp_path_factory.mktemp("pytorch")
    (directory / "pair.toml").write_text(PAIR)
    placement = {}
    for role in ("draft", "target"):
        model = installed.checkpoint(directory / role)
        cache = {"enable_partial_reuse": role == "draft", "tokens_per_block": 32}
        settings = {"model": str(model), "max_seq_len": 301, "max_num_tokens": 512, "kv_cache_config": cache}
        placement[role] = RolePlacement(((0,),), 16, max_context_tokens=300, settings=settings)
    render(load_pair(directory), directory / "models", profile="pytorch", placement=placement)
    assert check(directory / "models").ok
    for model in ("a1", "draft", "target"):
        version = directory / "models" / model / "1"
        (version / "tensorrt_llm").symlink_to(DOUBLES / "tensorrt_llm")
        (version.parent / "contracts").symlink_to(DOUBLES.parent / "contracts")
        (version / "transformers.py").write_text(TRANSFORMERS)
    return directory / "models"


@pytest.fixture(scope="module")
def running(repository):
    log_path = repository.parent / "server.log"
    with TritonServer(load_pair(repository.parent), repository=repository, log_path=log_path) as server:
        yield server


def engine_of(running, role):
    return TritonEngine(
        running.grpc_url, role, installed.CharacterTokenizer(), role=role, max_context_tokens=300, end_ids=(0,)
    )


def test_scores_are_the_true_ones_however_the_cache_stands(running):
    true_logprobs = true_values()

    async def scenario():
        engine = engine_of(running, "target")
        tokens = engine.tokenizer.encode("12 + 30 = 42, 7 * 6 = 42 and 100 - 58 = 42; so far so good, is it not? " * 3)
        for start, stop in ((1, 40), (40, 70), (20, 90), (64, 65), (90, 200)):
            got = await engine.score(tokens[:start], tokens[start:stop])
            wanted = true_logprobs(tokens[:stop], 128)[start - 1 :]
            assert got == pytest.approx(wanted, abs=1e-3)
        await engine.aclose()

    asyncio.run(scenario())


def true_values():
    with installed.tensorrt_llm():
        from tensorrt_llm._language import true_logprobs
    return true_logprobs


def test_the_whole_stack_solves(running):
    said = {"problem": "1 + 1 = ", "n_samples": 4, "max_turns": 2, "draft_tokens": 12, "target_tokens": 12}
    answer = httpx.post(f"{running.http_url}/v2/models/a1/generate", json=said, timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.json()["n_scored"] > 0


def test_a_problem_beyond_what_the_engine_is_built_for_is_refused(running):
    answer = httpx.post(f"{running.http_url}/v2/models/a1/generate", json={"problem": "x" * 400}, timeout=60)
    error = from_wire(answer.json()["error"])
    assert isinstance(error, ContextLengthError)
    assert "300" in error.message


def test_settings_that_the_engine_refuses_keep_the_server_from_starting(repository, tmp_path):
    copy = tmp_path / "models"
    shutil.copytree(repository, copy, symlinks=True)
    path = copy / "target" / "1" / "settings.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "no_such_setting": 1}))
    running = TritonServer(load_pair(repository.parent), repository=copy)
    with pytest.raises(DeployError, match="no_such_setting") as caught, running:
        pass
    assert caught.value.model == "target"
    assert caught.value.remedy
