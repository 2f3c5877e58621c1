"""Which samples ended right: as recorded, by an answer file, or, where there is neither, as most samples did."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from a1_trt.benchmarks.grading import all_correct
from a1_trt.benchmarks.problems import drawn as drawn_rows
from a1_trt.benchmarks.problems import read_problems, read_rows
from a1_trt.benchmarks.records import GROUPS
from a1_trt.benchmarks.statistics import Booleans, Integers
from a1_trt.core.reasoning import count_votes, normalise
from a1_trt.errors import InvalidRequestError
from a1_trt.offline.recording import Recording, Samples
from a1_trt.types import Problem

_LEAST_SOLVED = 0.2  # fewer problems with any right sample than this say that the answers are those of other problems
Outcome = Literal["correct", "agrees with the majority vote"]


@dataclass(frozen=True)
class Outcomes:
    """Which samples (problem, sample) ended well, and what `good`, bool[n_kept], says; `note` is how that is known."""

    kind: Outcome
    good: Booleans
    problem: Integers
    sample: Integers
    note: str


def outcomes_of(recording: Recording) -> Outcomes:
    """Correctness where it is recorded or was graded, else agreement with the majority vote.

    Agreement is not correctness: the vote may be wrong, and a sample agrees with itself. Problems without any answer
    have no vote and are left out.
    """
    samples = recording.samples
    if samples is None or (samples.correct is None and not any(samples.answers)):
        raise InvalidRequestError(
            f"{recording.name} holds no answers of samples",
            field="sample_answer",
            remedy="record sample_question, sample_index and sample_answer, or correct",
        )
    if samples.correct is not None:
        return Outcomes("correct", samples.correct, samples.problem, samples.sample, "graded")
    votes = _votes(samples, len(recording.problems))
    known = np.asarray([votes[problem] is not None for problem in samples.problem])
    pairs = zip(samples.answers, samples.problem, strict=True)
    agrees = np.asarray([answer is not None and normalise(answer) == votes[problem] for answer, problem in pairs])
    note = "the right answers are not known: give --answers; this is agreement with the vote of the same samples"
    kept = agrees[known], samples.problem[known], samples.sample[known]
    return Outcomes("agrees with the majority vote", *kept, note)


def with_answers(recording: Recording, path: Path, drawn: tuple[int, int] | None = None) -> Recording:
    """The recording with its samples graded against a file of problems, and the problems' levels.

    Problem i belongs to row i, or to the row with its name as id. InvalidRequestError where these are answers of other
    problems, ConfigError where a row has none. `drawn` is (seed, n) where the problems are
    `random.Random(seed).sample(range(n_rows), n)` of the rows, as the published code draws them.
    """
    samples = recording.samples
    if samples is None:
        message = f"{recording.name} holds no answers of samples"
        raise InvalidRequestError(message, field="sample_answer", remedy="leave out --answers")
    rows = _rows(recording, read_problems(path, with_answers=True), path, drawn)
    pairs = zip(samples.answers, samples.problem.tolist(), strict=True)
    verdicts = all_correct([(answer, rows[problem].answer or "") for answer, problem in pairs])
    correct = np.asarray(verdicts, dtype=np.bool_)
    _check_match(recording, path, correct)
    graded = replace(recording, samples=replace(samples, correct=correct))
    return replace(graded, groups={**recording.groups, **_groups(rows, path)})


def with_groups(recording: Recording, path: Path, drawn: tuple[int, int] | None = None) -> Recording:
    """The recording with the levels, subjects and tasks of its problems, from a file of problems; as `with_answers`."""
    rows = _rows(recording, read_problems(path), path, drawn)
    samples = recording.samples
    if samples is not None:
        pairs = zip(samples.answers, samples.problem.tolist(), strict=True)
        same = [normalise(answer or "") == normalise(rows[problem].answer or "") for answer, problem in pairs]
        _check_match(recording, path, np.asarray(same, dtype=np.bool_))
    groups = _groups(rows, path)
    if not groups:
        message = f"{path} says no {', '.join(GROUPS)} of each problem"
        raise InvalidRequestError(message, field="problems_file", remedy="leave it out")
    return replace(recording, groups={**recording.groups, **groups})


def _check_match(recording: Recording, path: Path, right: Booleans) -> None:
    """Refuse answers that hardly any problem agrees with: they belong to other problems."""
    samples = recording.samples
    solved = len(set(samples.problem[right].tolist())) / len(recording.problems) if samples else 1.0
    if solved < _LEAST_SOLVED and len(recording.problems) >= 5:
        raise InvalidRequestError(
            f"only {solved:.0%} of the problems of {recording.name} have a sample that is right by {path}: "
            "its rows are other problems, or in another order",
            field="answers",
            remedy="give the problems in the recording's order, or say how they were drawn, such as 42:100",
        )


def _groups(rows: list[Problem], path: Path) -> dict[str, tuple[str, ...]]:
    """What the file says of each problem's group, where it says it of all of them."""
    by_id = {str(row.get("id", number)): row for number, row in read_rows(path)}
    groups = {}
    for name in GROUPS:
        values = [by_id.get(row.id, {}).get(name) for row in rows]
        if None not in values:
            groups[name] = tuple(map(str, values))
    return groups


def _rows(recording: Recording, rows: list[Problem], path: Path, drawn: tuple[int, int] | None) -> list[Problem]:
    by_id = {row.id: row for row in rows}
    if drawn is None and all(name in by_id for name in recording.problems):
        return [by_id[name] for name in recording.problems]
    if drawn is not None:
        rows = drawn_rows(rows, *drawn)
    numbers = [int(name) if name.isdecimal() else place for place, name in enumerate(recording.problems)]
    if max(numbers) >= len(rows):
        message = f"{path} has no row {max(numbers)} for the problems of {recording.name}"
        raise InvalidRequestError(message, field="answers", remedy="give all the problems, in the recording's order")
    return [rows[number] for number in numbers]


def _votes(samples: Samples, n_problems: int) -> list[str | None]:
    by_problem: list[list[str | None]] = [[] for _ in range(n_problems)]
    for answer, problem in zip(samples.answers, samples.problem, strict=True):
        by_problem[problem].append(answer)
    return [ranking[0][0] if (ranking := count_votes(answers)) else None for answers in by_problem]
