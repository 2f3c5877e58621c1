"""Files of problems: one JSON object a line, with "problem" and, where they are known, "id", "answer" and "level"."""

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from a1_trt.errors import ConfigError, InvalidRequestError
from a1_trt.requests import check_problem
from a1_trt.types import Problem

RowT = TypeVar("RowT")
MAX_BYTES = 1 << 30  # largest file of problems, bytes
_REMEDY = 'write one object a line, such as {"id": "p1", "problem": "What is 1 + 1?", "answer": "2", "level": "easy"}'


def read_problems(path: Path, *, level: str | None = None, with_answers: bool = False) -> list[Problem]:
    """The problems of a JSON-lines file, in its order, of one level or of all; unknown keys are ignored."""
    rows = read_rows(path)
    levels = sorted({str(row["level"]) for _, row in rows if row.get("level") is not None})
    chosen = [(number, row) for number, row in rows if level is None or row.get("level") == level]
    if not chosen:
        asked = f" of level {level!r}" if level else ""
        raise _wrong(path, f"{path} has no problem{asked}", f"choose from {', '.join(levels)}" if levels else _REMEDY)
    return to_problems(path, chosen, with_answers=with_answers)


def read_rows(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """The objects of a JSON-lines file with the numbers of their lines, from 1; empty lines are left out."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _wrong(path, f"{path} is larger than {MAX_BYTES} bytes", "give a part of it")
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise _wrong(path, f"{path} cannot be read: {reason}", "give a file of problems") from None
    return [(number, _row(path, number, line)) for number, line in enumerate(lines, 1) if line.strip()]


def to_problems(
    source: Path | str, rows: Iterable[tuple[int, Mapping[str, Any]]], *, with_answers: bool = False
) -> list[Problem]:
    """Problems of rows with "problem" and, where they are known, "id" and "answer"; a row's number is its id otherwise.

    `source` is where the rows are from, for messages; with answers every row must have one, because it will be graded.

    Example:
        >>> to_problems("here", [(1, {"problem": "1 + 1?", "answer": 2})])
        [Problem(text='1 + 1?', id='1', answer='2')]
    """
    problems: dict[str, Problem] = {}
    for number, row in rows:
        problem = _problem(source, number, row, with_answers)
        if problem.id in problems:
            raise _wrong(source, f"{source} has two problems with the id {problem.id!r}", "give each its own", "id")
        problems[problem.id] = problem
    return list(problems.values())


def drawn(rows: Sequence[RowT], seed: int, n: int) -> list[RowT]:
    """Rows drawn as the published code draws its problems: 100 of MATH-500's 500 by the seed 42.

    Example:
        >>> drawn(range(500), 42, 100)[:3]
        [327, 57, 12]
    """
    if not 0 < n <= len(rows):
        message = f"{n} problems cannot be drawn from {len(rows)} rows"
        raise InvalidRequestError(message, field="answers_drawn", remedy="draw fewer")
    return random.Random(seed).sample(rows, n)  # noqa: S311 - Python's own generator is the published rule


def _row(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half of a character, such as \ud83d alone
        raise _wrong(path, f"{path} line {number} has a character that is not valid Unicode", _REMEDY) from None
    except ValueError:
        row = None
    if not isinstance(row, dict):
        raise _wrong(path, f"{path} line {number} is not a JSON object", _REMEDY)
    return row


def _problem(path: Path | str, number: int, row: Mapping[str, Any], with_answers: bool) -> Problem:
    text, answer = row.get("problem"), row.get("answer")
    if not isinstance(text, str) or not text.strip():
        raise _wrong(path, f"{path} line {number} has no problem text", _REMEDY, "problem")
    if answer is None and with_answers:
        raise _wrong(path, f"{path} line {number} has no answer", _REMEDY, "answer")
    return check_problem(text, id=str(row.get("id", number)), answer=None if answer is None else str(answer))


def _wrong(path: Path | str, message: str, remedy: str, field: str = "problems") -> ConfigError:
    return ConfigError(message, path=str(path), field=field, remedy=remedy)
