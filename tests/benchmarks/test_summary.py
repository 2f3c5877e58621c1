"""Figures are what the samples say, and intervals count problems."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from a1_trt.benchmarks.evaluation import Folder, summarise
from a1_trt.benchmarks.evaluation.samples import sample_lines
from a1_trt.benchmarks.records import grade, record_of
from a1_trt.benchmarks.statistics import wilson_interval
from a1_trt.errors import ConfigError, ContextLengthError
from a1_trt.offline import read_recording
from a1_trt.types import Problem, Result
from tests.benchmarks.lines import solved

RESULTS = [
    solved("p1", ["7", "7", "5", None], taken=1),
    solved("p2", ["5", "5", "7", "5"], taken=3),
    solved("p3", [None, None, None, None]),
    solved("p4", ["7.0", "14/2", "7", "8"], taken=2),
]
GROUPS = {"p1": {"level": "1"}, "p2": {"level": "1"}, "p3": {"level": "2"}, "p4": {"level": "2"}}


def line(result: Result) -> dict[str, Any]:
    record = record_of(result.problem, result, grade(result), groups=GROUPS[result.problem.id])
    return record.model_dump(mode="json")


def lines(results: list[Result]) -> list[dict[str, Any]]:
    return [
        {**line(each), "start": number // 2, "ended_at": 100.0 + 10 * number} for number, each in enumerate(results)
    ]


def by_hand(answers: list[list[bool]], k: int) -> float:
    """pass@k by looking at every choice of k samples."""
    chances = [sum(map(any, choices)) / len(choices) for each in answers for choices in [list(combinations(each, k))]]
    return sum(chances) / len(chances)


def test_figures() -> None:
    said = summarise(lines(RESULTS), n_total=4, alpha=0.3, starts=[{"started_at": 95.0}, {"started_at": 118.0}])
    assert said["accuracy"]["value"] == 0.5
    assert (said["accuracy"]["low"], said["accuracy"]["high"]) == wilson_interval(2, 4)
    right = [[True, True, False, False], [False, False, True, False], [False] * 4, [True, True, True, False]]
    for k in (1, 2, 4):
        assert said["pass_at_k"][str(k)]["value"] == pytest.approx(by_hand(right, k))
    assert said["any_right"]["value"] == 0.75
    assert said["rejection_rate"]["value"] == 6 / 16
    assert said["rejection_rate_by_turn"] == {"turn 1": said["rejection_rate"]}
    low, high = said["rejection_rate"]["low"], said["rejection_rate"]["high"]
    assert low <= 6 / 16 <= high
    assert high - low > 0.3  # four problems, not sixteen segments
    assert said["tokens"]["draft"] == 400
    assert said["tokens_per_problem"]["target"] == 10
    assert said["latency_s"]["p50"] == 2.0
    assert said["wall_s"] == (110 - 95) + (130 - 118)
    assert said["groups"]["level"]["1"]["accuracy"]["value"] == 0.5
    assert said["groups"]["level"]["1"]["rejection_rate"]["value"] == 0.5
    assert said["groups"]["level"]["2"]["pass_at_1"]["value"] == pytest.approx(3 / 8)
    assert set(said["groups"]) == {"level"}


def test_stopped_samples_are_neither_right_nor_wrong_and_the_summary_says_so() -> None:
    said = summarise(lines([solved("p1", ["7", "7"], stopped=2)]), n_total=1, alpha=0.3)
    assert said["pass_at_k"]["1"]["value"] == 1.0
    assert set(said["pass_at_k"]) == {"1", "2"}
    assert any("--no-early-stop" in note for note in said["notes"])
    whole = summarise(lines([solved("p1", ["7", "7", "5", "5"])]), n_total=1, alpha=0.3)
    assert not any("--no-early-stop" in note for note in whole["notes"])


def test_a_problem_that_failed_counts_as_wrong() -> None:
    failed = record_of(Problem("What?", "p9", "7"), ContextLengthError("too long"), {}).model_dump(mode="json")
    said = summarise([*lines(RESULTS[:1]), {**failed, "start": 0, "ended_at": 1.0}], n_total=2, alpha=0.3)
    assert said["n_failed"] == 1
    assert said["accuracy"]["value"] == 0.5
    assert said["pass_at_k"]["4"]["value"] == 0.5


def test_nothing_done_is_no_error() -> None:
    said = summarise([], n_total=5, alpha=0.3)
    assert (said["n_done"], said["accuracy"]["value"], said["pass_at_k"], said["rejection_rate"]) == (0, None, {}, None)


def test_records_can_be_replayed(tmp_path: Path) -> None:
    with Folder(tmp_path, {}, {}) as folder:
        for each in RESULTS:
            groups = GROUPS[each.problem.id]
            right = grade(each)
            folder.append(line(each), sample_lines(each, right, groups, 0.3))
    recording = read_recording(tmp_path / "records.jsonl")
    assert recording.problems == ("p1", "p2", "p3", "p4")
    assert recording.scores.tolist() == [1.5, 2.5, 3.5, 4.5] * 4
    assert recording.takeovers is not None
    assert recording.takeovers.sum() == 6
    assert recording.groups["level"] == ("1", "1", "2", "2")
    assert recording.samples is not None
    assert recording.samples.correct is not None
    assert recording.samples.correct.sum() == 2 + 1 + 3
    assert recording.margins == pytest.approx([0.25 - 0.3] * 16)


@pytest.mark.parametrize("field", ["correct", "usage", "n_finished"])
def test_a_damaged_line_is_refused_by_row_and_field(field: str) -> None:
    damaged = lines(RESULTS)
    damaged[1][field] = "what?"
    with pytest.raises(ConfigError, match=f"row 2, field {field}"):
        summarise(damaged, n_total=4, alpha=0.3)
