"""The model "a1" of a real Triton server, as a client without our library sees it."""

from __future__ import annotations

import asyncio
import json
import re

import httpx
import numpy as np
import pytest
from tritonclient.grpc import InferInput
from tritonclient.grpc.aio import InferenceServerClient

from a1_trt.errors import InvalidRequestError, from_wire
from a1_trt.triton.tensors import A1_OUTPUTS
from a1_trt.types import ProblemFinished, SampleFinished, SegmentScored, SegmentWritten
from a1_trt.wire import event_from_dict

PROBLEM = "a = 3, b = a+4. What is b modulo 100?"
ENDLESS = {"n_samples": 64, "max_turns": 200, "temperature": 5.0, "early_stop": False}
DTYPES = {
    "n_samples": np.int32,
    "max_turns": np.int32,
    "budget": np.int32,
    "draft_tokens": np.int32,
    "target_tokens": np.int32,
    "seed": np.int64,
    "alpha": np.float32,
    "temperature": np.float32,
}
NAMES = {np.int32: "INT32", np.int64: "INT64", np.float32: "FP32", np.bool_: "BOOL", np.object_: "BYTES"}


def tensor(name, value, dtype=None):
    kind = dtype or (np.bool_ if isinstance(value, bool) else DTYPES.get(name, np.object_))
    array = np.array([value.encode() if isinstance(value, str) else value], dtype=kind)
    made = InferInput(name, [1], NAMES[kind])
    made.set_data_from_numpy(array)
    return made


def tensors(said):
    return [value if isinstance(value, InferInput) else tensor(name, value) for name, value in said.items()]


async def over_grpc(server, said, request_id=""):
    """All responses to a request: a list of results, or the message of the error."""

    async def requests():
        yield {"model_name": "a1", "inputs": tensors(said), "request_id": request_id}

    async with InferenceServerClient(server.grpc_url) as client:
        results = []
        async for result, error in client.stream_infer(requests()):
            if error is not None:
                return error.message()
            results.append(result)
            parameters = result.get_response().parameters
            if parameters["triton_final_response"].bool_param:
                return results
    raise AssertionError("the stream ended without a final response")


def solve(server, **said):
    return asyncio.run(over_grpc(server, {"problem": PROBLEM, **said}))


def event_of(result):
    return event_from_dict(json.loads(result.as_numpy("event")[0]))


def metrics(server):
    """Metric with its labels -> value."""
    found = re.findall(r"^(a1_\w+)(?:\{(.*)\})? (\S+)$", httpx.get(server.metrics_url).text, re.MULTILINE)
    wanted = {}
    for name, labels, value in found:
        kept = sorted(label for label in labels.split(",") if label and not label.startswith(("model=", "version=")))
        wanted[",".join([name, *kept])] = float(value)
    return wanted


def in_flight(server):
    return sum(value for name, value in metrics(server).items() if name.startswith(("a1_engine_requests", "a1_calls_")))


def cut_short(server):
    """Engine requests that were cancelled so far."""
    return sum(value for name, value in metrics(server).items() if name.startswith("a1_engine_cancelled"))


async def until(condition, timeout_s):
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.02)


def test_without_stream_there_is_one_response_with_all_tensors(server):
    (result,) = solve(server, n_samples=4, alpha=0.5)
    outputs = {output.name: result.as_numpy(output.name) for output in A1_OUTPUTS}
    assert all(value is not None for value in outputs.values())
    finished = event_of(result)
    assert isinstance(finished, ProblemFinished)
    votes = dict(finished.result.votes)
    assert dict(zip([a.decode() for a in outputs["vote_answers"]], outputs["vote_counts"], strict=True)) == votes
    assert outputs["answer"][0].decode() == (finished.result.answer or "")
    usage = finished.result.usage
    assert outputs["draft_tokens"] == usage.draft_tokens > 0
    assert outputs["target_tokens"] == usage.target_tokens
    assert outputs["scored_tokens"] == usage.scored_tokens
    assert outputs["n_scored"] == usage.n_scored
    assert outputs["n_takeovers"] == usage.n_takeovers
    assert outputs["n_stopped"] == usage.n_stopped
    assert outputs["wall_s"] > 0
    assert finished.result.trajectories == ()


def test_a_rate_of_nothing_is_zero_which_json_can_say(server):
    (result,) = solve(server, strategy="draft_only", n_samples=2)
    assert result.as_numpy("rejection_rate")[0] == 0.0
    assert result.as_numpy("n_scored").tolist() == [0]


