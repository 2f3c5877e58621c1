"""What is kept of one run: one strategy on one block of problems, ready for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from a1_trt.benchmarks.grading import is_correct
from a1_trt.benchmarks.strategies import CallRecord, Run
from a1_trt.benchmarks.utilization import work_of
from a1_trt.types import ROLES, Problem, Result, SampleEnd, Usage

CALL_FIELDS = (
    "role",
    "kind",
    "problem",
    "sample",
    "turn",
    "wanted_s",
    "started_s",
    "ended_s",
    "n_prompt_tokens",
    "n_new_tokens",
    "n_scored_tokens",
    "end",
)
"""Order of the fields of a call in a file."""

DECISION_FIELDS = ("time_s", "problem", "turn", "p_value", "takeover")
_DIGITS = 5


def cell_of(
    run: Run, problems: Sequence[Problem], indices: Sequence[int], *, with_calls: bool, watched: Mapping[str, Any]
) -> dict[str, Any]:
    """A run, graded. Grading takes no time of it.

    Args:
        run: What was measured.
        problems: Its problems, with their answers.
        indices: Their places among all problems of the comparison.
        with_calls: Keep every call.
        watched: Peaks of memory and the like.
    """
    ended: dict[int, list[tuple[float, SampleEnd]]] = {}
    for sample in run.samples:
        ended.setdefault(sample.problem, []).append((sample.latency_s, sample.end))
    return {
        "wall_s": run.wall_s,
        "problems": [
            _problem(problem, indices[at], run.outcomes[at], run.latencies_s[at], ended.get(at, []))
            for at, problem in enumerate(problems)
        ],
        "work": {role: work_of(run.calls, role) for role in ROLES},
        "decisions": [
            [round(each.time_s, _DIGITS), indices[each.problem], each.turn, round(each.p_value, _DIGITS), each.takeover]
            for each in run.decisions
        ],
        "calls": [_call(call, indices) for call in run.calls] if with_calls else [],
        **watched,
    }


def _problem(
    problem: Problem, index: int, outcome: object, latency_s: float, ended: Sequence[tuple[float, SampleEnd]]
) -> dict[str, Any]:
    said: dict[str, Any] = {
        "problem": index,
        "latency_s": latency_s,
        "sample_latencies_s": [round(time_s, _DIGITS) for time_s, end in ended if end is not SampleEnd.STOPPED],
        "first_answer_s": min((time_s for time_s, end in ended if end is SampleEnd.ANSWERED), default=None),
    }
    if not isinstance(outcome, Result):
        return {
            **said,
            "error": str(outcome),
            "correct": False,
            "n_finished": 0,
            "n_right": 0,
            "usage": asdict(Usage()),
        }
    answers = [each.answer for each in outcome.trajectories if each.end is not SampleEnd.STOPPED]
    right = {answer: is_correct(answer, problem.answer or "") for answer in {*answers, outcome.answer}}
    return {
        **said,
        "answer": outcome.answer,
        "correct": right[outcome.answer],
        "n_finished": len(answers),
        "n_right": sum(right[answer] for answer in answers),
        "usage": asdict(outcome.usage),
    }


def _call(call: CallRecord, indices: Sequence[int]) -> list[Any]:
    said = asdict(call)
    said["problem"] = indices[call.problem]
    return [round(said[name], _DIGITS) if name.endswith("_s") else said[name] for name in CALL_FIELDS]
