"""The rendered tensorrt repository in a real tritonserver; a strict double stands in for the backend it lacks."""

from __future__ import annotations

import asyncio
import json
import shutil

import grpc
import numpy as np
import pytest
from click.testing import CliRunner
from tritonclient.grpc import service_pb2, service_pb2_grpc

from a1_trt.backends.openvino import OpenVinoEngine, OpenVinoTokenizer
from a1_trt.backends.triton import TritonEngine
from a1_trt.cli import main
from a1_trt.errors import EngineUnavailable, ScoreShapeError
from a1_trt.runtime.session import open_session
from a1_trt.triton.check import check
from a1_trt.triton.render import render
from a1_trt.triton.role_placement import RolePlacement
from a1_trt.triton.server import TritonServer
from a1_trt.types import Problem
from tests.places import DOUBLES

DOUBLE = DOUBLES / "triton_tensorrt_llm.py"
ROLES = ("draft", "target")
LONG = "a = 3, b = a+4. What is b modulo 100?\n" * 4


def repository(pair, directory, *, n_targets=1):
    """Rendered as for GPUs; only the backend's name is another, as this machine lacks it."""
    placement = {
        role: RolePlacement(
            tuple((index,) for index in range(n_targets if role == "target" else 1)),
            32,
            parameters={"gpt_model_path": str(pair.model_path(role))},
        )
        for role in ROLES
    }
    render(pair, directory, profile="tensorrt", placement=placement)
    report = check(directory)
    assert report.ok
    for model in report.models:
        if model != "a1":
            config = directory / model / "config.pbtxt"
            config.write_text(config.read_text().replace('backend: "tensorrtllm"', 'backend: "python"'))
            shutil.copy(DOUBLE, directory / model / "1" / "model.py")
    assert check(directory).ok
    return directory


@pytest.fixture(scope="module")
def gpu_like(reference, tmp_path_factory):
    directory = repository(reference, tmp_path_factory.mktemp("tensorrt") / "models", n_targets=2)
    with TritonServer(reference, repository=directory, log_path=directory.parent / "server.log") as running:
        running.directory = directory
        yield running


def engine_of(running, pair, role, **options):
    tokenizer = OpenVinoTokenizer.load(pair.model_path(role))
    model = options.pop("model", role)
    return TritonEngine(
        running.grpc_url,
        model,
        tokenizer,
        role=role,
        max_context_tokens=400,
        **{"end_ids": tokenizer.end_ids, **options},
    )