def test_trajectories_come_when_asked_for(server):
    (result,) = solve(server, n_samples=3, return_trajectories=True)
    assert [each.sample for each in event_of(result).result.trajectories] == [0, 1, 2]


def test_a_stream_tells_every_event_and_ends_with_the_result(server):
    results = solve(server, n_samples=6, stream=True, draft_tokens=8, target_tokens=8, early_stop=False)
    events = [event_of(result) for result in results]
    last = events[-1]
    assert isinstance(last, ProblemFinished)
    assert not any(isinstance(event, ProblemFinished) for event in events[:-1])
    assert sorted(event.sample for event in events if isinstance(event, SampleFinished)) == list(range(6))
    scored = [event for event in events if isinstance(event, SegmentScored)]
    assert len(scored) == last.result.usage.n_scored > 0
    assert sum(event.takeover for event in scored) == last.result.usage.n_takeovers
    written = [event.segment for event in events if isinstance(event, SegmentWritten)]
    assert sum(each.n_tokens for each in written if each.role == "draft") == last.result.usage.draft_tokens
    assert all(result.as_numpy("answer") is None for result in results[:-1])
    assert results[-1].as_numpy("wall_s")[0] > 0


def test_http_generate_and_the_same_seed_give_the_same_draws(server):
    said = {"problem": PROBLEM, "n_samples": 4, "seed": 7, "strategy": "draft_only"}
    url = f"{server.http_url}/v2/models/a1/generate"
    answers = [httpx.post(url, json=said, timeout=60) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    first, second = (answer.json() for answer in answers)
    assert {output.name for output in A1_OUTPUTS} <= first.keys()
    assert first["vote_answers"] == second["vote_answers"]
    (over,) = solve(server, **{name: value for name, value in said.items() if name != "problem"})
    assert [answer.decode() for answer in over.as_numpy("vote_answers")] == np.atleast_1d(
        first["vote_answers"]
    ).tolist()


def test_http_generate_stream_sends_events(server):
    said = {"problem": PROBLEM, "n_samples": 2, "stream": True}
    with httpx.stream("POST", f"{server.http_url}/v2/models/a1/generate_stream", json=said, timeout=60) as answer:
        told = [line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: ")]
    events = [json.loads(json.loads(each)["event"]) for each in told]
    assert events[-1]["event"] == "result"
    assert {"segment", "sample"} <= {event["event"] for event in events[:-1]}


def test_the_request_id_names_the_problem(server):
    (result,) = asyncio.run(over_grpc(server, {"problem": PROBLEM, "n_samples": 1}, request_id="mine"))
    assert event_of(result).result.problem.id == "mine"


def test_many_problems_at_once(server):
    async def scenario():
        few = {"problem": PROBLEM, "n_samples": 2, "max_turns": 2}
        asked = [over_grpc(server, {**few, "seed": seed}) for seed in range(24)]
        return await asyncio.gather(*asked)

    assert [len(results) for results in asyncio.run(scenario())] == [1] * 24


@pytest.mark.parametrize("stream", [False, True])
def test_cancelling_stops_all_work(server, stream):
    async def scenario():
        asked = asyncio.ensure_future(over_grpc(server, {"problem": PROBLEM, "stream": stream, **ENDLESS}))
        await until(lambda: in_flight(server) > 32, timeout_s=60)
        before = cut_short(server)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        # Left alone, the work would end as well, but not by being cut short.
        await until(lambda: in_flight(server) == 0 and cut_short(server) > before, timeout_s=60)

    asyncio.run(scenario())
    before = metrics(server)
    assert solve(server, n_samples=1, strategy="draft_only")
    after = metrics(server)
    assert after['a1_segments_total,role="target"'] == before['a1_segments_total,role="target"']


def test_the_metrics_count_what_the_results_say(server):
    before = metrics(server)
    usage = []
    for seed in range(3):
        (result,) = solve(server, n_samples=3, seed=seed, max_turns=4, target_tokens=16, early_stop=False)
        usage.append(event_of(result).result.usage)
    after = metrics(server)

    def gained(name):
        return after[name] - before[name]

    assert gained("a1_problems_total") == 3
    assert gained("a1_scored_total") == sum(each.n_scored for each in usage) > 0
    assert gained("a1_takeovers_total") == sum(each.n_takeovers for each in usage)
    assert gained('a1_tokens_total,kind="generated",role="draft"') == sum(each.draft_tokens for each in usage)
    assert gained('a1_tokens_total,kind="generated",role="target"') == sum(each.target_tokens for each in usage)
    assert gained('a1_tokens_total,kind="scored",role="target"') == sum(each.scored_tokens for each in usage)
    assert gained("a1_p_value_count") == gained("a1_scored_total")
    assert after["a1_calibration_size"] == after["a1_scored_total"]
    assert after["a1_rejection_rate"] == pytest.approx(after["a1_takeovers_total"] / after["a1_scored_total"])
    assert 'a1_p_value_bucket,le="0.1"' in after
    assert {f'a1_calls_in_flight,role="{role}"' for role in ("draft", "target")} <= after.keys()
    assert "a1_stopped_samples_total" in after


BAD = [
    ("problem", {"problem": ""}),
    ("problem", {"problem": " \n"}),
    ("problem", {"problem": "x" * 10_000_000}),
    ("alpha", {"alpha": 0.0}),
    ("alpha", {"alpha": 1.0}),
    ("alpha", {"alpha": -1.0}),
    ("n_samples", {"n_samples": 0}),
    ("n_samples", {"n_samples": 1_000_000}),
    ("max_turns", {"max_turns": 0}),
    ("budget", {"budget": 99, "n_samples": 4}),
    ("budget", {"budget": 1, "alpha": 0.5}),
    ("draft_tokens", {"draft_tokens": 0}),
    ("target_tokens", {"target_tokens": -5}),
    ("temperature", {"temperature": -0.5}),
    ("seed", {"seed": -1}),
    ("strategy", {"strategy": "magic"}),
    ("admission", {"admission": "never"}),
]


def refused_over_grpc(server, said):
    message = asyncio.run(over_grpc(server, said))
    assert isinstance(message, str)
    return message


def refused_over_http(server, said):
    answer = httpx.post(f"{server.http_url}/v2/models/a1/generate", json=said, timeout=60)
    assert answer.status_code == 400
    return answer.json()["error"]


@pytest.mark.parametrize("refused", [refused_over_grpc, refused_over_http])
@pytest.mark.parametrize(("field", "said"), BAD, ids=[f"{field}-{index}" for index, (field, _) in enumerate(BAD)])
def test_bad_input_is_a_typed_error_that_names_its_field(server, refused, field, said):
    error = from_wire(refused(server, {"problem": PROBLEM, **said}))
    assert isinstance(error, InvalidRequestError)
    assert error.field == field
    assert error.remedy


def test_a_problem_longer_than_the_context_is_refused(server):
    for refused in (refused_over_grpc, refused_over_http):
        error = from_wire(refused(server, {"problem": PROBLEM * 1000, "n_samples": 2}))
        assert error.code == "context_length"
        assert error.remedy


def test_unknown_keys_of_http_are_refused(server):
    error = from_wire(refused_over_http(server, {"problem": PROBLEM, "samples": 4}))
    assert error.field == "samples"
    assert "n_samples" in error.remedy


def test_text_that_is_not_utf8_is_refused(server):
    broken = tensor("problem", b"\xff\xfe\x00", np.object_)
    error = from_wire(refused_over_grpc(server, {"problem": broken}))
    assert error.field == "problem"
    assert "UTF-8" in error.message


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("colour", {"colour": "red"}),
        ("alpha", {"alpha": tensor("alpha", 1, np.int32)}),
        ("n_samples", {"n_samples": tensor("n_samples", 2, np.int64)}),
    ],
)
def test_what_triton_itself_refuses_names_the_tensor(server, named, said):
    assert named in refused_over_grpc(server, {"problem": PROBLEM, **said})


def test_a_missing_problem_is_named(server):
    assert "problem" in refused_over_grpc(server, {"n_samples": 2})
    assert "problem" in refused_over_http(server, {"n_samples": 2})


def test_others_are_served_while_some_are_refused(server):
    async def scenario():
        good = [over_grpc(server, {"problem": PROBLEM, "n_samples": 2, "seed": seed}) for seed in range(6)]
        bad = [over_grpc(server, {"problem": PROBLEM, **said}) for _, said in BAD]
        return await asyncio.gather(*good), await asyncio.gather(*bad)

    good, bad = asyncio.run(scenario())
    assert all(isinstance(results, list) for results in good)
    assert all(isinstance(message, str) for message in bad)
