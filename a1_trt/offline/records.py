"""Reading the records of a run: JSON lines, one sample each, as `a1-trt eval` writes them."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from a1_trt.benchmarks.records import GROUPS, UNFINISHED
from a1_trt.benchmarks.statistics import Floats, Integers
from a1_trt.benchmarks.traces import MAX_SEGMENTS, bad_trace
from a1_trt.core.conformal import SCORES, mean_nll
from a1_trt.errors import ScoreShapeError
from a1_trt.offline.recording import Recording, Samples

_REMEDY = 'write one sample a line: {"problem_id": "p1", "sample": 0, "turns": [{"score": 1.5}], "correct": true}'
_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class _Turn(BaseModel):
    score: _Number | None = None
    p_value: _Number | None = None
    level: _Number | None = None
    takeover: Annotated[bool, Field(strict=True)] | None = None
    logprobs: list[_Number] | None = None
    scores: dict[str, _Number | None] | None = None


class _Sample(BaseModel):
    """A line, without the texts, which are most of a file."""

    problem_id: str | int
    sample: Annotated[int, Field(strict=True, ge=0, lt=2**31)]
    turns: Annotated[list[_Turn], Field(max_length=MAX_SEGMENTS)]
    answer: Any = None
    correct: Any = None
    end: Any = None
    alpha: _Number | None = None
    level: Any = None
    task: Any = None
    subject: Any = None

    @property
    def problem(self) -> str:
        return str(self.problem_id)


@dataclass(frozen=True, slots=True)
class _Scored:
    sample: _Sample
    number: int
    turn: _Turn


def read_records(path: Path) -> Recording:
    """The scored segments of a run, in the order of the file; turns without a score are left out."""
    samples = list(_read_samples(path))
    if not samples:
        raise bad_trace(path, "holds no sample", remedy=_REMEDY)
    numbers = {name: number for number, name in enumerate(dict.fromkeys(sample.problem for sample in samples))}
    turns = [_Scored(sample, number, turn) for sample in samples for number, turn in enumerate(sample.turns)]
    scored = [row for row in turns if row.turn.score is not None]
    if not scored:
        raise bad_trace(path, "holds no score", field="score", remedy=_REMEDY)
    return Recording(
        name=path.name,
        problems=tuple(numbers),
        problem=_integers(numbers[row.sample.problem] for row in scored),
        sample=_integers(row.sample.sample for row in scored),
        turn=_integers(row.number for row in scored),
        scores=_floats(row.turn.score for row in scored),
        n_unscored=len(turns) - len(scored),
        samples=_outcomes(samples, numbers),
        groups=_groups(samples, numbers),
        other_scores=_other_scores(path, scored),
        **_decisions(scored),
    )


def _read_samples(path: Path) -> Iterator[_Sample]:
    seen: set[tuple[str, int]] = set()
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                sample = _sample(path, number, line)
                if sample is None:
                    continue
                if (sample.problem, sample.sample) in seen:
                    message = f"line {number} has sample {sample.sample} of {sample.problem!r} again"
                    raise bad_trace(path, message, field="sample")
                seen.add((sample.problem, sample.sample))
                yield sample
    except UnicodeDecodeError:
        raise bad_trace(path, "is not UTF-8 text") from None


def _sample(path: Path, number: int, line: str) -> _Sample | None:
    try:
        row = json.loads(line) if line.strip() else {}
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise bad_trace(path, f"line {number} is not a JSON object", remedy=_REMEDY)
    try:
        return _Sample.model_validate(row) if "turns" in row else None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        field = next((str(name) for name in first["loc"][2:3] or first["loc"][:1]), "turns")
        raise bad_trace(path, f"line {number}, {place}: {first['msg']}", field=field, remedy=_REMEDY) from None


def _integers(values: Iterable[int]) -> Integers:
    return np.fromiter(values, dtype=np.int64)


def _floats(values: Iterable[float | None]) -> Floats:
    """None becomes NaN."""
    return np.asarray([math.nan if value is None else value for value in values], dtype=np.float64)


def _decisions(scored: Sequence[_Scored]) -> dict[str, Any]:
    decisions: dict[str, Any] = {}
    if all(row.turn.takeover is not None for row in scored):
        decisions["takeovers"] = np.asarray([row.turn.takeover for row in scored], dtype=np.bool_)
    if all(row.turn.p_value is not None for row in scored):
        decisions["p_values"] = _floats(row.turn.p_value for row in scored)
        levels = [row.sample.alpha if row.turn.level is None else row.turn.level for row in scored]
        if None not in levels:
            decisions["margins"] = decisions["p_values"] - _floats(levels)
    return decisions


def _outcomes(samples: Sequence[_Sample], numbers: Mapping[str, int]) -> Samples:
    """How the samples ended; those that were not allowed to end are neither right nor wrong."""
    samples = [sample for sample in samples if sample.end not in [end.value for end in UNFINISHED]]
    graded = all(isinstance(sample.correct, bool) for sample in samples)
    return Samples(
        problem=_integers(numbers[sample.problem] for sample in samples),
        sample=_integers(sample.sample for sample in samples),
        answers=tuple(None if sample.answer is None else str(sample.answer) for sample in samples),
        correct=np.asarray([sample.correct for sample in samples], dtype=np.bool_) if graded else None,
    )


def _groups(samples: Sequence[_Sample], numbers: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    groups = {}
    for name in GROUPS:
        known = {sample.problem: str(value) for sample in samples if (value := getattr(sample, name)) is not None}
        if len(known) == len(numbers):
            groups[name] = tuple(known[problem] for problem in numbers)
    return groups


def _other_scores(path: Path, scored: Sequence[_Scored]) -> dict[str, Floats]:
    """Scores that were recorded beside the one that decided, and those that recorded log-probs allow."""
    named = [row.turn.scores or {} for row in scored]
    names = sorted({name for scores in named for name in scores})
    recorded = {name: _floats(scores.get(name) for scores in named) for name in names}
    return {**_scores_of_logprobs(path, scored), **recorded}


def _scores_of_logprobs(path: Path, scored: Sequence[_Scored]) -> dict[str, Floats]:
    """Every score that this package knows, where log-probs were recorded; NaN where a turn has none."""
    if not any(row.turn.logprobs for row in scored):
        return {}
    scores = {name: np.full(len(scored), math.nan) for name in SCORES}
    earlier: dict[tuple[str, int], list[float]] = {}
    try:
        for place, row in enumerate(scored):
            if row.turn.logprobs:
                before = earlier.setdefault((row.sample.problem, row.sample.sample), [])
                for name, score in SCORES.items():
                    scores[name][place] = score(row.turn.logprobs, before)
                before.append(mean_nll(row.turn.logprobs))
    except ScoreShapeError as error:
        raise bad_trace(path, f"has bad logprobs: {error}", field="logprobs", remedy=_REMEDY) from None
    return scores
