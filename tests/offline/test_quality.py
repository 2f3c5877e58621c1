"""The score-quality report: by hand, by loops, and with nothing known about the right answers."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from a1_trt.errors import ConfigError, InvalidRequestError
from a1_trt.offline import Recording, Samples, quality, read_recording, with_answers, with_groups
from tests.offline.synthetic import write


def made(
    scores: list[float],
    correct: list[bool] | None,
    problem: list[int],
    takeovers: list[bool] | None = None,
    answers: tuple[str | None, ...] | None = None,
    **more: Any,
) -> Recording:
    """One segment a sample."""
    n = len(scores)
    codes, numbers = np.asarray(problem), np.arange(n)
    ends = Samples(codes, numbers, answers or ("",) * n, None if correct is None else np.asarray(correct))
    return Recording(
        "made",
        tuple(f"p{code}" for code in sorted(set(problem))),
        codes,
        numbers,
        np.zeros(n, int),
        np.asarray(scores),
        samples=ends,
        takeovers=None if takeovers is None else np.asarray(takeovers),
        **more,
    )


def test_areas_by_hand() -> None:
    # p0: the right chain scores lower than one of two wrong ones; p1 has one outcome only.
    found = quality(made([2.0, 1.0, 3.0, 9.0, 9.0], [True, False, False, True, True], [0, 0, 0, 1, 1]))
    areas = found["scores"]["score"]
    assert areas["within_problem"]["value"] == 0.5
    assert areas["pooled"]["value"] == pytest.approx(1 / 6)  # of the six pairs only (2, 3)
    assert found["rate_good"]["value"] == pytest.approx(0.6)
    assert found["outcome"] == "correct"
    assert found["near_threshold"] is None
    assert found["takeover_effect_within_problem"] is None


def test_a_score_that_knows_the_problem_only_is_good_pooled_and_worthless_within(rng: np.random.Generator) -> None:
    problem = np.repeat(np.arange(60), 16)
    hardness = rng.normal(size=60)
    correct = rng.random(960) < 1 / (1 + np.exp(hardness[problem]))
    scores = hardness[problem] + 0.1 * rng.normal(size=960)
    areas = quality(made(scores.tolist(), correct.tolist(), problem.tolist()))["scores"]["score"]
    assert areas["pooled"]["low"] > 0.6
    assert areas["within_problem"]["low"] < 0.5 < areas["within_problem"]["high"]


def test_effects_of_a_takeover_by_hand() -> None:
    taken = [True, True, False, True, False, False]
    recording = made(
        [1.0] * 6,
        [True, False, False, True, True, False],
        [0, 0, 0, 1, 1, 1],
        taken,
        margins=np.asarray([-0.04, -0.3, 0.02, -0.01, 0.03, 0.12]),
    )
    found = quality(recording)
    # p0: 1/2 against 0; p1: 1 against 1/2.
    assert found["takeover_effect_within_problem"]["difference"] == pytest.approx(0.5)
    assert found["takeover_effect_within_problem"]["n_problems"] == 2
    narrow, _, wide = found["near_threshold"]
    assert (narrow["width"], narrow["n_taken_over"], narrow["n_kept"]) == (0.05, 2, 2)
    assert narrow["difference"] == pytest.approx(1.0 - 0.5)
    assert (wide["n_kept"], wide["good_kept"]) == (3, pytest.approx(1 / 3))


def test_an_effect_that_is_there_is_found_with_its_interval(rng: np.random.Generator) -> None:
    n = 1600
    problem, taken = np.repeat(np.arange(100), 16), rng.random(n) < 0.4
    correct = rng.random(n) < 0.5 + 0.2 * taken
    found = quality(
        made(
            rng.normal(size=n).tolist(),
            correct.tolist(),
            problem.tolist(),
            taken.tolist(),
            margins=np.where(taken, -0.04, 0.04),
        )
    )
    for row in (found["takeover_effect_within_problem"], *found["near_threshold"]):
        assert row["low"] < 0.2 < row["high"]
        assert row["low"] > 0.08


def test_without_answers_it_is_agreement_and_is_called_so() -> None:
    answers = ("7", "07", None, "8", None, None)
    found = quality(made([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], None, [0, 0, 0, 0, 1, 1], answers=answers))
    assert found["outcome"] == "agrees with the majority vote"
    assert "--answers" in found["note"]
    # The vote of p0 is 7; p1 has none and is left out.
    assert (found["n_samples"], found["rate_good"]["value"]) == (4, 0.5)
    assert found["scores"]["score"]["within_problem"]["value"] == 1.0


def test_several_scores_are_compared_where_they_were_recorded() -> None:
    correct = [True, False, True, False]
    other = {"inverse": np.asarray([2.0, 1.0, 2.0, 1.0]), "partial": np.asarray([1.0, 2.0, np.nan, np.nan])}
    found = quality(made([1.0, 2.0, 1.0, 2.0], correct, [0, 0, 1, 1], other_scores=other))
    values = {name: rows["within_problem"]["value"] for name, rows in found["scores"].items()}
    assert values == {"score": 1.0, "inverse": 0.0, "partial": 1.0}


def test_the_histogram_holds_every_sample(rng: np.random.Generator) -> None:
    correct = rng.random(500) < 0.5
    found = quality(made(rng.standard_cauchy(500).tolist(), correct.tolist(), [0] * 500))["histogram"]
    assert sum(found["good"]) == correct.sum()
    assert sum(found["other"]) == 500 - correct.sum()


def test_a_recording_without_answers_is_refused(tmp_path: Path) -> None:
    recording = read_recording(write(tmp_path / "trace.npz", sample_answer=None))
    with pytest.raises(InvalidRequestError, match="no answers of samples"):
        quality(recording)
    with pytest.raises(InvalidRequestError, match="no answers of samples"):
        with_answers(recording, tmp_path / "answers.jsonl")


def answers(path: Path, values: list[str], **more: Any) -> Path:
    rows = [{"problem": "?", "answer": value, "id": f"row-{place}", **more} for place, value in enumerate(values)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# In the made-up trace question i + 3 has the answer i.
RIGHT = ["-", "-", "-", *map(str, range(12))]


def test_samples_are_graded_by_the_row_of_their_question(tmp_path: Path) -> None:
    recording = read_recording(write(tmp_path / "trace.npz"))
    graded = with_answers(recording, answers(tmp_path / "answers.jsonl", RIGHT, level="3"))
    assert graded.samples is not None
    assert graded.samples.correct is not None
    expected = [
        answer == str(code) for answer, code in zip(graded.samples.answers, graded.samples.problem, strict=True)
    ]
    assert graded.samples.correct.tolist() == expected
    assert graded.groups == {"level": ("3",) * 12}
    assert quality(graded)["outcome"] == "correct"


def test_drawn_rows_are_found_again(tmp_path: Path) -> None:
    recording = read_recording(write(tmp_path / "trace.npz"))
    rows = [""] * 40
    for place, drawn in enumerate(random.Random(42).sample(range(40), 15)):  # noqa: S311
        rows[drawn] = RIGHT[place]
    rows = [value or "nothing" for value in rows]
    path = answers(tmp_path / "answers.jsonl", rows)
    graded = with_answers(recording, path, (42, 15))
    assert graded.samples is not None
    assert graded.samples.correct is not None
    assert graded.samples.correct.mean() > 0.5
    with pytest.raises(InvalidRequestError, match="cannot be drawn from 40 rows"):
        with_answers(recording, path, (42, 41))


def test_answers_of_other_problems_are_refused(tmp_path: Path) -> None:
    recording = read_recording(write(tmp_path / "trace.npz"))
    path = answers(tmp_path / "answers.jsonl", RIGHT[::-1])
    for function in (with_answers, with_groups):
        with pytest.raises(InvalidRequestError, match="its rows are other problems, or in another order"):
            function(recording, path)
    with pytest.raises(InvalidRequestError, match="has no row"):
        with_answers(recording, answers(tmp_path / "few.jsonl", RIGHT[:5]))
    with pytest.raises(ConfigError, match="cannot be read"):
        with_answers(recording, tmp_path / "none.jsonl")


def test_groups_come_from_the_rows(tmp_path: Path) -> None:
    recording = read_recording(write(tmp_path / "trace.npz"))
    path = answers(tmp_path / "answers.jsonl", RIGHT, level=2, subject="Algebra")
    assert with_groups(recording, path).groups == {"level": ("2",) * 12, "subject": ("Algebra",) * 12}
    with pytest.raises(InvalidRequestError, match="says no level"):
        with_groups(recording, answers(tmp_path / "plain.jsonl", RIGHT))


def test_rows_are_found_by_id_where_problems_have_names(tmp_path: Path) -> None:
    recording = replace(
        made([1.0, 2.0], None, [0, 1], answers=("5", "6")),
        problems=("row-1", "row-0"),
    )
    graded = with_answers(recording, answers(tmp_path / "answers.jsonl", ["6", "5"]))
    assert graded.samples is not None
    assert graded.samples.correct is not None
    assert graded.samples.correct.tolist() == [True, True]


@pytest.mark.long
def test_the_published_trace_shows_no_power_within_problems(published: Path) -> None:
    problems = published.parents[1] / "datasets" / "math500.jsonl"
    if not problems.exists():
        pytest.skip("../shared/datasets is not here")
    graded = with_answers(read_recording(published), problems, (42, 100))
    found = quality(graded)
    areas = found["scores"]["score"]
    assert areas["pooled"]["low"] > 0.5
    assert areas["within_problem"]["low"] < 0.5 < areas["within_problem"]["high"]
    for row in found["near_threshold"]:
        assert row["low"] < 0 < row["high"]
