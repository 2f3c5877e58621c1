"""The record of a solved problem: what bench, eval and demo keep of it, made in one place from a result."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from a1_trt.benchmarks.grading import all_correct
from a1_trt.errors import A1Error
from a1_trt.files import first_mistake
from a1_trt.types import Problem, Result, SampleEnd, Trajectory, Usage

GROUPS = ("level", "subject", "task")  # fields by which figures are reported apart, where every problem has them
UNFINISHED = (SampleEnd.STOPPED, SampleEnd.CANCELLED)
"""Samples that were not allowed to end: they count neither as right nor as wrong."""

TIME_DIGITS = 5
ModelT = TypeVar("ModelT", bound=BaseModel)


class ProblemRecord(BaseModel):
    """One problem of a run, as it stands in the files of `bench` and `eval`.

    `problem` is its place in the run, `problem_key` the key of its text. `answer` is the vote's, `truth` the right one,
    and `votes` are answers and how many samples gave each. Of n_samples, n_failed_samples failed and n_finished ran to
    their end, of which n_right are right. Seconds are from the problem's arrival; samples that were stopped have no
    latency. `scored_by_turn` is turn, from 0 -> segments scored, and how many of them the target took over. With an
    `error`, why it could not be solved, it is wrong.
    """

    model_config = ConfigDict(frozen=True)

    problem: int = 0
    problem_id: str = ""
    problem_key: str = ""
    level: str | None = None
    subject: str | None = None
    task: str | None = None
    answer: str | None = None
    truth: str | None = None
    correct: bool
    votes: tuple[tuple[str, int], ...] = ()
    n_samples: int = 0
    n_finished: int
    n_right: int
    any_right: bool = False
    n_failed_samples: int = 0
    latency_s: float | None
    sample_latencies_s: tuple[float, ...] = ()
    first_answer_s: float | None = None
    usage: Usage
    scored_by_turn: dict[int, tuple[int, int]] = {}
    error: dict[str, Any] | str | None = None


def record_of(
    problem: Problem,
    outcome: Result | A1Error,
    right: Mapping[str | None, bool],
    *,
    place: int = 0,
    groups: Mapping[str, str] | None = None,
    latency_s: float | None = None,
    ends: Sequence[tuple[float, SampleEnd]] = (),
) -> ProblemRecord:
    """The record of a problem that was solved, or could not be.

    `right` is from `grade`; `place` is its place in the run; `groups` are its level, subject and task. Seconds are from
    its arrival (the result's own when None); `ends` are when each sample ended, and why.
    """
    fields: dict[str, Any] = {
        "problem": place,
        "problem_id": problem.id,
        "problem_key": problem.key,
        "truth": problem.answer,
        "sample_latencies_s": tuple(round(time_s, TIME_DIGITS) for time_s, end in ends if end is not SampleEnd.STOPPED),
        "first_answer_s": min((time_s for time_s, end in ends if end is SampleEnd.ANSWERED), default=None),
        **(groups or {}),
    }
    if isinstance(outcome, A1Error):
        fields |= {"correct": False, "n_finished": 0, "n_right": 0, "usage": Usage()}
        return ProblemRecord(**fields, latency_s=latency_s, error=outcome.to_wire())
    chains = outcome.trajectories
    finished = [chain for chain in chains if chain.end not in UNFINISHED]
    return ProblemRecord(
        **fields,
        answer=outcome.answer,
        correct=right[outcome.answer],
        votes=outcome.votes,
        n_samples=len(chains),
        n_finished=len(finished),
        n_right=sum(right[chain.answer] for chain in finished),
        any_right=any(right[chain.answer] for chain in chains),
        n_failed_samples=sum(chain.end is SampleEnd.FAILED for chain in chains),
        latency_s=outcome.wall_s if latency_s is None else latency_s,
        usage=outcome.usage,
        scored_by_turn=_scored_by_turn(chains),
    )


def grade(result: Result) -> dict[str | None, bool]:
    """Whether each answer that occurs in a result is right. Takes processes and time: call it off the event loop."""
    answers = list({result.answer, *(chain.answer for chain in result.trajectories)})
    truth = result.problem.answer or ""
    return dict(zip(answers, all_correct([(answer, truth) for answer in answers]), strict=True))


def validated(model: type[ModelT], rows: Iterable[Any], refuse: Callable[[str], Exception]) -> list[ModelT]:
    """Rows of a JSON file as records; `refuse` makes the error of what is wrong."""
    records = []
    for number, row in enumerate(rows, 1):
        try:
            records.append(model.model_validate(row))
        except ValidationError as error:
            raise refuse(f"row {number}, field {first_mistake(error)}") from None
    return records


def _scored_by_turn(trajectories: Iterable[Trajectory]) -> dict[int, tuple[int, int]]:
    counts: dict[int, list[bool]] = defaultdict(list)
    for trajectory in trajectories:
        for number, turn in enumerate(trajectory.turns):
            if turn.score is not None:
                counts[number].append(turn.takeover)
    return {number: (len(takeovers), sum(takeovers)) for number, takeovers in sorted(counts.items())}
