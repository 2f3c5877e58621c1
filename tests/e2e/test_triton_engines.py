"""The models "draft" and "target" of a real Triton server."""

from __future__ import annotations

import asyncio
import re

import grpc
import httpx
import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from a1_trt.backends.openvino import OpenVinoTokenizer, context_length
from a1_trt.backends.triton import TritonEngine
from a1_trt.errors import (
    Cancelled,
    ContextLengthError,
    DeployError,
    EngineError,
    EngineUnavailable,
    InvalidRequestError,
    from_wire,
)
from a1_trt.triton.probe import probe

ROLES = ("draft", "target")
TYPES = {np.int32: "INT32", np.float32: "FP32", np.uint64: "UINT64", np.bool_: "BOOL"}


@pytest.fixture(params=ROLES)
def role(request):
    return request.param


@pytest.fixture
def client(server):
    with InferenceServerClient(server.grpc_url) as opened:
        yield opened


@pytest.fixture
def prompt(reference, role):
    return OpenVinoTokenizer.load(reference.model_path(role)).encode("a = 3, b = a+4.\n", special=True)


def engine_of(server, reference, role, **options):
    path = reference.model_path(role)
    options = {"max_context_tokens": context_length(path), **options}
    return TritonEngine(server.grpc_url, role, OpenVinoTokenizer.load(path), role=role, **options)


def tensor(name, values, kind=np.int32):
    array = np.asarray(values, dtype=kind).reshape(1, -1)
    made = InferInput(name, array.shape, TYPES[kind])
    made.set_data_from_numpy(array)
    return made


def generating(prompt, n_tokens=8, *more):
    return [
        tensor("input_ids", prompt),
        tensor("input_lengths", [len(prompt)]),
        tensor("request_output_len", [n_tokens]),
        tensor("runtime_top_k", [1]),
        *more,
    ]


def metric(server, name, role):
    text = httpx.get(server.metrics_url).text
    return int(re.search(rf'{name}\{{.*role="{role}".*\}} (\d+)', text)[1])


def n_requests(server, role):
    return metric(server, "a1_engine_requests", role)


def n_cancelled(server, role):
    return metric(server, "a1_engine_cancelled", role)


def until(condition, timeout_s=60.0):
    async def poll():
        async with asyncio.timeout(timeout_s):
            while not condition():
                await asyncio.sleep(0.02)

    return poll()


def test_a_plain_client_generates(client, prompt, role):
    answer = client.infer(role, generating(prompt))
    ids, length = answer.as_numpy("output_ids"), answer.as_numpy("sequence_length")
    assert ids.shape == (1, 1, length[0, 0])
    assert 0 < length[0, 0] <= 8
    assert answer.as_numpy("num_input_tokens").tolist() == [[len(prompt)]]
    assert answer.as_numpy("num_output_tokens").tolist() == [[length[0, 0]]]


def test_a_plain_client_scores(client, prompt, role):
    scored = tensor("draft_input_ids", prompt[-3:])
    answer = client.infer(role, generating(prompt[:-3], 1, scored, tensor("return_log_probs", [True], np.bool_)))
    values = answer.as_numpy("output_log_probs")
    assert values.shape == (1, 1, 3)
    assert (values <= 0).all()


def test_http_generates_as_well(server, prompt, role):
    def said(name, values):
        return {"name": name, "shape": [1, len(values)], "datatype": "INT32", "data": values}

    body = {
        "inputs": [said("input_ids", prompt), said("input_lengths", [len(prompt)]), said("request_output_len", [4])]
    }
    answer = httpx.post(f"{server.http_url}/v2/models/{role}/infer", json=body)
    assert answer.status_code == 200
    assert "output_ids" in {output["name"] for output in answer.json()["outputs"]}


def test_check_finds_all_models_over_both_protocols(server):
    reports = probe(f"grpc://{server.grpc_url}")
    assert probe(server.http_url) == reports
    assert [(report.name, report.decoupled) for report in reports] == [
        ("a1", True),
        ("draft", False),
        ("target", False),
    ]
    assert all(report.optional_absent == () for report in reports)


