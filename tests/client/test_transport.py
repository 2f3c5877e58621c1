"""Retries only where they are safe; requests as the served model wants them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import get_type_hints

import pytest

from a1_trt.client import AsyncClient
from a1_trt.client._transport import ATTEMPTS, Overrides, retried, unreachable
from a1_trt.client._wire import DATATYPES, events_of, tensors_of, typed_error
from a1_trt.errors import A1Error, EngineError, EngineUnavailable, InvalidRequestError
from a1_trt.parameters import DECLARED, FORMER_NAMES, Parameters
from a1_trt.requests import make_options
from a1_trt.runtime import virtual_time
from a1_trt.triton.tensors import A1_INPUTS
from a1_trt.types import Event, Problem, SampleEnd, SampleFinished

EVENT = SampleFinished(0, SampleEnd.ANSWERED, "42")


class Server:
    """Fails as it is told: `before` the first event, then `after` it."""

    def __init__(self, before: list[A1Error], after: A1Error | None = None) -> None:
        self.before, self.after, self.n_calls = before, after, 0

    async def events(self) -> AsyncGenerator[Event, None]:
        self.n_calls += 1
        if self.before:
            raise self.before.pop(0)
        yield EVENT
        if self.after:
            raise self.after


async def collect(server: Server) -> list[Event]:
    return [event async for event in retried(server.events)]


def test_a_server_that_comes_back_is_asked_again_after_a_growing_pause() -> None:
    async def main() -> tuple[list[Event], float]:
        return await collect(server), asyncio.get_running_loop().time()

    server = Server([unreachable("host:1", "refused")] * 2)
    events, now_s = virtual_time.run(main())
    assert events == [EVENT]
    assert server.n_calls == 3
    assert now_s > 0


def test_attempts_are_bounded() -> None:
    server = Server([unreachable("host:1", "refused")] * 100)
    with pytest.raises(EngineUnavailable, match="a1-trt serve"):
        virtual_time.run(collect(server))
    assert server.n_calls == ATTEMPTS


def test_nothing_is_repeated_after_the_first_event() -> None:
    server = Server([], after=unreachable("host:1", "reset"))
    with pytest.raises(EngineUnavailable):
        virtual_time.run(collect(server))
    assert server.n_calls == 1


def test_an_error_of_the_server_itself_is_not_repeated() -> None:
    server = Server([EngineUnavailable("the draft is gone", role="draft")])
    with pytest.raises(EngineUnavailable, match="the draft is gone"):
        virtual_time.run(collect(server))
    assert server.n_calls == 1


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_nobody_listens(scheme: str, unused_port: int) -> None:
    async def main() -> None:
        async with AsyncClient(f"{scheme}://127.0.0.1:{unused_port}") as client:
            await client.solve("What?")

    with pytest.raises(EngineUnavailable, match="a1-trt serve") as caught:
        asyncio.run(main())
    assert caught.value.field == "url"


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_arguments_are_checked_before_anything_is_sent(scheme: str, unused_port: int) -> None:
    async def main() -> None:
        async with AsyncClient(f"{scheme}://127.0.0.1:{unused_port}") as client:
            await client.solve("What?", alpha=2.0)

    with pytest.raises(InvalidRequestError, match="alpha"):
        asyncio.run(main())


def test_a_request_that_cannot_be_sent_is_an_error_and_no_cancellation(unused_port: int) -> None:
    """Else a group of tasks would end without any error."""

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks, AsyncClient(f"grpc://127.0.0.1:{unused_port}") as client:
            events = client.events(Problem("\ud83d", id="\ud83d"), make_options(Parameters(), {}))
            await tasks.create_task(anext(events))

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(main())
    (error,) = caught.value.exceptions
    assert isinstance(error, EngineError | InvalidRequestError)
    assert type(error) is not EngineUnavailable


def test_requests_carry_the_served_models_inputs_and_every_override() -> None:
    served = {tensor.name: tensor.data_type.replace("STRING", "BYTES") for tensor in A1_INPUTS}
    assert served == DATATYPES
    assert {*Overrides.__annotations__, *FORMER_NAMES, "problem", "stream", "return_trajectories"} == set(served)


def test_the_typed_overrides_are_the_declared_parameters() -> None:
    declared = {name: hint | None for name, hint in get_type_hints(Parameters).items() if name in DECLARED}
    del declared["on_score_error"]
    assert get_type_hints(Overrides) == {**declared, "budget": int | None}


def test_a_parameter_that_only_the_pair_file_sets_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="pair file"):
        tensors_of(Problem("What?"), {"on_score_error": "fail"}, live=False)


def test_a_servers_words_become_typed_errors() -> None:
    error = typed_error("in ensemble: invalid_request[alpha]: alpha is 2.0; remedy: choose a rate in (0, 1)")
    assert isinstance(error, InvalidRequestError)
    assert error.field == "alpha"
    assert type(typed_error("something broke")) is EngineError


def test_an_empty_event_tensor_is_no_event() -> None:
    assert list(events_of(b"", Problem("What?"))) == []
