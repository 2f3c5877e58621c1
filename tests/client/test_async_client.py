"""The asynchronous client on a session in this process, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import pytest

from a1_trt.client import AsyncClient, Progress
from a1_trt.errors import A1Error, ConfigError, DeadlineExceeded, EngineError, EngineUnavailable, InvalidRequestError
from a1_trt.requests import Options
from a1_trt.runtime import virtual_time
from a1_trt.runtime.session import Session
from a1_trt.types import Problem, ProblemFinished, Result, SampleFinished, SegmentScored, SegmentWritten

Make = Callable[..., Session]


def test_solve_returns_the_vote_and_the_problem_as_it_was_given(session: Make) -> None:
    async def main() -> Result:
        async with AsyncClient(session()) as client:
            return await client.solve(Problem("What?", "q7", answer="42"), n_samples=5, seed=3, early_stop=False)

    result = virtual_time.run(main())
    assert result.problem == Problem("What?", "q7", answer="42")
    assert len(result.trajectories) == 5
    assert sum(n for _, n in result.votes) == 5
    assert result.answer == result.votes[0][0]


def test_stream_tells_everything_and_ends_with_the_result(session: Make) -> None:
    async def main() -> list[object]:
        async with AsyncClient(session()) as client:
            return [event async for event in client.stream("What?", early_stop=False)]

    events = virtual_time.run(main())
    assert isinstance(events[-1], ProblemFinished)
    assert sum(isinstance(event, ProblemFinished) for event in events) == 1
    assert sum(isinstance(event, SampleFinished) for event in events) == 4
    usage = events[-1].result.usage
    assert sum(isinstance(event, SegmentScored) for event in events) == usage.n_scored
    assert any(isinstance(event, SegmentWritten) for event in events)


def test_leaving_a_stream_stops_the_work(session: Make) -> None:
    async def main() -> dict[str, int]:
        opened = session()
        async with AsyncClient(opened) as client, aclosing(client.stream("What?")) as events:
            await anext(events)
        await asyncio.sleep(0.1)
        return dict(opened.snapshot()["calls_in_flight"])

    assert virtual_time.run(main()) == {"draft": 0, "target": 0}


def test_many_problems_are_in_flight_at_once(session: Make) -> None:
    async def wall_s(concurrency: int) -> float:
        clock = asyncio.get_running_loop().time
        async with AsyncClient(session()) as client:
            started_s = clock()
            await client.solve_many([f"Problem {n}" for n in range(8)], concurrency=concurrency)
            return clock() - started_s

    assert virtual_time.run(wall_s(8)) < 0.5 * virtual_time.run(wall_s(1))


def test_a_slow_problem_holds_nobody_back(session: Make) -> None:
    async def main() -> list[Progress]:
        seen: list[Progress] = []
        faults = {0: 1000.0}
        async with AsyncClient(session(lambda number, _: faults.get(number))) as client:
            await client.solve_many(["slow", *(f"quick {n}" for n in range(6))], concurrency=2, on_progress=seen.append)
        return seen

    seen = virtual_time.run(main())
    assert [progress.n_done for progress in seen] == [1, 2, 3, 4, 5, 6, 7]
    assert {progress.n_total for progress in seen} == {7}
    assert seen[-1].index == 0


def test_a_failing_problem_harms_no_other(session: Make) -> None:
    async def main() -> list[Result | A1Error]:
        async with AsyncClient(session()) as client:
            return await client.solve_many(["first", "", Problem("third", "c")])

    first, second, third = virtual_time.run(main())
    assert isinstance(first, Result)
    assert first.problem.id == "0"
    assert isinstance(second, InvalidRequestError)
    assert second.field == "problem"
    assert isinstance(third, Result)
    assert third.problem.id == "c"


def test_a_failure_of_any_kind_harms_no_other(session: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    solve = AsyncClient._solve

    async def solve_or_break(client: AsyncClient, problem: Problem, options: Options) -> Result:
        if problem.id == "1":
            raise OverflowError("too large")
        return await solve(client, problem, options)

    async def main() -> list[Result | A1Error]:
        monkeypatch.setattr(AsyncClient, "_solve", solve_or_break)
        async with AsyncClient(session()) as client:
            return await client.solve_many(["first", "second", "\ud83d third", "fourth"])

    first, second, third, fourth = virtual_time.run(main())
    assert (type(first), type(fourth)) == (Result, Result)
    assert str(second) == "OverflowError: too large"
    assert isinstance(second, EngineError)
    assert isinstance(third, InvalidRequestError)


def test_an_engine_that_fails_gives_its_typed_error(session: Make) -> None:
    def always(number: int, verb: str) -> A1Error:
        return EngineError(f"{verb} {number} failed", role="draft")

    async def main() -> list[Result | A1Error]:
        async with AsyncClient(session(always)) as client:
            return await client.solve_many(["a", "b"])

    assert [type(outcome) for outcome in virtual_time.run(main())] == [EngineError, EngineError]


def test_a_deadline_is_an_error_and_stops_the_work(session: Make) -> None:
    async def main() -> dict[str, int]:
        opened = session(lambda *_: "hang")
        async with AsyncClient(opened) as client:
            with pytest.raises(DeadlineExceeded, match="within 5") as caught:
                await client.solve("What?", deadline_s=5.0)
        assert caught.value.field == "deadline_s"
        assert asyncio.get_running_loop().time() == pytest.approx(5.0)
        await asyncio.sleep(0.1)
        return dict(opened.snapshot()["calls_in_flight"])

    assert virtual_time.run(main()) == {"draft": 0, "target": 0}


def test_the_consumer_of_a_stream_is_not_cancelled_by_the_deadline(session: Make) -> None:
    async def main() -> None:
        async with AsyncClient(session()) as client, aclosing(client.stream("What?", deadline_s=5.0)) as events:
            await anext(events)
            await asyncio.sleep(10.0)
            with pytest.raises(DeadlineExceeded):
                async for _ in events:
                    pass

    virtual_time.run(main())


def test_cancelling_solve_many_stops_everything(session: Make) -> None:
    async def main() -> dict[str, int]:
        opened = session(lambda *_: "hang")
        async with AsyncClient(opened) as client:
            task = asyncio.create_task(client.solve_many(["a", "b", "c"]))
            await asyncio.sleep(1.0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await asyncio.sleep(0.1)
        return dict(opened.snapshot()["calls_in_flight"])

    assert virtual_time.run(main()) == {"draft": 0, "target": 0}


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"alpha": 1.5}, "alpha"),
        ({"n_samples": 0}, "n_samples"),
        ({"n_samples": 10**6}, "n_samples"),
        ({"n_samples": "8"}, "n_samples"),
        ({"budget": 4}, "budget"),
        ({"alpha": 0.3, "budget": 1}, "budget"),
        ({"strategy": "best"}, "strategy"),
        ({"alhpa": 0.3}, "alhpa"),
        ({"deadline_s": 0}, "deadline_s"),
    ],
)
def test_wrong_arguments_name_field_and_remedy(session: Make, parameters: dict[str, object], field: str) -> None:
    async def main() -> None:
        async with AsyncClient(session()) as client:
            with pytest.raises(InvalidRequestError) as one:
                await client.solve("What?", **parameters)
            with pytest.raises(InvalidRequestError) as many:
                await client.solve_many(["What?"], **parameters)
            with pytest.raises(InvalidRequestError) as streamed:
                async for _ in client.stream("What?", **parameters):
                    pass
        for caught in (one, many, streamed):
            assert caught.value.field == field
            assert caught.value.remedy

    virtual_time.run(main())


@pytest.mark.parametrize("concurrency", [0, -1, True, 2.5])
def test_concurrency_is_checked(session: Make, concurrency: object) -> None:
    async def main() -> None:
        async with AsyncClient(session()) as client:
            await client.solve_many(["What?"], concurrency=concurrency)

    with pytest.raises(InvalidRequestError, match="concurrency"):
        virtual_time.run(main())


def test_an_error_in_the_callers_callback_comes_out_as_it_is(session: Make) -> None:
    def fail(_: Progress) -> None:
        raise KeyError("mine")

    async def main() -> None:
        async with AsyncClient(session()) as client:
            await client.solve_many(["a", "b"], on_progress=fail)

    with pytest.raises(KeyError, match="mine"):
        virtual_time.run(main())


def test_a_session_stays_open_and_a_closed_client_says_so(session: Make) -> None:
    async def main() -> None:
        opened = session()
        client = AsyncClient(opened)
        await client.aclose()
        await client.aclose()
        with pytest.raises(EngineUnavailable, match="closed"):
            await client.solve("What?")
        assert (await AsyncClient(opened).solve("What?")).answer

    virtual_time.run(main())


@pytest.mark.parametrize("url", ["grpc://localhost", "ftp://localhost:1", "http://:8000", "grpc://localhost:port"])
def test_a_wrong_url_is_refused_at_once(url: str) -> None:
    with pytest.raises(InvalidRequestError, match="grpc://host:port") as caught:
        AsyncClient(url)
    assert caught.value.field == "url"


def test_an_unknown_pair_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="did you mean reference"):
        AsyncClient("refrence")
