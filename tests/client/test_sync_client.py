"""The face without asyncio says the same words and leaves no thread behind."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Callable
from concurrent import futures

import pytest

from a1_trt.client import AsyncClient, Client
from a1_trt.errors import Cancelled, DeadlineExceeded, EngineUnavailable
from a1_trt.runtime.session import Session
from a1_trt.types import ProblemFinished, Result

Make = Callable[..., Session]
NAMES = {"aclose": "close", "__aenter__": "__enter__", "__aexit__": "__exit__"}


def methods(kind: type) -> dict[str, list[tuple[str, object, object]]]:
    """Method name as in the face without asyncio -> its parameters."""
    return {
        NAMES.get(name, name): [(p.name, p.kind, p.default) for p in inspect.signature(method).parameters.values()]
        for name, method in vars(kind).items()
        if inspect.isfunction(method) and (not name.startswith("_") or name in {*NAMES, *NAMES.values()})
    }


def annotations(kind: type, name: str) -> dict[str, str]:
    return {key: said for key, said in vars(kind)[name].__annotations__.items() if key != "return"}


def test_both_faces_have_the_same_methods() -> None:
    without_servers_way_in = {name: signature for name, signature in methods(AsyncClient).items() if name != "events"}
    assert methods(Client) == without_servers_way_in


@pytest.mark.parametrize("name", ["solve", "solve_many", "stream"])
def test_both_faces_take_the_same_types(name: str) -> None:
    assert annotations(Client, name) == annotations(AsyncClient, name)


def test_it_solves_streams_and_ends_its_thread(session: Make) -> None:
    with Client(session()) as client:
        result = client.solve("What?", n_samples=3, early_stop=False)
        *_, last = client.stream("What?", n_samples=3, early_stop=False)
        many = client.solve_many(["a", "b", "c"], n_samples=2)
        assert any(thread.name == "a1-trt-client" for thread in threading.enumerate())
    assert isinstance(last, ProblemFinished)
    # The answers may differ: the second run is ranked among the scores of the first.
    assert last.result.problem == result.problem
    assert len(last.result.trajectories) == len(result.trajectories) == 3
    assert all(isinstance(outcome, Result) for outcome in many)
    assert not any(thread.name == "a1-trt-client" for thread in threading.enumerate())


def test_it_gives_the_same_as_the_asynchronous_one(session: Make) -> None:
    async def asynchronous() -> Result:
        async with AsyncClient(session()) as client:
            return await client.solve("What?", seed=5, early_stop=False)

    with Client(session()) as client:
        mine = client.solve("What?", seed=5, early_stop=False)
    assert mine.votes == asyncio.run(asynchronous()).votes


def test_leaving_a_stream_stops_the_work(session: Make) -> None:
    opened = session(lambda number, _: "hang" if number else None)
    with Client(opened) as client:
        events = client.stream("What?")
        next(events)
        events.close()
        while any(opened.snapshot()["calls_in_flight"].values()):  # hangs where the work goes on
            time.sleep(0.001)


def test_a_deadline_is_an_error(session: Make) -> None:
    with Client(session(lambda *_: "hang")) as client, pytest.raises(DeadlineExceeded):
        client.solve("What?", deadline_s=0.05)


def test_closing_stops_work_of_other_threads(session: Make) -> None:
    client = Client(session(lambda *_: "hang"))
    outcomes: list[object] = []

    def wait() -> None:
        try:
            outcomes.append(client.solve("What?"))
        except BaseException as error:  # noqa: BLE001 - looked at below
            outcomes.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    with pytest.raises(DeadlineExceeded):  # by now the other thread's call is under way
        client.solve("What?", deadline_s=0.05)
    client.close()
    client.close()
    thread.join(60)
    (outcome,) = outcomes
    assert isinstance(outcome, asyncio.CancelledError | futures.CancelledError | Cancelled | EngineUnavailable)
    with pytest.raises(EngineUnavailable, match="closed"):
        client.solve("What?")


def test_a_client_that_was_never_used_can_be_closed(session: Make) -> None:
    Client(session()).close()
