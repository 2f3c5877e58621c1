"""Reading the records of a run: JSON lines, one sample each, as `a1-trt eval` writes them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from a1_trt.benchmarks.statistics import Floats, Integers
from a1_trt.core.conformal import SCORES, mean_nll
from a1_trt.errors import ScoreShapeError
from a1_trt.offline.recording import GROUPS, MAX_SEGMENTS, Recording, Samples, bad
from a1_trt.types import SampleEnd

_OF_SAMPLES = ("problem_id", "sample", "answer", "correct", "end", "alpha", *GROUPS)
_OF_TURNS = ("score", "p_value", "level", "takeover", "logprobs", "scores")

_UNFINISHED = (SampleEnd.STOPPED.value, SampleEnd.CANCELLED.value)

_REMEDY = 'write one sample a line: {"problem_id": "p1", "sample": 0, "turns": [{"score": 1.5}], "correct": true}'


def read_records(path: Path) -> Recording:
    """The scored segments of a run, in the order of the file.

    A line is one sample: `problem_id`, `sample`, `turns` (a list of `score`, and where known `p_value`, `level`,
    `takeover`, `logprobs`, `scores`), and where known `answer`, `correct`, `end`, `alpha`, `level`, `task`. Lines
    without `turns` are skipped, and so are turns without a score.

    Raises:
        InvalidRequestError: A line is no such object, or a score is no finite number.
    """
    samples = list(_lines(path))
    if not samples:
        raise bad(path, "holds no sample", remedy=_REMEDY)
    numbers: dict[str, int] = {}
    for row in samples:
        numbers.setdefault(str(row["problem_id"]), len(numbers))
    turns = [
        (numbers[str(row["problem_id"])], int(row["sample"]), number, turn, row)
        for row in samples
        for number, turn in enumerate(row["turns"])
    ]
    scored = [each for each in turns if each[3].get("score") is not None]
    if not scored:
        raise bad(path, "holds no score", field="score", remedy=_REMEDY)
    return Recording(
        name=path.name,
        problems=tuple(numbers),
        problem=_integers(each[0] for each in scored),
        sample=_integers(each[1] for each in scored),
        turn=_integers(each[2] for each in scored),
        scores=_numbers(path, [each[3]["score"] for each in scored], "score"),
        n_unscored=len(turns) - len(scored),
        samples=_outcomes(samples, numbers),
        groups=_groups(samples, numbers),
        other_scores=_other_scores(path, [each[3] for each in scored], [each[:2] for each in scored]),
        **_decisions(path, [(each[3], each[4]) for each in scored]),
    )


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Every sample, without the texts, which are most of a file."""
    seen: set[tuple[str, int]] = set()
    try:
        with path.open(encoding="utf-8") as stream:
            for number in count(1):
                line = stream.readline()
                if not line:
                    return
                row = _row(path, number, line)
                if row is None:
                    continue
                key = str(row["problem_id"]), int(row["sample"])
                if key in seen:
                    raise bad(path, f"line {number} has sample {key[1]} of {key[0]!r} again", field="sample")
                seen.add(key)
                kept = {name: row[name] for name in _OF_SAMPLES if name in row}
                yield {**kept, "turns": _turns(path, number, row)}
    except UnicodeDecodeError:
        raise bad(path, "is no UTF-8 text") from None


def _row(path: Path, number: int, line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line) if line.strip() else {}
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise bad(path, f"line {number} is no JSON object", remedy=_REMEDY)
    if "turns" not in row:
        return None
    whole = isinstance(row.get("sample"), int) and 0 <= row["sample"] < 2**31
    if not isinstance(row.get("problem_id"), str | int) or not whole:
        raise bad(path, f"line {number} has no problem_id or sample", field="sample", remedy=_REMEDY)
    return row


