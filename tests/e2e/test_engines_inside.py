"""The tracked model repository, as a user serves it: a1 holds its engines itself. The tests of a1 that tell, again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from a1_trt.client import AsyncClient
from a1_trt.runtime.session import open_session
from a1_trt.triton.probe import probe
from a1_trt.triton.server import TritonServer
from a1_trt.types import Problem
from tests.e2e.test_a1_model import (  # noqa: F401 - tests that are collected here, too
    PROBLEM,
    in_flight,
    metrics,
    over_grpc,
    solve,
    test_a_problem_longer_than_the_context_is_refused,
    test_a_stream_tells_every_event_and_ends_with_the_result,
    test_http_generate_stream_sends_events,
    test_many_problems_at_once,
    test_others_are_served_while_some_are_refused,
    test_the_metrics_count_what_the_results_say,
    until,
)
from tests.places import ROOT


@pytest.fixture(scope="module")
def server(reference, tmp_path_factory) -> Iterator[TritonServer]:
    log_path = tmp_path_factory.mktemp("triton") / "server.log"
    with TritonServer(reference, repository=ROOT / "triton_models", log_path=log_path) as running:
        yield running


def test_draft_and_target_are_served_beside_it(server):
    assert [report.name for report in probe(server.http_url)] == ["a1", "draft", "target"]


def test_its_engines_are_its_own_and_draft_and_target_stay_at_rest(server):
    solve(server, n_samples=4)
    told = metrics(server)
    assert told['a1_tokens_total,kind="generated",role="draft"'] > 0
    assert not any(value for name, value in told.items() if name.startswith("a1_engine_requests"))
    (stub,) = (pid for pid in children(server.pid) if any(word.endswith("/a1/1/model.py") for word in command(pid)))
    assert sum("a1_trt.backends.openvino.worker" in command(pid) for pid in children(stub)) >= 2


@pytest.mark.usefixtures("warm_engines")
def test_the_draft_draws_what_it_draws_in_this_process(server, reference):
    said = {"n_samples": 4, "seed": 5, "strategy": "draft_only", "early_stop": False}

    async def votes():
        async with (
            await open_session(reference) as session,
            AsyncClient(session) as here,
            AsyncClient(f"grpc://{server.grpc_url}") as there,
        ):
            return [(await client.solve(Problem(PROBLEM), **said)).votes for client in (here, there)]

    here, there = asyncio.run(votes())
    assert here == there


def test_a_client_that_leaves_stops_the_work(server):
    solve(server, n_samples=1)
    n_segments = metrics(server)['a1_segments_total,role="draft"']
    many = {"n_samples": 1024, "early_stop": False}

    async def scenario():
        asked = asyncio.ensure_future(over_grpc(server, {"problem": PROBLEM, **many}))
        await until(lambda: in_flight(server) > 32, timeout_s=60)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        await until(lambda: in_flight(server) == 0, timeout_s=60)

    asyncio.run(scenario())
    before = metrics(server)
    assert before['a1_segments_total,role="draft"'] - n_segments < many["n_samples"]
    time.sleep(0.5)
    assert metrics(server) == before


def children(process: int) -> list[int]:
    """Processes that a process has started."""
    said = (path.read_text() for path in Path(f"/proc/{process}/task").glob("*/children"))
    return [int(child) for line in said for child in line.split()]


def command(process: int) -> list[str]:
    """The words of a process's command line."""
    return Path(f"/proc/{process}/cmdline").read_text().split("\0")
