"""Files of problems are read as they are, and what is wrong with one is said with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from a1_trt.benchmarks.problems import read_problems
from a1_trt.errors import ConfigError, InvalidRequestError
from a1_trt.types import Problem

GOOD = """\
{"id": "p1", "problem": "1 + 1?", "answer": "2", "level": "easy"}

{"problem": "2 + 2?", "answer": 4, "level": "hard", "source": "me"}
{"id": 7, "problem": "3 + 3?"}
"""


def file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "problems.jsonl"
    path.write_text(text)
    return path


def test_all_problems_in_order(tmp_path: Path) -> None:
    assert read_problems(file(tmp_path, GOOD)) == [
        Problem("1 + 1?", "p1", "2"),
        Problem("2 + 2?", "3", "4"),
        Problem("3 + 3?", "7", None),
    ]


def test_one_level(tmp_path: Path) -> None:
    assert [problem.text for problem in read_problems(file(tmp_path, GOOD), level="hard")] == ["2 + 2?"]


@pytest.mark.parametrize(
    ("text", "options", "message", "field"),
    [
        ("", {}, "no problem", "problems"),
        (GOOD, {"level": "middle"}, "choose from easy, hard", "problems"),
        (GOOD, {"with_answers": True}, "line 4 has no answer", "answer"),
        ("{", {}, "line 1 is not a JSON object", "problems"),
        ("[1]", {}, "line 1 is not a JSON object", "problems"),
        (r'{"problem": "1", "id": "\ud83d"}', {}, "line 1 has a character that is not valid Unicode", "problems"),
        ('{"problem": ""}', {}, "line 1 has no problem text", "problem"),
        ('{"problem": "a", "id": 1}\n{"problem": "b", "id": "1"}', {}, "two problems with the id '1'", "id"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, options: dict[str, object], message: str, field: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read_problems(file(tmp_path, text), **options)
    assert caught.value.field == field
    assert caught.value.remedy


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_problems(tmp_path / "none.jsonl")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_problems(tmp_path / "binary")


def test_a_problem_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="characters"):
        read_problems(file(tmp_path, '{"problem": "%s"}' % ("x" * 300_000)))