@pytest.mark.parametrize("protocol", ["grpc_url", "http_url"])
def test_check_says_which_model_is_missing(server, protocol):
    with pytest.raises(DeployError) as caught:
        probe(getattr(server, protocol), ("nothing",))
    assert caught.value.model == "nothing"


@pytest.mark.parametrize("url", ["127.0.0.1:1", "grpc://127.0.0.1:1", "http://127.0.0.1:1"])
def test_check_says_when_nothing_answers(url):
    with pytest.raises(EngineUnavailable) as caught:
        probe(url)
    assert caught.value.field == "url"
    assert caught.value.remedy


def test_cancelled_calls_free_their_slots(server, reference, role, prompt):
    async def scenario():
        engine = engine_of(server, reference, role)
        room = engine.max_context_tokens - len(prompt)
        calls = [
            asyncio.ensure_future(engine.generate(prompt, max_tokens=room, temperature=5.0, seed=seed))
            for seed in range(100)
        ]
        await until(lambda: n_requests(server, role) > 0)
        before = n_cancelled(server, role)
        for call in calls:
            call.cancel()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert any(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        await until(lambda: n_requests(server, role) == 0 and n_cancelled(server, role) > before)
        await engine.aclose()

    asyncio.run(scenario())


def test_a_client_that_goes_away_frees_its_slots(server, reference, role, prompt):
    async def scenario():
        engine = engine_of(server, reference, role)
        calls = [
            asyncio.ensure_future(engine.generate(prompt, max_tokens=400, temperature=5.0, seed=seed))
            for seed in range(64)
        ]
        await until(lambda: n_requests(server, role) > 0)
        before = n_cancelled(server, role)
        await engine.aclose()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(outcome, EngineUnavailable) for outcome in outcomes if isinstance(outcome, Exception))
        await until(lambda: n_requests(server, role) == 0 and n_cancelled(server, role) > before)

    asyncio.run(scenario())


def test_the_stop_tensor_cancels_the_request_of_that_id(client, prompt, role):
    results = []
    n_calls = 40
    for seed in range(n_calls):
        hot = [tensor("temperature", [5.0], np.float32), tensor("seed", [seed], np.uint64)]
        client.async_infer(
            role,
            [*generating(prompt, 400)[:3], *hot],
            callback=lambda result, error: results.append(error),
            request_id=f"chain-{role}",
        )
    stop = tensor("stop", [True], np.bool_)
    while len(results) < n_calls:
        answer = client.infer(role, generating(prompt, 1, stop), request_id=f"chain-{role}")
        assert answer.as_numpy("sequence_length").tolist() == [[0]]
    stopped = [error for error in results if error is not None]
    assert stopped
    assert {type(from_wire(error.message())) for error in stopped} == {Cancelled}


@pytest.mark.parametrize(
    ("field", "more"),
    [
        ("input_lengths", [tensor("input_lengths", [99999])]),
        ("request_output_len", [tensor("request_output_len", [0])]),
        ("temperature", [tensor("temperature", [-1.0], np.float32)]),
        ("temperature", [tensor("temperature", [np.nan], np.float32)]),
        ("runtime_top_k", [tensor("runtime_top_k", [40])]),
        ("runtime_top_p", [tensor("runtime_top_p", [0.5], np.float32)]),
        ("streaming", [tensor("streaming", [True], np.bool_)]),
    ],
)
def test_wrong_values_are_typed_errors_that_name_the_tensor(client, prompt, role, field, more):
    given = {each.name(): each for each in [*generating(prompt), *more]}
    with pytest.raises(InferenceServerException) as caught:
        client.infer(role, list(given.values()))
    error = from_wire(caught.value.message())
    assert isinstance(error, InvalidRequestError)
    assert error.field == field
    assert error.remedy


