"""Several engines as one: samples stay where their text is, and a replica that fails is done without."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from a1_trt.backends.replicated import Replicated
from a1_trt.engine import Generation
from a1_trt.errors import (
    ConfigError,
    ContextLengthError,
    EngineOverloaded,
    EngineTimeout,
    EngineUnavailable,
)
from a1_trt.runtime.virtual_time import run
from tests.doubles.simulated import SimulatedEngine


class Recorder(SimulatedEngine):
    """Notes what it is asked; fails while `failing` is set."""

    def __init__(self):
        super().__init__("target")
        self.prompts = []
        self.failing = None
        self.n_closed = 0

    async def generate(self, prompt, **how) -> Generation:
        self._note(prompt)
        return await super().generate(prompt, **how)

    async def score(self, prompt, segment):
        self._note(prompt)
        return await super().score(prompt, segment)

    async def aclose(self):
        self.n_closed += 1
        await super().aclose()

    def _note(self, prompt):
        self.prompts.append(tuple(prompt))
        if self.failing is not None:
            raise self.failing


def replicated(n=3, **options):
    replicas = [Recorder() for _ in range(n)]
    return Replicated(replicas, **options), replicas


async def work(engine, sample, *, problem="a problem " * 8, n_turns=6):
    """A sample's turns, as a target sees them: a score, and now and then a takeover."""
    prompt = engine.tokenizer.encode(problem)
    for turn in range(n_turns):
        segment = engine.tokenizer.encode(f"sample {sample} turn {turn} " * 3)
        await engine.score(prompt, segment)
        if (sample + turn) % 3 == 0:
            written = await engine.generate(prompt, max_tokens=20, temperature=0.8, seed=sample * 100 + turn)
            segment = list(written.token_ids)
        prompt = prompt + segment
    return tuple(prompt)


@pytest.mark.parametrize("n_replicas", [1, 2, 3])
def test_a_sample_stays_where_it_began_and_samples_spread(n_replicas):
    async def scenario():
        engine, replicas = replicated(n_replicas)
        chains = await asyncio.gather(*(work(engine, sample) for sample in range(12)))
        root = len(engine.tokenizer.encode("a problem " * 8))
        homes = Counter()
        for chain in chains:
            holding = {
                index
                for index, replica in enumerate(replicas)
                for prompt in replica.prompts
                if len(prompt) > root and chain[: len(prompt)] == prompt
            }
            assert len(holding) == 1, "turns after the first are all on one replica"
            homes[holding.pop()] += 1
        assert set(homes) == set(range(n_replicas))
        assert max(homes.values()) <= 12 / n_replicas + 2
        await engine.aclose()

    run(scenario())


def test_a_draft_that_is_taken_over_again_and_again_stays_as_well():
    async def scenario():
        engine, replicas = replicated(2)
        prompt = engine.tokenizer.encode("root")
        for turn in range(8):  # what the draft wrote never becomes part of the chain
            await engine.generate(prompt, max_tokens=9, temperature=0.8, seed=turn)
            prompt = prompt + engine.tokenizer.encode(f" and the target said {turn}")
        assert sorted(len(replica.prompts) for replica in replicas) in ([0, 8], [1, 7])
        await engine.aclose()

    run(scenario())


def test_other_problems_with_the_same_beginning_are_not_kept_together():
    async def scenario():
        engine, replicas = replicated(4)
        preamble = "You solve problems. " * 20
        await asyncio.gather(*(work(engine, 0, problem=f"{preamble} number {n}", n_turns=1) for n in range(8)))
        assert all(replica.prompts for replica in replicas)
        await engine.aclose()

    run(scenario())


