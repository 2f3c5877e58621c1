"""The simulated engine when calls are cancelled, refused, late or fail."""

import asyncio
from dataclasses import replace

import pytest

from a1_trt.errors import (
    ContextLengthError,
    EngineOverloaded,
    EngineUnavailable,
    InvalidRequestError,
    ProtocolError,
    ScoreShapeError,
)
from a1_trt.runtime.virtual_time import run
from a1_trt.simulate.engine_model import EngineLimits
from tests.doubles.simulated import SimulatedEngine
from tests.simulate.test_simulated import WHOLE, Plain, engine_of, now, timed, write


def test_cancelling_frees_slot_and_blocks_at_once():
    async def main():
        engine = engine_of(max_sequences=1, kv_blocks=8, max_context_tokens=128)
        long = asyncio.ensure_future(write(engine, [1] * 16, 100))
        await asyncio.sleep(0)
        waiting = asyncio.ensure_future(timed(write(engine, [2], 3)))
        await asyncio.sleep(4.5)
        assert (engine.n_running, engine.n_waiting, engine.blocks_in_use) == (1, 1, 8)
        long.cancel()
        await asyncio.sleep(0)
        assert (now(), engine.n_running, engine.blocks_in_use) == (4.5, 0, 0)
        assert engine.counters.generated_tokens == 4
        return (await waiting)[0], engine.counters.generated_tokens

    assert run(main()) == (8.0, 7)


def test_cancelling_a_waiting_request_takes_it_out_of_the_queue():
    async def main():
        engine = engine_of(max_sequences=1)
        calls = [asyncio.ensure_future(timed(write(engine, [number], 10))) for number in range(3)]
        await asyncio.sleep(2)
        calls[1].cancel()
        await asyncio.sleep(0)
        assert engine.n_waiting == 1
        return (await calls[0])[0], (await calls[2])[0]

    assert run(main()) == (10.0, 20.0)


def test_a_request_that_is_cancelled_as_it_ends_does_no_harm():
    async def main():
        engine = engine_of()
        call = asyncio.ensure_future(write(engine, [1], 5))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_at(5.0, call.cancel)
        await asyncio.gather(call, return_exceptions=True)
        return (await timed(write(engine, [2], 5)))[0], engine.n_running, engine.blocks_in_use

    assert run(main()) == (10.0, 0, 0)


def test_closing_fails_calls_in_flight_and_later_ones():
    async def main():
        engine = engine_of(max_sequences=1, faults=lambda number, verb: 5.0 if number == 2 else None)
        calls = [asyncio.ensure_future(write(engine, [1], 100)) for _ in range(3)]
        await asyncio.sleep(2)
        await engine.aclose()
        await engine.aclose()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [EngineUnavailable] * 3
        assert (engine.n_running, engine.n_waiting, engine.blocks_in_use) == (0, 0, 0)
        with pytest.raises(EngineUnavailable):
            await engine.score([1], [2])

    run(main())


# --- wrong arguments and faults -------------------------------------------------------------------------------------


def test_what_does_not_fit_is_refused():
    engine = engine_of(kv_blocks=4, max_context_tokens=64)
    with pytest.raises(ContextLengthError, match="64") as caught:
        run(write(engine, [1] * 60, 5))
    assert (caught.value.role, caught.value.field) == ("target", "prompt")
    assert len(run(write(engine, [1] * 60, 4)).token_ids) == 4
    for call in (engine.score([], [1]), engine.score([1], []), write(engine, [1], 0), write(engine, [], 1)):
        with pytest.raises(InvalidRequestError):
            run(call)


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("max_sequences", {"max_sequences": 0}),
        ("max_num_batched_tokens", {"max_num_batched_tokens": 8, "max_sequences": 9}),
        ("max_context_tokens", {"kv_blocks": 2, "block_tokens": 16, "max_context_tokens": 33}),
    ],
)
def test_limits_that_make_no_sense_are_refused(name, limits):
    with pytest.raises(InvalidRequestError) as caught:
        EngineLimits(**limits)
    assert caught.value.field == name
    assert caught.value.remedy


def test_too_few_log_probs_are_an_error():
    with pytest.raises(ScoreShapeError):
        run(engine_of(text=Plain(missing=1)).score([1], [2, 3]))


def test_faults():
    asked = []
    plan = {1: EngineOverloaded("full", role="target"), 2: 3.0}

    def faults(number, verb):
        asked.append((number, verb))
        return plan.get(number)

    async def main():
        engine = engine_of(faults=faults)
        assert (await timed(write(engine, [1], 2)))[0] == 2.0
        with pytest.raises(EngineOverloaded, match="full"):
            await engine.score([1], [2])
        assert (await timed(write(engine, [1], 2)))[0] == 7.0

    run(main())
    assert asked == [(0, "generate"), (1, "score"), (2, "generate")]


def test_an_engine_that_hangs_does_so_until_cancelled():
    async def main():
        engine = engine_of(faults=lambda number, verb: "hang" if number == 0 else None)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await write(engine, [1], 2)
        return (await timed(write(engine, [1], 2)))[0]

    assert run(main()) == 62.0
    with pytest.raises(ProtocolError, match="deadlock"):
        run(write(engine_of(faults=lambda number, verb: "hang"), [1], 2))


def test_it_runs_on_an_ordinary_loop():
    async def main():
        engine = SimulatedEngine(costs=replace(WHOLE, overhead_s=1e-4), text=Plain())
        calls = [write(engine, [number], 1 + number) for number in range(20)]
        return [len(written.token_ids) for written in await asyncio.gather(*calls)]

    assert asyncio.run(main()) == list(range(1, 21))
