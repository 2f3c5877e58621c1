"""The client against a real Triton, over gRPC and HTTP alike."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager

import httpx
import pytest

from a1_trt.client import AsyncClient, Client
from a1_trt.config import Pair
from a1_trt.errors import A1Error, ContextLengthError, DeadlineExceeded, EngineError, InvalidRequestError
from a1_trt.triton.server import TritonServer
from a1_trt.types import Problem, ProblemFinished, Result, SampleFinished, SegmentScored, SegmentWritten

PROBLEM = "a = 3, b = a+4, c = b*2. What is c modulo 100?"
# Seconds of work; while it goes on, most of its samples have not even begun.
LONG = {"n_samples": 1024, "early_stop": False}


@pytest.fixture(params=["grpc", "http"])
def url(request: pytest.FixtureRequest, server: TritonServer) -> str:
    return f"grpc://{server.grpc_url}" if request.param == "grpc" else server.http_url


def metric(server: TritonServer, name: str) -> float:
    """Sum of one of the server's metrics over its labels."""
    text = httpx.get(server.metrics_url, trust_env=False).text
    values = [float(line.split()[-1]) for line in text.splitlines() if line.startswith(name)]
    assert values, "the server has no such metric"
    return sum(values)


def wait_until(server: TritonServer, *, busy: bool, within_s: float = 60.0) -> None:
    """The metric is renewed ten times a second."""
    end_s = time.monotonic() + within_s
    while (metric(server, "a1_calls_in_flight") > 0) != busy:
        assert time.monotonic() < end_s, f"not {'busy' if busy else 'idle'} within {within_s} s"
        time.sleep(0.05)


@contextmanager
def stopped(server: TritonServer) -> Iterator[None]:
    """After the block the server comes to rest without having worked on all samples of a problem like LONG."""
    before = metric(server, 'a1_segments_total{role="draft"')
    yield
    wait_until(server, busy=False)
    assert metric(server, 'a1_segments_total{role="draft"') - before < LONG["n_samples"]


def test_solve_gives_a_whole_result(url: str) -> None:
    with Client(url) as client:
        result = client.solve(Problem(PROBLEM, "p7", answer="14"), n_samples=4, draft_tokens=8, early_stop=False)
    assert result.problem == Problem(PROBLEM, "p7", answer="14")
    assert len(result.trajectories) == 4
    assert result.usage.draft_tokens > 0
    assert result.usage.n_scored > 0
    assert result.wall_s > 0
    assert all(trajectory.text for trajectory in result.trajectories)


def test_stream_tells_all_and_agrees_with_its_result(url: str) -> None:
    with Client(url) as client:
        events = list(client.stream(PROBLEM, n_samples=4, early_stop=False))
    assert isinstance(events[-1], ProblemFinished)
    result = events[-1].result
    written = [event for event in events if isinstance(event, SegmentWritten)]
    assert (
        sum(event.segment.n_tokens for event in written if event.segment.role == "draft") == result.usage.draft_tokens
    )
    assert sum(isinstance(event, SegmentScored) for event in events) == result.usage.n_scored
    assert sum(isinstance(event, SampleFinished) for event in events) == 4


@pytest.mark.parametrize("strategy", ["target_only", "draft_only"])
def test_one_model_alone_scores_nothing(url: str, strategy: str) -> None:
    with Client(url) as client:
        result = client.solve(PROBLEM, n_samples=2, strategy=strategy)
    assert result.rejection_rate is None
    assert (result.usage.draft_tokens == 0) == (strategy == "target_only")
    assert (result.usage.target_tokens == 0) == (strategy == "draft_only")


def test_every_parameter_arrives(url: str) -> None:
    with Client(url) as client:
        result = client.solve(
            PROBLEM,
            n_samples=3,
            max_turns=2,
            budget=1,
            draft_tokens=5,
            target_tokens=6,
            temperature=1,
            seed=2**40,
            early_stop=False,
            score_answers=True,
            strategy="a1",
            admission="barrier",
        )
    assert len(result.trajectories) == 3
    for trajectory in result.trajectories:
        assert len(trajectory.turns) <= 2
        for turn in trajectory.turns:
            for segment in turn.segments:
                assert segment.n_tokens <= (5 if segment.role == "draft" else 6)


def test_many_problems_over_one_client_with_one_that_is_wrong(url: str) -> None:
    problems = [f"a = {n}, b = a+4. What is b modulo 100?" for n in range(12)]
    problems[5] = " "
    done: list[int] = []
    with Client(url) as client:
        outcomes = client.solve_many(problems, n_samples=1, on_progress=lambda now: done.append(now.index))
    assert sorted(done) == list(range(12))
    for index, (text, outcome) in enumerate(zip(problems, outcomes, strict=True)):
        if index == 5:
            assert isinstance(outcome, InvalidRequestError)
        else:
            assert isinstance(outcome, Result)
            assert outcome.problem == Problem(text, str(index))


@pytest.mark.usefixtures("warm_engines")
def test_grpc_and_http_and_this_process_draw_the_same_samples(server: TritonServer, reference: Pair) -> None:
    def answers(target: str | Pair) -> list[str | None]:
        with Client(target) as client:
            settings = {"n_samples": 4, "seed": 9, "strategy": "draft_only", "early_stop": False}
            return [trajectory.answer for trajectory in client.solve(PROBLEM, **settings).trajectories]

    over_grpc, over_http = answers(f"grpc://{server.grpc_url}"), answers(server.http_url)
    assert over_grpc == over_http
    assert over_grpc == answers(reference)


def test_errors_are_those_of_this_process(url: str) -> None:
    with Client(url) as client:
        with pytest.raises(InvalidRequestError) as one:
            client.solve(PROBLEM, budget=100)  # the client cannot know that the pair has 8 samples; the server does
        assert one.value.field == "budget"
        assert one.value.remedy
        with pytest.raises(ContextLengthError) as two:
            client.solve("1 + " * 20_000, n_samples=1)
        assert two.value.remedy
        assert client.solve(PROBLEM, n_samples=1).trajectories


def test_a_deadline_stops_the_work_on_the_server(server: TritonServer, url: str) -> None:
    with Client(url) as client:
        assert client.solve(PROBLEM, n_samples=1).trajectories
        with stopped(server), pytest.raises(DeadlineExceeded):
            client.solve(PROBLEM, deadline_s=0.3, **LONG)
        assert client.solve(PROBLEM, n_samples=1).trajectories


def test_leaving_a_stream_stops_the_work_on_the_server(server: TritonServer, url: str) -> None:
    with Client(url) as client:
        assert client.solve(PROBLEM, n_samples=1).trajectories
        with stopped(server):
            events = client.stream(PROBLEM, **LONG)
            next(events)
            wait_until(server, busy=True)
            events.close()


def test_cancelling_a_task_stops_the_work_on_the_server(server: TritonServer, url: str) -> None:
    async def main() -> None:
        async with AsyncClient(url) as client, aclosing(client.stream(PROBLEM, **LONG)) as events:
            await anext(events)
            task = asyncio.create_task(client.solve(PROBLEM, **LONG))
            await asyncio.sleep(0.3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not isinstance(await anext(events), A1Error)  # the other problem goes on

    with stopped(server):
        asyncio.run(main())


def test_a_server_without_the_model_says_so(server: TritonServer, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for transport in ("_triton_grpc", "_triton_http"):
        monkeypatch.setattr(f"a1_trt.client.{transport}.MODEL", "no_such_model")
    with Client(url) as client, pytest.raises(A1Error, match="no_such_model") as caught:
        client.solve(PROBLEM)
    assert isinstance(caught.value, EngineError)
