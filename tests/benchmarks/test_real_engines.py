"""Strategies on the reference pair's real models."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from a1_trt.benchmarks.problems import read_problems
from a1_trt.benchmarks.strategies import Arrivals, Run, run
from a1_trt.config import load_pair
from a1_trt.engine import Engine
from a1_trt.errors import ConfigError
from a1_trt.runtime.opening import open_engines
from a1_trt.types import Role
from tests.doubles.simulated import SimulatedEngine

pytestmark = pytest.mark.usefixtures("warm_engines")
PAIR = load_pair("reference")
EASY = read_problems(PAIR.path.parent / "problems.jsonl", level="easy", with_answers=True)[:2]


def solved(*names: str, temperature: float = 0.8) -> list[Run]:
    async def main() -> list[Run]:
        engines: dict[Role, Engine] = await open_engines(PAIR)
        parameters = replace(PAIR.parameters(), n_samples=3, max_turns=2, temperature=temperature)
        try:
            return [
                await run(name, PAIR, engines, EASY, parameters, arrivals=Arrivals(n_in_flight=2), seed=0)
                for name in names
            ]
        finally:
            for engine in engines.values():
                await engine.aclose()

    return asyncio.run(main())


def test_token_speculation_writes_what_the_target_writes_when_it_is_greedy() -> None:
    plain, speculative = solved("target-only", "token-speculative", temperature=0.0)
    assert [result.answer for result in speculative.results] == [result.answer for result in plain.results]
    assert {call.role for call in speculative.calls} == {"target"}


def test_peers_answer_on_real_models() -> None:
    for said in solved("sync-rank", "spec-reason", "best-of-n"):
        assert len(said.results) == len(EASY)
        assert any(result.answer is not None for result in said.results)


def test_an_engine_that_forgets_scores_the_same_again_and_takes_no_draft_of_another_kind() -> None:
    async def main() -> tuple[list[float], list[float], int]:
        engines = await open_engines(PAIR)
        target = engines["target"]
        tokens = target.tokenizer.encode(EASY[0].text)
        before = await target.score(tokens[:8], tokens[8:])
        await target.forget()
        after = await target.score(tokens[:8], tokens[8:])
        recalled = target.recalled
        with pytest.raises(ConfigError, match="SimulatedEngine"):
            await target.with_draft(SimulatedEngine("draft"))
        for engine in engines.values():
            await engine.aclose()
        return before, after, recalled

    before, after, recalled = asyncio.run(main())
    assert after == pytest.approx(before, abs=1e-5)
    assert recalled == 0