@pytest.mark.parametrize(
    ("named", "tensors"),
    [
        ("colour", [tensor("colour", [1])]),
        ("temperature", [tensor("temperature", [1], np.int32)]),
        ("seed", [tensor("seed", [1, 2], np.uint64)]),
    ],
)
def test_what_triton_itself_refuses_names_the_tensor(client, prompt, role, named, tensors):
    with pytest.raises(InferenceServerException, match=named) as caught:
        client.infer(role, generating(prompt, 4, *tensors))
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_a_prompt_too_long_is_refused_by_the_server_too(server, reference, role, prompt):
    async def scenario():
        engine = engine_of(server, reference, role, max_context_tokens=10**9)
        with pytest.raises(ContextLengthError) as caught:
            await engine.generate(prompt * 1000, max_tokens=4, temperature=0.0, seed=0)
        assert caught.value.role == role
        assert caught.value.remedy
        with pytest.raises(EngineError):
            await engine.score([10**6], prompt)
        assert (await engine.score(prompt[:2], prompt[2:5])) != []
        await engine.aclose()

    asyncio.run(scenario())


def test_a_message_beyond_the_limit_is_a_typed_error(server, reference, role):
    async def scenario():
        engine = engine_of(server, reference, role, max_context_tokens=10**9)
        with pytest.raises(EngineError):
            await engine.generate([1] * 5_000_000, max_tokens=4, temperature=0.0, seed=0)
        await engine.aclose()

    asyncio.run(scenario())


def test_a_deadline_is_a_timeout(server, reference, role, prompt):
    from a1_trt.errors import EngineTimeout

    async def scenario():
        engine = engine_of(server, reference, role)
        await engine.generate(prompt, max_tokens=1, temperature=0.0, seed=0)
        engine._timeout_s = 1e-4
        with pytest.raises(EngineTimeout):
            await engine.generate(prompt, max_tokens=400, temperature=5.0, seed=0)
        await engine.aclose()

    asyncio.run(scenario())


def test_no_server_and_no_model_are_typed_errors(server, reference, role, prompt):
    async def scenario():
        tokenizer = OpenVinoTokenizer.load(reference.model_path(role))
        lost = TritonEngine("127.0.0.1:1", role, tokenizer, role=role, max_context_tokens=512)
        with pytest.raises(EngineUnavailable):
            await lost.score(prompt, prompt)
        await lost.aclose()
        nameless = TritonEngine(server.grpc_url, "nothing", tokenizer, role=role, max_context_tokens=512)
        with pytest.raises(EngineError, match="nothing"):
            await nameless.score(prompt, prompt)
        await nameless.aclose()

    asyncio.run(scenario())


def test_calls_complete_while_others_are_cancelled_and_refused(server, reference, role, prompt):
    """Also what made the server die once: it must not be asked about a request that has its answer."""

    async def scenario():
        engine = engine_of(server, reference, role, max_context_tokens=10**9)
        expected = await engine.generate(prompt, max_tokens=12, temperature=0.0, seed=0)
        for _ in range(8):
            good = [
                asyncio.ensure_future(engine.generate(prompt, max_tokens=12, temperature=0.0, seed=i)) for i in range(8)
            ]
            hot = [
                asyncio.ensure_future(engine.generate(prompt, max_tokens=300, temperature=5.0, seed=i))
                for i in range(8)
            ]
            bad = [asyncio.ensure_future(engine.score(prompt, [10**6])) for _ in range(4)]
            await asyncio.sleep(0.01)
            for call in hot:
                call.cancel()
            assert await asyncio.gather(*good) == [expected] * 8
            await asyncio.gather(*hot, *bad, return_exceptions=True)
        await engine.aclose()

    asyncio.run(scenario())


def test_grpc_statuses_become_typed_errors():
    """Those that this server does not give easily; the mapping is the adapter's own."""
    engine = TritonEngine("h:1", "draft", None, role="draft", max_context_tokens=16)
    made = {
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "no room"): "EngineOverloaded",
        (grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size"): "EngineOverloaded",
        (grpc.StatusCode.UNAVAILABLE, "down"): "EngineUnavailable",
        (grpc.StatusCode.INTERNAL, "score_shape[segment]: 3 of 4"): "ScoreShapeError",
        (grpc.StatusCode.INTERNAL, "boom"): "EngineError",
    }
    for (status, details), name in made.items():
        error = engine._error(status, details)
        assert type(error).__name__ == name
        assert error.role == "draft"