def test_a_replica_that_is_down_is_done_without_and_comes_back():
    async def scenario():
        engine, replicas = replicated(2, rest_s=5.0)
        prompt = engine.tokenizer.encode("a chain ")
        alone = await SimulatedEngine("target").generate(prompt, max_tokens=20, temperature=0.8, seed=3)
        replicas[0].failing = EngineUnavailable("gone")
        assert await engine.generate(prompt, max_tokens=20, temperature=0.8, seed=3) == alone
        assert engine.n_failovers == 1
        for seed in range(5):
            await engine.generate(prompt, max_tokens=20, temperature=0.8, seed=seed)
        assert len(replicas[0].prompts) == 1, "left alone while it rests"
        replicas[0].failing = None
        await asyncio.sleep(6.0)
        await asyncio.gather(*(engine.generate(prompt, max_tokens=9, temperature=0.8, seed=s) for s in range(4)))
        assert len(replicas[0].prompts) > 1
        await engine.aclose()

    run(scenario())


def test_a_sample_moves_when_its_home_goes_down_and_stays_at_the_new_one():
    async def scenario():
        engine, replicas = replicated(2)
        prompt = engine.tokenizer.encode("chain ")
        prompt += (await engine.generate(prompt, max_tokens=20, temperature=0.8, seed=1)).token_ids
        home = 0 if replicas[0].prompts else 1
        replicas[home].failing = EngineUnavailable("gone")
        segment = engine.tokenizer.encode("segment")
        assert len(await engine.score(prompt, segment)) == len(segment)
        replicas[home].failing = None
        await asyncio.sleep(1000)
        await engine.score(prompt + segment, segment)
        assert replicas[1 - home].prompts[-1] == (*prompt, *segment)
        await engine.aclose()

    run(scenario())


def test_a_full_queue_passes_the_call_on_without_a_rest():
    async def scenario():
        engine, replicas = replicated(2)
        prompt = engine.tokenizer.encode("x")
        replicas[0].failing = EngineOverloaded("full")
        await engine.generate(prompt, max_tokens=5, temperature=0.0, seed=0)
        replicas[0].failing = None
        await asyncio.gather(*(engine.generate(prompt, max_tokens=5, temperature=0.0, seed=0) for _ in range(2)))
        assert len(replicas[0].prompts) == 2
        await engine.aclose()

    run(scenario())


def test_when_all_are_down_the_error_is_the_callers():
    async def scenario():
        engine, replicas = replicated(3)
        for replica in replicas:
            replica.failing = EngineUnavailable("gone", role="target")
        for _ in range(2):  # also when all rest already
            with pytest.raises(EngineUnavailable):
                await engine.score([1, 2], [3])
        assert [len(replica.prompts) for replica in replicas] == [2, 2, 2]
        await engine.aclose()

    run(scenario())


@pytest.mark.parametrize("error", [EngineTimeout("late"), ContextLengthError("long")])
def test_other_errors_are_not_tried_elsewhere(error):
    async def scenario():
        engine, replicas = replicated(3)
        for replica in replicas:
            replica.failing = error
        with pytest.raises(type(error)):
            await engine.score([1, 2], [3])
        assert sum(len(replica.prompts) for replica in replicas) == 1
        await engine.aclose()

    run(scenario())


def test_closing_closes_all_of_them():
    async def scenario():
        engine, replicas = replicated(3)
        await engine.aclose()
        assert [replica.n_closed for replica in replicas] == [1, 1, 1]

    run(scenario())


def test_none_or_different_models_are_refused():
    with pytest.raises(ConfigError):
        Replicated([])

    class Other:
        tokenizer = type("T", (), {"fingerprint": "another"})

    with pytest.raises(ConfigError, match="tokenizers"):
        Replicated([SimulatedEngine("target"), Other()])


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr("a1_trt.backends.replicated._MOST_TEXTS", 50)

    async def scenario():
        engine, _ = replicated(2)
        await asyncio.gather(*(work(engine, sample, n_turns=4) for sample in range(30)))
        homes = engine._homes
        assert len(homes._texts) == 50 == sum(len(tails) for tails in homes._tails.values())
        await engine.aclose()

    run(scenario())
