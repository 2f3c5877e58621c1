"""Rows of the known data sets become problems, the official rows are the published ones, and choices are shuffled."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from a1_trt.benchmarks.evaluation.datasets import (
    HUB,
    official_rows,
    plain_row,
    read_dataset,
    set_name,
    shuffled_choices,
)
from a1_trt.errors import ConfigError, InvalidRequestError
from tests.places import SHARED

DATASETS = SHARED / "datasets"
GPQA = {
    "Question": "Which?",
    "Correct Answer": "right",
    "Incorrect Answer 1": "w1",
    "Incorrect Answer 2": "w2",
    "Incorrect Answer 3": "w3",
    "High-level domain": "Physics",
    "Record ID": "rec1",
}


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            {"problem": "P", "solution": "S", "answer": "7", "subject": "Algebra", "level": 2, "unique_id": "t/1.json"},
            {"id": "t/1.json", "problem": "P", "answer": "7", "level": 2, "subject": "Algebra"},
        ),
        ({"problem": "P", "answer": 27.0}, {"problem": "P", "answer": 27.0}),
        ({"question": "P", "final_answer": ["2.5"], "unit": "m"}, {"problem": "P", "answer": "2.5"}),
        ({"question": "P", "final_answer": ["1", "2"]}, {"problem": "P", "answer": "1, 2"}),
        ({"id": 0, "problem": "P", "answer": "0"}, {"id": 0, "problem": "P", "answer": "0"}),
    ],
)
def test_rows_as_the_hub_has_them(row: dict[str, Any], expected: dict[str, Any]) -> None:
    assert plain_row(row, seed=0) == expected


def test_gpqa_asks_for_the_letter_of_the_right_choice() -> None:
    row = plain_row(GPQA, seed=1)
    assert f"({row['answer']}) right" in row["problem"]
    assert all(choice in row["problem"] for choice in ("w1", "w2", "w3"))
    assert (row["id"], row["subject"]) == ("rec1", "Physics")


def test_choices_are_shuffled_by_seed_and_question_alone() -> None:
    wrong = ["w1", "w2", "w3"]
    same = [shuffled_choices("r", wrong, seed=5, question="q") for _ in range(2)]
    assert same[0] == same[1]
    places = Counter(shuffled_choices("r", wrong, seed=5, question=f"q{n}")[1] for n in range(400))
    assert all(70 <= places[place] <= 130 for place in range(4))
    orders = {tuple(shuffled_choices("r", wrong, seed=seed, question="q")[0]) for seed in range(400)}
    assert len(orders) == 24


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("x/math500.jsonl", "math500"),
        ("HuggingFaceH4/MATH-500", "math500"),
        ("AIME-2024", "aime24"),
        ("simplescaling/aime25_nofigures", "aime25"),
        ("amc23.jsonl", "amc23"),
        ("AI-MO/aimo-validation-amc", "amc"),
        ("Idavidrein/gpqa", "gpqa"),
        ("mine.jsonl", None),
    ],
)
def test_well_known_sets_are_recognised(data: str, name: str | None) -> None:
    assert set_name(data) == name


def test_official_rows_are_those_of_the_published_code() -> None:
    rows = [(n, {"problem": str(n)}) for n in range(500)]
    chosen, _ = official_rows("math500", rows)
    random.seed(42)
    assert [number for number, _ in chosen] == random.sample(range(500), 100)
    assert [number for number, _ in official_rows("aime24", rows[:30])[0]] == list(range(15))
    first, notes = official_rows("amc", rows[:83])
    assert (len(first), notes) == (50, ())
    assert official_rows("amc23", rows[:40])[1]
    numerical = [(n, {"answer_type": "Numerical" if n % 2 else "Expression"}) for n in range(200)]
    assert [number for number, _ in official_rows("olympiad", numerical)[0]] == list(range(1, 101, 2))


@pytest.mark.parametrize(("name", "n"), [("math500", 499), (None, 10)])
def test_an_official_subset_that_is_not_known_is_refused(name: str | None, n: int) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        official_rows(name, [(n, {}) for n in range(n)])
    assert caught.value.field == "subset"


def test_a_file_with_levels(tmp_path: Path) -> None:
    rows = [{"problem": "a?", "answer": 1, "level": 3}, {"problem": "b?", "answer": "2"}]
    found = read_dataset(write(tmp_path / "mine.jsonl", rows))
    assert [(problem.id, problem.answer) for problem in found.problems] == [("1", "1"), ("2", "2")]
    assert found.groups == {"1": {"level": "3"}, "2": {}}


@pytest.mark.parametrize(
    ("rows", "field"), [([], "data"), ([{"problem": "a?"}], "answer"), ([{"answer": "1"}], "problem")]
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, rows: list[dict[str, Any]], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_dataset(write(tmp_path / "mine.jsonl", rows))
    assert caught.value.field == field


def test_neither_file_nor_data_set() -> None:
    with pytest.raises(ConfigError, match="math500"):
        read_dataset("mathematics")
    with pytest.raises(ConfigError, match="No such file"):
        read_dataset("none.jsonl")


def test_the_package_that_loads_from_the_hub_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    for data in ("HuggingFaceH4/MATH-500", "MATH-500", "somebody/else"):
        with pytest.raises(ConfigError, match="pip install datasets") as caught:
            read_dataset(data)
        assert caught.value.field == "datasets"


def test_every_known_set_is_complete() -> None:
    assert {"math500", "aime24", "aime25", "amc23"} <= set(HUB)
    assert all(known.id.count("/") == 1 and known.split for known in HUB.values())


@pytest.mark.long
@pytest.mark.skipif(not DATASETS.is_dir(), reason="the data sets are not here")
def test_the_real_files() -> None:
    assert len(read_dataset(str(DATASETS / "math500.jsonl"), subset="official").problems) == 100
    found = read_dataset(str(DATASETS / "math500.jsonl"))
    assert {group["level"] for group in found.groups.values()} == set("12345")
    assert len(read_dataset(str(DATASETS / "aime25.jsonl"), subset="official").problems) == 15
