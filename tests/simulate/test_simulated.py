"""The simulated engine: timeline and batching."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a1_trt.engine import Generation
from a1_trt.runtime.virtual_time import run
from a1_trt.simulate.engine_model import EngineCosts, EngineLimits
from tests.doubles.simulated import CharacterTokenizer, RandomText, SimulatedEngine

WHOLE = EngineCosts(
    overhead_s=1.0, weights_s=0.0, prefill_s_per_token=0.0, decode_s_per_token_sequence=0.0, kv_s_per_context_token=0.0
)
"""Every iteration takes one second."""


@dataclass(frozen=True)
class Plain:
    """Writes as many tokens as the seed says, or up to the limit."""

    tokenizer: CharacterTokenizer = field(default_factory=CharacterTokenizer)
    missing: int = 0

    def generate(self, prompt, *, max_tokens, temperature, seed):
        length = seed or max_tokens
        return Generation(tuple(1_000_000 + seed * 1000 + i for i in range(length)), ended=bool(seed))

    def score(self, prompt, segment):
        return [-float(token % 7) for token in segment][self.missing :]


def engine_of(costs=WHOLE, *, text=None, faults=None, **limits):
    return SimulatedEngine("target", text=text or Plain(), costs=costs, limits=EngineLimits(**limits), faults=faults)


def now():
    return asyncio.get_running_loop().time()


async def timed(call):
    result = await call
    return now(), result


def write(engine, prompt, max_tokens, seed=0):
    return engine.generate(prompt, max_tokens=max_tokens, temperature=1.0, seed=seed)


# --- the timeline ---------------------------------------------------------------------------------------------------


def test_prefill_yields_the_first_token_and_each_further_one_takes_an_iteration():
    assert run(timed(write(engine_of(), [1, 2, 3], 5)))[0] == 5.0


def test_an_end_of_text_token_takes_an_iteration():
    end_s, written = run(timed(write(engine_of(), [1, 2, 3], 5, seed=3)))
    assert (end_s, len(written.token_ids), written.ended) == (4.0, 3, True)


def test_a_text_is_cut_at_the_limit():
    end_s, written = run(timed(write(engine_of(), [1], 4, seed=9)))
    assert (end_s, len(written.token_ids), written.ended) == (4.0, 4, False)
    # There is no room for the end-of-text token either.
    assert not run(write(engine_of(), [1], 9, seed=9)).ended


def test_scoring_is_prefill_only():
    engine = engine_of()
    assert run(timed(engine.score([1, 2], [7, 8, 9]))) == (1.0, [-0.0, -1.0, -2.0])
    assert engine.counters.generated_tokens == 0


def test_a_long_prompt_is_prefilled_in_chunks():
    engine = engine_of(max_num_batched_tokens=64, prefix_reuse=False)
    assert run(timed(engine.score(list(range(100)), list(range(100)))))[0] == 4.0
    assert engine.counters.prefilled_tokens == 200


def test_the_costs_are_a_roofline():
    costs = EngineCosts(
        overhead_s=1.0,
        weights_s=100.0,
        prefill_s_per_token=3.0,
        decode_s_per_token_sequence=20.0,
        kv_s_per_context_token=0.5,
    )
    assert costs.iteration_s(prefill_tokens=10, decoding=2, context_tokens=40) == 1 + max(70, 120)
    assert costs.iteration_s(prefill_tokens=40, decoding=2, context_tokens=40) == 1 + max(160, 120)


def test_a_new_request_joins_at_the_next_iteration():
    async def main():
        engine = engine_of()

        async def later():
            await asyncio.sleep(3.5)
            return await timed(write(engine, [4], 2))

        (first, _), (second, _) = await asyncio.gather(timed(write(engine, [1], 10)), later())
        return first, second, engine.counters.iterations

    assert run(main()) == (10.0, 6.0, 10)


def test_a_request_that_comes_on_the_boundary_joins_there():
    async def main():
        engine = engine_of()

        async def later():
            await asyncio.sleep(3)
            return await timed(write(engine, [4], 2))

        return [end for end, _ in await asyncio.gather(timed(write(engine, [1], 10)), later())]

    assert run(main()) == [10.0, 5.0]


def test_the_engine_idles_between_requests():
    async def main():
        engine = engine_of()
        await write(engine, [1], 3)
        await asyncio.sleep(10)
        await write(engine, [2], 3)
        return now(), engine.counters.busy_s

    assert run(main()) == (16.0, 6.0)


def stepwise(requests, costs, budget, slots):
    """When each of the requests that all come at 0 ends, one iteration after another; no KV cache."""
    time, ends, batch, queue = 0.0, {}, [], [[i, n, k, 0] for i, (n, k) in enumerate(requests)]
    while batch or queue:
        decoding = [item for item in batch if item[3]]
        left, prefill, past, advanced = budget - len(decoding), 0, 0, list(decoding)
        lengths = sum(requests[i][0] + taken for i, _, _, taken in decoding)
        fresh = [item for item in batch if not item[3]]
        while left and (fresh or (queue and len(batch) < slots)):
            if not fresh:
                fresh.append(queue.pop(0))
                batch.append(fresh[0])
            item = fresh.pop(0)
            chunk = min(left, item[1])
            past += requests[item[0]][0] - item[1]
            item[1] -= chunk
            left, prefill = left - chunk, prefill + chunk
            if not item[1]:
                advanced.append(item)
        time += costs.iteration_s(
            prefill_tokens=prefill,
            decoding=len(decoding),
            context_tokens=lengths,
            prefill_context_tokens=past,
        )
        for item in advanced:
            item[3] += 1
            if item[3] == item[2]:
                ends[item[0]] = time
                batch.remove(item)
    return [ends[i] for i in range(len(requests))]


@settings(max_examples=100, deadline=None)
@given(
    requests=st.lists(st.tuples(st.integers(1, 90), st.integers(1, 60)), min_size=1, max_size=20),
    slots=st.integers(1, 8),
    budget=st.integers(8, 64),
)
def test_runs_of_many_iterations_have_the_timeline_of_single_ones(requests, slots, budget):
    costs = EngineCosts(weights_s=3e-4)  # so that arithmetic is the larger part at times

    async def main():
        engine = engine_of(costs, max_sequences=slots, max_num_batched_tokens=budget, prefix_reuse=False)
        calls = [timed(write(engine, [i] * n_prompt, n_new)) for i, (n_prompt, n_new) in enumerate(requests)]
        return [end for end, _ in await asyncio.gather(*calls)]

    assert run(main()) == stepwise(requests, costs, budget, slots)  # to the bit


@settings(max_examples=50, deadline=None)
@given(arrivals=st.lists(st.tuples(st.floats(0.0, 0.2), st.integers(1, 40)), min_size=1, max_size=12))
def test_interrupting_a_run_does_not_change_its_timeline(arrivals):
    """Requests that come and go at once cut every run, but take no iteration."""

    async def scenario(disturbed):
        engine = engine_of(EngineCosts(), kv_blocks=64, max_context_tokens=1024, max_sequences=16)

        async def one(at, n_new):
            await asyncio.sleep(at)
            return await timed(write(engine, [1, 2], n_new))

        async def disturb():
            while True:
                await asyncio.sleep(0.0017)
                task = asyncio.ensure_future(write(engine, [3], 1))
                await asyncio.sleep(0)
                task.cancel()

        background = [asyncio.ensure_future(disturb())] if disturbed else []
        ends = [end for end, _ in await asyncio.gather(*(one(*arrival) for arrival in arrivals))]
        for task in background:
            task.cancel()
        return ends, engine.counters.iterations

    assert run(scenario(disturbed=True)) == run(scenario(disturbed=False))


def timeline(seed):
    async def main():
        text = RandomText(seed=seed, segment_tokens=60)
        engine = SimulatedEngine(
            text=text, limits=EngineLimits(max_sequences=8, kv_blocks=400, max_context_tokens=4000)
        )
        log = []

        async def chain(number):
            ids = engine.tokenizer.encode("What is 6 * 7?")
            for turn in range(6):
                written = await write(engine, ids, 100, seed=number * 100 + turn)
                log.append((now(), number, written))
                values = await engine.score(ids, written.token_ids)
                log.append((now(), number, values))
                ids += written.token_ids
                if written.ended:
                    break

        await asyncio.gather(*(chain(number) for number in range(16)))
        return log, engine.counters

    return run(main())


def test_the_same_seed_has_the_same_timeline_to_the_bit():
    assert timeline(1) == timeline(1)
    assert timeline(1) != timeline(2)


# --- batching -------------------------------------------------------------------------------------------------------


def duration(n_sequences, costs=None, **limits):
    async def main():
        engine = engine_of(costs or EngineCosts(), **limits)
        await asyncio.gather(*(write(engine, [number], 200) for number in range(n_sequences)))
        return now()

    return run(main())


def test_sixteen_sequences_take_about_as_long_as_one_while_memory_bound():
    assert duration(16) == pytest.approx(duration(1), rel=0.05)


def test_sequences_add_up_once_arithmetic_is_the_bound():
    costs = EngineCosts(overhead_s=0.0, weights_s=0.0, kv_s_per_context_token=0.0)
    assert duration(16, costs) == pytest.approx(16 * duration(1, costs), rel=0.05)


def test_sequences_beyond_the_slots_wait_their_turn():
    assert duration(16, WHOLE, max_sequences=8) == 2 * duration(8, WHOLE, max_sequences=8) == 400.0


def test_decoding_goes_on_while_a_long_prompt_is_prefilled():
    async def main():
        engine = engine_of(max_num_batched_tokens=65, prefix_reuse=False)

        async def later():
            await asyncio.sleep(2)
            return await timed(engine.score([5] * 300, [5] * 20))

        return [end for end, _ in await asyncio.gather(timed(write(engine, [1], 20)), later())]

    assert run(main()) == [20.0, 7.0]