def _turns(path: Path, number: int, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    turns = row["turns"]
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise bad(path, f"line {number} has turns that are no list of objects", field="turns", remedy=_REMEDY)
    if len(turns) > MAX_SEGMENTS:
        raise bad(path, f"line {number} has {len(turns)} turns", field="turns")
    return [{name: turn[name] for name in _OF_TURNS if name in turn} for turn in turns]


def _integers(values: Iterator[int]) -> Integers:
    return np.fromiter(values, dtype=np.int64)


def _numbers(path: Path, values: list[Any], name: str) -> Floats:
    for value in values:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not -1e308 < value < 1e308:
            raise bad(path, f"has {name} {value!r}, which is no finite number", field=name, remedy=_REMEDY)
    return np.asarray(values, dtype=np.float64)


def _decisions(path: Path, turns: list[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, Any]:
    """What was decided, where every scored turn says so."""
    found: dict[str, Any] = {}
    if all(isinstance(turn.get("takeover"), bool) for turn, _ in turns):
        found["takeovers"] = np.asarray([turn["takeover"] for turn, _ in turns])
    p_values = [turn.get("p_value") for turn, _ in turns]
    if None not in p_values:
        found["p_values"] = _numbers(path, p_values, "p_value")
        levels = [turn.get("level", row.get("alpha")) for turn, row in turns]
        if None not in levels:
            found["margins"] = found["p_values"] - _numbers(path, levels, "level")
    return found


def _outcomes(rows: list[dict[str, Any]], numbers: Mapping[str, int]) -> Samples:
    """How the samples ended; those that were not allowed to end are neither right nor wrong."""
    rows = [row for row in rows if row.get("end") not in _UNFINISHED]
    judged = all(isinstance(row.get("correct"), bool) for row in rows)
    return Samples(
        problem=_integers(numbers[str(row["problem_id"])] for row in rows),
        sample=_integers(int(row["sample"]) for row in rows),
        answers=tuple(None if row.get("answer") is None else str(row["answer"]) for row in rows),
        correct=np.asarray([row["correct"] for row in rows], dtype=np.bool_) if judged else None,
    )


def _groups(rows: list[dict[str, Any]], numbers: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """Level, task and subject of each problem, where every problem has one."""
    found = {}
    for name in GROUPS:
        of = {str(row["problem_id"]): str(row[name]) for row in rows if row.get(name) is not None}
        if len(of) == len(numbers):
            found[name] = tuple(of[problem] for problem in numbers)
    return found


def _other_scores(path: Path, turns: list[dict[str, Any]], samples: list[tuple[int, int]]) -> dict[str, Floats]:
    """Scores that were recorded beside the one that decided, and those that recorded log-probs allow."""
    named = [turn.get("scores") or {} for turn in turns]
    if not all(isinstance(each, dict) for each in named):
        raise bad(path, "has scores that are no object", field="scores", remedy=_REMEDY)
    found = {}
    for name in sorted({name for each in named for name in each}):
        values = [each.get(name) for each in named]
        known = np.asarray([value is not None for value in values])
        found[name] = np.full(len(values), math.nan)
        found[name][known] = _numbers(path, [value for value in values if value is not None], f"scores.{name}")
    return found | {name: values for name, values in _of_logprobs(path, turns, samples).items() if name not in found}


def _of_logprobs(path: Path, turns: list[dict[str, Any]], samples: list[tuple[int, int]]) -> dict[str, Floats]:
    """Every score that this package knows, where log-probs were recorded; NaN where a turn has none."""
    if not any(turn.get("logprobs") for turn in turns):
        return {}
    found = {name: np.full(len(turns), math.nan) for name in SCORES}
    earlier: dict[tuple[int, int], list[float]] = {}
    try:
        for place, (turn, sample) in enumerate(zip(turns, samples, strict=True)):
            if turn.get("logprobs"):
                before = earlier.setdefault(sample, [])
                for name, score in SCORES.items():
                    found[name][place] = score(turn["logprobs"], before)
                before.append(mean_nll(turn["logprobs"]))
    except (ScoreShapeError, TypeError) as error:
        raise bad(path, f"has bad logprobs: {error}", field="logprobs", remedy=_REMEDY) from None
    return found
