"""Arms take turns fairly, and figures are what the outcomes say."""

from __future__ import annotations

import pytest

from a1_trt import virtual_time
from a1_trt.adapters.simulated import RandomText, SimulatedEngine
from a1_trt.bench import Measured, machine, measure, summarise, versions
from a1_trt.bench.comparison import order_of
from a1_trt.client import AsyncClient
from a1_trt.config import make_pair
from a1_trt.errors import A1Error, EngineError, InvalidRequestError
from a1_trt.session import Session
from a1_trt.types import Problem, Result, Usage

PAIR = make_pair(
    {
        "name": "simulated",
        "draft": {"model": "none", "engine": "simulated", "sampling": {"segment_tokens": 40}},
        "target": {"model": "none", "engine": "simulated", "sampling": {"segment_tokens": 40}},
    }
)
PROBLEMS = [Problem(f"What is {n}?", f"p{n}", "42") for n in range(5)]


def run(*arms: str, n_blocks: int = 2, **parameters: object) -> tuple[dict[str, Measured], list[tuple[str, int, int]]]:
    told: list[tuple[str, int, int]] = []

    async def main() -> dict[str, Measured]:
        text = RandomText(segment_tokens=20, segments=(1, 3))
        engines = {role: SimulatedEngine(role, text=text) for role in ("draft", "target")}
        async with Session(PAIR, engines) as session, AsyncClient(session) as client:
            return await measure(
                client,
                PROBLEMS,
                arms,
                n_blocks=n_blocks,
                on_progress=lambda arm, now: told.append((arm, now.n_done, now.n_total)),
                n_samples=4,
                **parameters,
            )

    return virtual_time.run(main()), told


def test_arms_take_turns_block_by_block() -> None:
    measured, told = run("a1", "target_only")
    blocks = [("a1", 3), ("target_only", 3), ("target_only", 2), ("a1", 2)]
    assert [arm for arm, _, _ in told] == [arm for arm, n in blocks for _ in range(n)]
    assert [done for arm, done, _ in told if arm == "a1"] == [1, 2, 3, 4, 5]
    assert {total for _, _, total in told} == {5}
    for each in measured.values():
        assert [outcome.problem for outcome in each.outcomes] == PROBLEMS
        assert each.wall_s > 0


def test_every_arm_does_what_its_name_says() -> None:
    measured, _ = run("a1", "target_only", "barrier")
    assert all(outcome.usage.draft_tokens == 0 for outcome in measured["target_only"].outcomes)
    assert any(outcome.usage.n_scored for outcome in measured["a1"].outcomes)
    assert any(outcome.usage.n_scored for outcome in measured["barrier"].outcomes)


def test_more_blocks_than_problems_are_as_many_as_problems() -> None:
    measured, _ = run("a1", "target_only", n_blocks=99)
    assert len(measured["a1"].outcomes) == 5


def test_every_arm_leads_as_often_as_another() -> None:
    arms = ["a1", "target_only", "barrier"]
    assert sorted(order_of(arms, block)[0] for block in range(6)) == sorted(arms * 2)
    assert all(sorted(order_of(arms, block)) == sorted(arms) for block in range(6))


def test_a_wrong_parameter_is_raised() -> None:
    with pytest.raises(InvalidRequestError, match="alpha"):
        run("a1", alpha=2.0)


def measured(wall_s: float, *outcomes: Result | A1Error) -> Measured:
    return Measured(outcomes, wall_s)


def result(problem: Problem, answer: str | None, n_scored: int = 0, n_takeovers: int = 0) -> Result:
    votes = () if answer is None else ((answer, 3), ("0", 1))
    return Result(problem, answer, votes, (), Usage(10, 20, 5, n_scored=n_scored, n_takeovers=n_takeovers, n_stopped=1))


def test_figures_are_what_the_outcomes_say() -> None:
    one, two = PROBLEMS[:2]
    said = summarise(
        [one, two],
        {
            "a1": measured(2.0, result(one, "42", 6, 1), result(two, "42", 4, 2)),
            "target_only": measured(5.0, result(one, "042"), EngineError("failed")),
            "barrier": measured(3.0, result(one, None), result(two, "42")),
        },
    )
    assert said["a1"]["accuracy"] == 1.0
    assert said["a1"]["sample_accuracy"] == 0.75
    assert said["a1"]["draft_tokens"] == 20
    assert said["a1"]["target_tokens"] == 40
    assert said["a1"]["scored_tokens"] == 10
    assert said["target_only"]["accuracy"] == 0.5
    assert said["target_only"]["n_failed"] == 1
    assert said["rejection_rate"] == 0.3
    assert said["rejection_rate_ci95"][0] < 0.3 < said["rejection_rate_ci95"][1]
    assert said["accuracy_difference"] == 0.5
    assert said["accuracy_difference_ci95"][0] < 0.5 < said["accuracy_difference_ci95"][1]
    assert said["speedup"] == 2.5
    assert said["async_over_barrier"] == 1.5


def test_nothing_scored_has_no_rejection_rate() -> None:
    (one,) = PROBLEMS[:1]
    both = {"a1": measured(1.0, result(one, "42")), "target_only": measured(1.0, result(one, "42"))}
    said = summarise([one], both)
    assert said["rejection_rate"] is None
    assert "async_over_barrier" not in said


def test_the_machine_is_named() -> None:
    assert machine()["cores"] >= 1
    assert machine()["processor"]
    assert versions()["a1_trt"]
