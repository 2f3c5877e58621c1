"""Optimistic drafting changes when things happen, never what is decided."""

from __future__ import annotations

import random
from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from a1_trt.benchmarks.strategies import Arrivals, Run, run
from a1_trt.config import make_pair
from a1_trt.core.conformal import make_controller
from a1_trt.errors import EngineError
from a1_trt.runtime.virtual_time import run as run_virtually
from a1_trt.types import Parameters, Problem
from tests.doubles.simulated import RandomText, SimulatedEngine

PROBLEMS = [Problem(f"What is {n}?", f"p{n}", "42") for n in range(4)]
PARAMETERS = Parameters(n_samples=5, max_turns=6, alpha=0.3, draft_tokens=40, target_tokens=40, early_stop=False)


def solved(
    optimistic: bool, *, latency_seed: int = 0, slots: int = 64, failing: bool = False, **changes: object
) -> Run:
    """One run whose calls come late at random; the controller is fixed, so no decision depends on their order."""
    chance = random.Random(latency_seed)  # noqa: S311

    def late(number: int, verb: str) -> float | EngineError:
        if failing and chance.random() < 0.1:
            return EngineError("broken")
        return chance.expovariate(3.0)

    models = {
        role: {"model": "none", "max_in_flight": slots, "sampling": {"segment_tokens": 40}}
        for role in ("draft", "target")
    }
    controller = make_controller("static", calibration_scores={"turn 1": [1.2 + 0.01 * n for n in range(100)]})
    parameters = replace(PARAMETERS, optimistic=optimistic, **changes)

    async def main() -> Run:
        text = RandomText(segment_tokens=20, segments=(2, 6))
        engines = {role: SimulatedEngine(role, text=text, faults=late) for role in ("draft", "target")}
        return await run(
            "a1",
            make_pair({"name": "simulated", **models}),
            engines,
            PROBLEMS,
            parameters,
            arrivals=Arrivals(n_in_flight=2),
            seed=1,
            controller=controller,
        )

    return run_virtually(main())


@settings(max_examples=25, deadline=None)
@given(
    latency_seed=st.integers(0, 2**20),
    slots=st.sampled_from([1, 3, 64]),
    score_answers=st.booleans(),
    takeover_from=st.sampled_from(["end", "first_surprise"]),
    alpha=st.sampled_from([0.05, 0.3, 0.8]),
)
def test_the_same_is_decided_whatever_comes_late(latency_seed: int, slots: int, **changes: object) -> None:
    plain = solved(False, latency_seed=latency_seed, slots=slots, **changes)
    early = solved(True, latency_seed=latency_seed + 1, slots=slots, **changes)
    assert [r.trajectories for r in early.results] == [r.trajectories for r in plain.results]
    assert [r.votes for r in early.results] == [r.votes for r in plain.results]
    for one, other in zip(early.results, plain.results, strict=True):
        assert one.usage.n_takeovers == other.usage.n_takeovers
        assert one.usage.draft_tokens - one.usage.discarded_tokens == other.usage.draft_tokens
        assert other.usage.discarded_tokens == 0


def test_drafts_are_written_while_segments_are_verified() -> None:
    def n_early(said: Run) -> int:
        scores = {(c.problem, c.sample, c.turn): c.ended_s for c in said.calls if c.kind == "score"}
        drafts = [c for c in said.calls if c.kind == "draft" and c.turn > 0]
        return sum(c.started_s < scores.get((c.problem, c.sample, c.turn - 1), 0.0) for c in drafts)

    assert n_early(solved(False)) == 0
    early = solved(True)
    assert n_early(early) > 10
    assert any(call.end == "cancelled" for call in early.calls)


def test_it_is_faster_where_slots_are_free_and_scores_take_long() -> None:
    plain, early = (solved(optimistic, alpha=0.05).wall_s for optimistic in (False, True))
    assert early < plain


def test_a_barrier_leaves_no_room_for_it() -> None:
    said = solved(True, admission="barrier")
    assert sum(result.usage.discarded_tokens for result in said.results) == 0
    assert all(call.end == "done" for call in said.calls)


@pytest.mark.parametrize("latency_seed", range(5))
def test_everything_ends_when_calls_fail_and_votes_stop_others(latency_seed: int) -> None:
    said = solved(True, latency_seed=latency_seed, failing=True, early_stop=True, slots=3)
    assert len(said.outcomes) == len(PROBLEMS)
    done = [call for call in said.calls if call.role == "draft" and call.end == "done"]
    assert sum(result.usage.draft_tokens for result in said.results) <= sum(call.n_new_tokens for call in done)