def asked(running, model="target"):
    return [json.loads(line) for line in (running.directory / model / "asked.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("context_logits", [False, True])
def test_scores_are_those_of_the_model_itself(gpu_like, reference, warm_pipelines, context_logits):
    async def scenario():
        engine = engine_of(gpu_like, reference, "target", context_logits=context_logits)
        ids = engine.tokenizer.encode(("b" if context_logits else "c") + LONG, special=True)
        own = OpenVinoEngine.load(reference.model_path("target"), role="target", start=warm_pipelines.start)
        for start, stop in ((1, 2), (5, 40), (40, 70), (70, 71)):
            got = await engine.score(ids[:start], ids[start:stop])
            assert got == pytest.approx(await own.score(ids[:start], ids[start:stop]), abs=1e-3)
        await own.aclose()
        await engine.aclose()

    asyncio.run(scenario())


def test_context_logits_that_the_cache_holds_back_are_an_error_not_a_score(gpu_like, reference):
    async def scenario():
        engine = engine_of(gpu_like, reference, "target", context_logits=True)
        ids = engine.tokenizer.encode("d" + LONG, special=True)[:80]
        await engine.score(ids[:70], ids[70:])
        with pytest.raises(ScoreShapeError, match="blocks") as caught:
            await engine.score(ids[:20], ids[20:])
        assert caught.value.role == "target"
        await engine.aclose()

    asyncio.run(scenario())


def test_generation_is_that_of_the_model_itself(gpu_like, reference, warm_pipelines):
    """Which it is only if temperature and top_p, the end's token and the prompt's exclusion are said."""

    async def scenario():
        engine = engine_of(gpu_like, reference, "draft")
        own = OpenVinoEngine.load(reference.model_path("draft"), role="draft", start=warm_pipelines.start)
        prompt = engine.tokenizer.encode("a = 3, b = a+4. What is b modulo 100?\n", special=True)
        for temperature, max_tokens in ((0.0, 60), (1.5, 12), (0.8, 90)):
            for seed in range(4):
                how = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed}
                assert await engine.generate(prompt, **how) == await own.generate(prompt, **how)
        await own.aclose()
        await engine.aclose()

    asyncio.run(scenario())


def test_further_tokens_that_end_a_text_are_stop_words(gpu_like, reference):
    async def scenario():
        engine = engine_of(gpu_like, reference, "draft", end_ids=(2, 5, 9))
        await engine.generate([3, 4], max_tokens=2, temperature=0.0, seed=0)
        await engine.aclose()

    asyncio.run(scenario())
    last = asked(gpu_like, "draft")[-1]
    assert (last["end_id"], last["pad_id"]) == (2, 2)
    assert last["stop_words_list"] == [[5, 9], [1, 2]]


def test_a_cancelled_score_is_allowed_to_finish_and_a_cancelled_text_is_not(gpu_like, reference):
    async def scenario():
        engine = engine_of(gpu_like, reference, "target")
        ids = engine.tokenizer.encode(LONG, special=True)
        await engine.score(ids[:3], ids[3:6])
        score = asyncio.ensure_future(engine.score(ids[:50], ids[50:]))
        await asyncio.sleep(0.001)
        score.cancel()
        await asyncio.gather(score, return_exceptions=True)
        assert score.cancelled()
        assert engine._background
        await engine.aclose()
        assert not engine._background

    asyncio.run(scenario())


def test_the_stop_request_ends_the_request_of_its_id(gpu_like, reference):
    async def scenario():
        engine = engine_of(gpu_like, reference, "target", cancel="stop")
        prompt = engine.tokenizer.encode("x", special=True)
        work = [
            asyncio.ensure_future(engine.generate(prompt, max_tokens=390, temperature=5.0, seed=seed))
            for seed in range(8)
        ]
        await asyncio.sleep(0.3)
        for each in work:
            each.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        await asyncio.wait_for(engine.aclose(), 60)

    asyncio.run(scenario())
    stops = [each for each in asked(gpu_like) if each.get("stop")]
    assert stops
    generated = {each["id"] for each in asked(gpu_like) if not each.get("stop")}
    assert all(stop["id"] and stop["id"] in generated for stop in stops)


def test_the_whole_stack_solves_and_keeps_samples_on_their_replica(gpu_like, reference):
    request = service_pb2.ModelInferRequest(model_name="a1")
    text = b"a = 3, b = a+4, c = b*2. What is c modulo 100?"
    request.inputs.add(name="problem", datatype="BYTES", shape=(1,))
    request.raw_input_contents.append(len(text).to_bytes(4, "little") + text)
    for name, value in (("n_samples", 8), ("max_turns", 3), ("draft_tokens", 12), ("target_tokens", 12)):
        request.inputs.add(name=name, datatype="INT32", shape=(1,))
        request.raw_input_contents.append(value.to_bytes(4, "little"))
    # Hot, so that hardly two samples write the same.
    request.inputs.add(name="temperature", datatype="FP32", shape=(1,))
    request.raw_input_contents.append(np.float32(5.0).tobytes())
    before = {model: len(asked_or_none(gpu_like, model)) for model in ("target", "target_2")}
    with grpc.insecure_channel(gpu_like.grpc_url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        answers = list(stub.ModelStreamInfer(iter([request]), timeout=60))
    assert [answer.error_message for answer in answers] == [""]
    outputs = {output.name for output in answers[0].infer_response.outputs}
    assert {"answer", "n_scored", "event"} <= outputs
    after = {model: asked_or_none(gpu_like, model)[before[model] :] for model in before}
    assert all(after.values()), "both replicas of the target worked"
    root = min(len(each["input_ids"]) for calls in after.values() for each in calls)
    prompts = {
        model: {tuple(each["input_ids"]) for each in calls if len(each["input_ids"]) > root}
        for model, calls in after.items()
    }
    # Samples that wrote the same may be anywhere; were samples moved about, nearly all prompts would be on both.
    shared, either = prompts["target"] & prompts["target_2"], prompts["target"] | prompts["target_2"]
    assert len(shared) <= len(either) / 4


def asked_or_none(running, model):
    return asked(running, model) if (running.directory / model / "asked.jsonl").exists() else []


def test_a_session_over_replicas_outlives_one_of_them(gpu_like, reference):
    async def scenario():
        replicas = {"target": [f"{gpu_like.grpc_url}/target", "127.0.0.1:1/target", f"{gpu_like.grpc_url}/target_2"]}
        async with await open_session(reference, url=gpu_like.grpc_url, replicas=replicas) as session:
            result = await session.solve(Problem("a = 3, b = a+4. What is b modulo 100?"))
            assert result.usage.n_scored > 0
            assert all(each.error is None for each in result.trajectories)
            assert session.engines["target"].n_failovers > 0

    asyncio.run(scenario())


def test_a_live_check_does_real_work(gpu_like, tmp_path):
    said = CliRunner().invoke(main, ["deploy", "check", str(gpu_like.directory), "--url", gpu_like.grpc_url, "--json"])
    report = json.loads(said.stdout)
    assert said.exit_code == 0, report["problems"]
    assert [each["model"] for each in report["live"]["canaries"]] == ["a1", "draft", "target", "target_2"]
    assert all(each["max_batch_size"] == 32 and each["max_queue_size"] >= 64 for each in report["live"]["models"][1:])
    differences = [each["score_difference"] for each in report["live"]["canaries"]]
    assert differences[:2] == [None, None]
    assert all(0 <= each < 0.1 for each in differences[2:])


@pytest.mark.parametrize("fault", ["trim", "discard"])
def test_missing_rows_are_an_error_never_a_score(gpu_like, reference, fault):
    switch = gpu_like.directory / "target" / "fault"

    async def scenario():
        engine = engine_of(gpu_like, reference, "target")
        ids = engine.tokenizer.encode("zq;7 " + LONG, special=True)
        with pytest.raises(ScoreShapeError, match="rows") as caught:
            await engine.score(ids[:5], ids[5:40])
        assert caught.value.field == "generation_logits"
        assert caught.value.remedy
        await engine.aclose()
        with pytest.raises(EngineUnavailable):
            await engine.score(ids[:5], ids[5:40])

    switch.write_text(fault)
    try:
        asyncio.run(scenario())
    finally:
        switch.unlink()
