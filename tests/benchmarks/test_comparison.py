"""Strategies take turns fairly, figures are what the runs say, and a comparison goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from a1_trt.benchmarks import Comparison, Plan, blocks_for, commit, machine, read_document, summarise, versions
from a1_trt.benchmarks.plan import order_of
from a1_trt.config import make_pair
from a1_trt.errors import ConfigError, EngineError, InvalidRequestError
from a1_trt.runtime import virtual_time
from a1_trt.simulate.engine_model import EngineLimits
from a1_trt.types import Parameters, Problem, Result
from tests.doubles.simulated import RandomText, SimulatedEngine

PAIR = make_pair(
    {
        "name": "simulated",
        "draft": {"model": "none", "max_in_flight": 8, "sampling": {"segment_tokens": 40}},
        "target": {"model": "none", "max_in_flight": 4, "sampling": {"segment_tokens": 40}},
    }
)
PROBLEMS = [Problem(f"What is {n}?", f"p{n}", "42") for n in range(5)]
PARAMETERS = Parameters(alpha=0.3, draft_tokens=40, target_tokens=40)
PLAN = Plan(("a1", "sync-rank", "target-only"), (4,), (4,), repeats=2, blocks=2, seed=5, keep_calls="all")


class Stopped(Exception):
    """Somebody pressed Ctrl-C."""


def measured(
    plan: Plan = PLAN,
    *,
    path: Path | None = None,
    before: dict[str, Any] | None = None,
    stop_after: int | None = None,
    problems: list[Problem] = PROBLEMS,
) -> tuple[dict[str, Any], list[tuple[str, int, int]]]:
    told: list[tuple[str, int, int]] = []

    def tell(name: str, n_done: int, n_total: int, outcome: object) -> None:
        assert isinstance(outcome, Result)
        told.append((name, n_done, n_total))
        if len(told) == stop_after:
            raise Stopped

    async def main() -> dict[str, Any]:
        text = RandomText(segment_tokens=20, segments=(1, 3))
        limits = EngineLimits(prefix_reuse=False)  # a warm cache would change the times after a new start
        engines = {role: SimulatedEngine(role, text=text, limits=limits) for role in ("draft", "target")}
        comparison = Comparison(plan, PAIR, engines, problems, PARAMETERS, about={"machine": machine()}, before=before)
        return await comparison.measure(path=path, on_progress=tell)

    return virtual_time.run(main()), told


def test_strategies_take_turns_block_by_block() -> None:
    document, told = measured()
    blocks = [(cell["strategy"], cell["repeat"], cell["block"]) for cell in document["cells"]]
    assert blocks[:6] == [
        *((name, 0, 0) for name in ("a1", "sync-rank", "target-only")),
        *((name, 0, 1) for name in ("sync-rank", "target-only", "a1")),
    ]
    assert len(blocks) == 3 * 2 * 2
    assert [done for name, done, _ in told if name == "a1"] == list(range(1, 11))
    assert {total for _, _, total in told} == {10}


def test_every_problem_is_solved_once_a_repeat_by_everyone() -> None:
    document, _ = measured()
    for name in PLAN.strategies:
        for repeat in range(2):
            cells = [c for c in document["cells"] if (c["strategy"], c["repeat"]) == (name, repeat)]
            assert sorted(p["problem"] for cell in cells for p in cell["problems"]) == list(range(5))


def test_figures_are_what_the_cells_say() -> None:
    document, _ = measured()
    assert len(document["results"]) == 6
    assert len(document["overall"]) == 3
    for said in document["results"]:
        cells = [c for c in document["cells"] if all(c[k] == said[k] for k in ("strategy", "repeat"))]
        problems = [problem for cell in cells for problem in cell["problems"]]
        assert said["accuracy"] == sum(problem["correct"] for problem in problems) / 5
        assert said["wall_s"] == pytest.approx(sum(cell["wall_s"] for cell in cells))
        assert said["problems_per_s"] == pytest.approx(5 / said["wall_s"])
        calls = [dict(zip(document["call_fields"], call, strict=True)) for cell in cells for call in cell["calls"]]
        new = {role: sum(c["n_new_tokens"] for c in calls if c["role"] == role) for role in ("draft", "target")}
        assert said["tokens_per_s"] == pytest.approx(sum(new.values()) / said["wall_s"])
        assert {role: said["engines"][role]["new_tokens"] for role in new} == new
        decided = [decision for cell in cells for decision in cell["decisions"]]
        assert said["n_scored"] == len(decided)
        assert said["n_takeovers"] == sum(decision[-1] for decision in decided)
        for row in said["rejection_rate_by_turn"]:
            taken = [takeover for _, _, turn, _, takeover in decided if turn == row["turn"]]
            assert (row["n"], row["rate"]) == (len(taken), pytest.approx(sum(taken) / len(taken)))
        assert sum(each["n"] for each in said["rejection_rate_by_turn"]) == len(decided)
        assert said["latency_s"]["p50"] <= said["latency_s"]["p95"] <= said["latency_s"]["p99"]
        assert 0 < said["utilisation"]["of_lower_bound"] <= 1
        assert 0 < said["utilisation"]["target"] <= 1
        assert said["kv_blocks"]["target"] > 0


def test_ratios_are_paired() -> None:
    document, _ = measured()
    wall = {each["strategy"]: each["wall_s"] for each in document["overall"]}
    assert [ratio["against"] for ratio in document["ratios"]] == ["sync-rank", "target-only"]
    for ratio in document["ratios"]:
        assert ratio["speedup"] == pytest.approx(wall[ratio["against"]] / wall["a1"])
        low, high = ratio["speedup_ci95"]
        assert low <= ratio["speedup"] <= high
        assert len(ratio["speedup_by_repeat"]) == 2
        assert ratio["n_pairs"] == 4
        low, high = ratio["accuracy_difference_ci95"]
        assert low <= ratio["accuracy_difference"] <= high


def test_a_sweep_has_figures_for_every_setting() -> None:
    document, _ = measured(replace(PLAN, strategies=("a1",), n_samples=(1, 4), max_turns=(2, 4), repeats=1))
    settings = [(each["n_samples"], each["max_turns"]) for each in document["overall"]]
    assert settings == [(1, 2), (1, 4), (4, 2), (4, 4)]


@pytest.mark.parametrize("stop_after", [1, 4, 9, 17, 29])
def test_a_killed_comparison_goes_on_and_ends_alike(tmp_path: Path, stop_after: int) -> None:
    whole, _ = measured()
    path = tmp_path / "result.json"
    with pytest.raises((Stopped, ExceptionGroup)):
        measured(path=path, stop_after=stop_after)
    before = read_document(path) if path.exists() else None
    n_before = len(before["cells"]) if before else 0
    again, told = measured(path=path, before=before)
    assert len(told) == 30 - sum(len(cell["problems"]) for cell in (before["cells"] if before else []))
    assert len(told) >= 30 - stop_after
    assert n_before <= stop_after

    def comparable(document: dict[str, Any]) -> list[Any]:
        """All but times, which differ in their last digit by when the clock began."""
        return [
            (
                [cell[key] for key in ("strategy", "repeat", "block")],
                [(problem["problem"], problem["answer"], problem["usage"]) for problem in cell["problems"]],
                sorted(decision[1:] for decision in cell["decisions"]),
            )
            for cell in document["cells"]
        ]

    assert comparable(again) == comparable(whole)
    assert comparable(read_document(path)) == comparable(whole)


def test_going_on_with_another_plan_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    document, _ = measured(path=path)
    with pytest.raises(InvalidRequestError, match="another plan") as caught:
        measured(replace(PLAN, seed=6), before=document)
    assert caught.value.field == "resume"
    with pytest.raises(InvalidRequestError, match="another problems"):
        measured(before=document, problems=PROBLEMS[:4])


@pytest.mark.parametrize("keep", ["none", "first"])
def test_calls_stay_where_they_are_asked_for(keep: Any) -> None:
    document, _ = measured(replace(PLAN, keep_calls=keep))
    with_calls = {cell["repeat"] for cell in document["cells"] if cell["calls"]}
    assert with_calls == ({0} if keep == "first" else set())


def test_when_nothing_is_solved_the_first_error_is_raised() -> None:
    async def main() -> None:
        engines = {
            role: SimulatedEngine(role, faults=lambda number, verb: EngineError("dead")) for role in ("draft", "target")
        }
        await Comparison(Plan(("a1",), (2,), (2,)), PAIR, engines, PROBLEMS, PARAMETERS).measure()

    with pytest.raises(EngineError, match="dead"):
        virtual_time.run(main())


def test_every_strategy_leads_as_often_as_another() -> None:
    names = ["a1", "target-only", "sync-rank"]
    assert sorted(order_of(names, turn)[0] for turn in range(6)) == sorted(names * 2)
    assert all(sorted(order_of(names, turn)) == sorted(names) for turn in range(6))


def wrong_plans() -> Iterator[tuple[dict[str, Any], str]]:
    yield {"strategies": ("a2",)}, "strategies"
    yield {"strategies": ("a1", "a1")}, "strategies"
    yield {"strategies": ()}, "strategies"
    yield {"n_samples": (0,)}, "n_samples"
    yield {"max_turns": ()}, "max_turns"
    yield {"repeats": 0}, "repeats"
    yield {"rate_per_s": 2.0}, "arrivals"


@pytest.mark.parametrize(("change", "field"), list(wrong_plans()))
def test_a_wrong_plan_names_what_is_wrong(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        replace(PLAN, **change)
    assert caught.value.field == field


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kind": "a1-trt bench", "schema": 9}', "\x00"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"other\.json"):
        read_document(path)
    with pytest.raises(ConfigError, match="missing"):
        read_document(tmp_path / "missing.json")


def test_blocks_are_neither_tiny_nor_huge() -> None:
    assert [blocks_for(n) for n in (1, 25, 26, 100)] == [1, 1, 2, 4]
    document, _ = measured(replace(PLAN, blocks=99, repeats=1))
    assert {cell["block"] for cell in document["cells"]} == set(range(5))


def test_the_summary_of_a_summary_is_the_same() -> None:
    document, _ = measured()
    assert summarise(document) == document


def test_a_file_of_an_older_version_is_read_with_the_same_figures(tmp_path: Path) -> None:
    document, _ = measured()
    path = tmp_path / "older.json"
    cells = [{**cell, "problems": [older_problem(record) for record in cell["problems"]]} for cell in document["cells"]]
    path.write_text(json.dumps({**document, "schema": 1, "cells": cells}))
    read = read_document(path)
    assert read["schema"] == document["schema"]
    assert summarise(read)["overall"] == document["overall"]
    again, told = measured(before=read)
    assert (again["overall"], told) == (document["overall"], [])


def older_problem(record: dict[str, Any]) -> dict[str, Any]:
    names = ("problem", "latency_s", "sample_latencies_s", "first_answer_s", "answer", "correct", "n_finished")
    return {name: record[name] for name in (*names, "n_right", "usage")}


@pytest.mark.parametrize(("field", "value"), [("wall_s", "long"), ("problems", [{}]), ("work", None)])
def test_a_damaged_cell_is_refused_by_row_and_field(tmp_path: Path, field: str, value: Any) -> None:
    document, _ = measured(replace(PLAN, strategies=("a1",), repeats=1))
    path = tmp_path / "damaged.json"
    document["cells"][1][field] = value
    path.write_text(json.dumps(document))
    with pytest.raises(ConfigError, match=f"damaged.json: cells row 2, field {field}"):
        read_document(path)


def test_the_machine_is_named() -> None:
    assert machine()["cores"] >= 1
    assert machine()["processor"]
    assert versions()["a1_trt"]
    assert commit() is None or len(commit()) >= 40
