"""The KV cache of the simulated engine: prefix reuse, eviction, capacity, and that no token gets lost."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a1_trt.runtime.virtual_time import run
from a1_trt.simulate.engine_model import EngineCosts
from tests.doubles.simulated.kv_cache import KvCache
from tests.simulate.test_simulated import engine_of, now, timed, write


def test_a_prefix_that_was_seen_shortens_prefill():
    costs = EngineCosts(overhead_s=0.0, weights_s=0.0, prefill_s_per_token=1.0)

    async def main(reuse):
        engine = engine_of(costs, prefix_reuse=reuse)
        prompt = list(range(160))
        await engine.score(prompt, [1])
        first = now()
        await engine.score(prompt, [2])
        return first, now() - first, engine.counters.reused_tokens

    assert run(main(reuse=False)) == (161.0, 161.0, 0)
    # The last prompt token is computed anew: its logits give the first log-prob.
    assert run(main(reuse=True)) == (161.0, 2.0, 159)


def test_the_next_turn_finds_prompt_and_generation_in_the_cache():
    async def main(n_new):
        engine = engine_of()
        prompt = list(range(32))
        written = await write(engine, prompt, n_new)
        await write(engine, [*prompt, *written.token_ids, 1], 1)
        return engine.counters.reused_tokens

    assert run(main(33)) == 64
    assert run(main(32)) == 48  # the last token was never fed back, so the fourth block is not full


def test_a_segment_is_computed_even_where_it_is_cached():
    async def main():
        engine = engine_of()
        tokens = list(range(64))
        await engine.score(tokens[:32], tokens[32:])
        before = engine.counters.prefilled_tokens
        await engine.score(tokens[:32], tokens[32:])
        return engine.counters.prefilled_tokens - before

    assert run(main()) == 33


def test_requests_beyond_the_capacity_wait():
    async def main():
        engine = engine_of(kv_blocks=4, max_context_tokens=64, prefix_reuse=False)
        calls = [timed(write(engine, [number], 31)) for number in range(4)]  # two blocks each
        ends = [end for end, _ in await asyncio.gather(*calls)]
        return ends, engine.counters.peak_blocks, engine.counters.peak_sequences

    assert run(main()) == ([31.0, 31.0, 62.0, 62.0], 4, 2)


def test_the_least_recently_used_prefix_is_evicted():
    async def main():
        engine = engine_of(kv_blocks=4, max_context_tokens=64)
        one, two, three = ([number] * 16 for number in (1, 2, 3))
        reused = []
        for prompt in (one, two, three, one, two, three):
            before = engine.counters.reused_tokens
            await engine.score(prompt, [9] * 8)
            reused.append(engine.counters.reused_tokens - before)
        return reused, engine.blocks_cached

    assert run(main()) == ([0, 0, 0, 15, 15, 15], 3)

    async def crowded():
        engine = engine_of(kv_blocks=3, max_context_tokens=48)
        for prompt in ([1] * 16, [2] * 16, [1] * 16):
            await engine.score(prompt, [9])
        await write(engine, [3] * 8, 20)  # two blocks: 2 goes, 1 was used since
        before = engine.counters.reused_tokens
        await engine.score([1] * 16, [9])
        ones = engine.counters.reused_tokens - before
        await engine.score([2] * 16, [9])
        return ones, engine.counters.reused_tokens - before - ones

    assert run(crowded()) == (15, 0)


def test_of_one_prefix_the_end_is_evicted_first():
    cache = KvCache(4, 2)
    lease = cache.acquire([1] * 8, reusable_tokens=7, total_tokens=8)
    cache.publish(lease, [1] * 8)
    cache.release(lease)
    cache.release(cache.acquire([2], reusable_tokens=0, total_tokens=2))
    assert cache.cached == 3
    assert cache.acquire([1] * 8, reusable_tokens=7, total_tokens=8).reused_tokens == 6


def test_equal_prompts_at_once_share_their_blocks_once_computed():
    async def main():
        engine = engine_of()
        calls = [asyncio.ensure_future(write(engine, [5] * 160, 100)) for _ in range(8)]
        await asyncio.sleep(0)
        await asyncio.sleep(50)
        held = engine.blocks_in_use
        await asyncio.gather(*calls)
        return held, engine.blocks_in_use

    # ceil(260 / 16) = 17 blocks each, of which the 10 of the prompt are common to all.
    assert run(main()) == (10 + 8 * 7, 0)


class Action:
    ACQUIRE, PUBLISH, RELEASE = range(3)


@settings(max_examples=300, deadline=None)
@given(
    capacity=st.integers(1, 12),
    actions=st.lists(
        st.tuples(
            st.integers(0, 2), st.sampled_from(["a" * n for n in range(1, 13)] + ["abab", "baba"]), st.integers(0, 6)
        ),
        max_size=60,
    ),
)
def test_blocks_never_exceed_the_capacity(capacity, actions):
    cache, leases = KvCache(capacity, 2), []
    for action, letters, number in actions:
        tokens = [ord(letter) for letter in letters]
        if action == Action.ACQUIRE:
            total = len(tokens) + number
            lease = cache.acquire(tokens, reusable_tokens=len(tokens) - 1, total_tokens=total)
            if lease is None:
                assert cache.in_use + -(-total // 2) > capacity
            else:
                assert len(lease.keys) + lease.private == -(-total // 2)
                assert lease.reused_tokens < len(tokens)
                leases.append((lease, tokens))
        elif leases:
            lease, tokens = leases[number % len(leases)]
            if action == Action.PUBLISH:
                held = cache.in_use
                cache.publish(lease, tokens)
                assert cache.in_use <= held
            else:
                leases.pop(number % len(leases))
                cache.release(lease)
        shared = Counter(key for lease, _ in leases for key in lease.keys)
        assert cache.in_use == len(shared) + sum(lease.private for lease, _ in leases)
        assert 0 <= cache.in_use <= cache.in_use + cache.cached <= capacity
    for lease, _ in leases:
        cache.release(lease)
    assert cache.in_use == 0


@settings(max_examples=60, deadline=None)
@given(
    jobs=st.lists(
        st.tuples(
            st.floats(0.0, 20.0),  # when it comes
            st.integers(0, 2),  # its prefix
            st.integers(0, 30),  # tokens after that
            st.integers(1, 20),  # max_tokens, or length of the segment
            st.booleans(),  # score
            st.one_of(st.none(), st.floats(0.0, 15.0)),  # when it is cancelled
        ),
        min_size=1,
        max_size=25,
    ),
    kv_blocks=st.integers(12, 30),
    slots=st.integers(1, 5),
    budget=st.integers(5, 40),
)
def test_no_limit_is_ever_exceeded_and_no_token_lost(jobs, kv_blocks, slots, budget):
    async def main():
        engine = engine_of(
            max_sequences=slots,
            max_num_batched_tokens=budget,
            kv_blocks=kv_blocks,
            block_tokens=8,
            max_context_tokens=kv_blocks * 8,
        )
        done = []

        async def one(number, job):
            at, prefix, n_own, n_more, score, patience = job
            prompt = [prefix] * 25 + [number] * n_own
            await asyncio.sleep(at)
            call = engine.score(prompt, [7] * n_more) if score else write(engine, prompt, n_more)
            async with asyncio.timeout(patience):
                result = await call
            assert len(result if score else result.token_ids) == n_more
            done.append((len(prompt) + score * n_more, 0 if score else n_more))

        async def watch():
            while True:
                assert engine.blocks_in_use + engine.blocks_cached <= kv_blocks
                assert engine.n_running <= slots
                await asyncio.sleep(0.25)

        watcher = asyncio.ensure_future(watch())
        outcomes = await asyncio.gather(*(one(*item) for item in enumerate(jobs)), return_exceptions=True)
        watcher.cancel()
        assert all(outcome is None or isinstance(outcome, TimeoutError) for outcome in outcomes)
        assert (engine.n_running, engine.n_waiting, engine.blocks_in_use) == (0, 0, 0)
        return engine.counters, done, outcomes

    counters, done, outcomes = run(main())
    computed = counters.prefilled_tokens + counters.reused_tokens
    prompts, written = (sum(column) for column in zip(*done, strict=True)) if done else (0, 0)
    if outcomes == [None] * len(jobs):
        assert (computed, counters.generated_tokens) == (prompts, written)
    assert computed >= prompts
    assert counters.generated_tokens >= written
    assert counters.peak_blocks <= kv_blocks
    assert counters.peak_sequences <= slots
    assert counters.busy_s == pytest.approx(counters.iterations)
