"""What is kept of a problem: a line for each of its samples, and one for the problem itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from a1_trt.benchmarks.grading import all_correct
from a1_trt.core.conformal import category_of
from a1_trt.errors import A1Error
from a1_trt.types import Problem, Result, SampleEnd, Trajectory, Turn, Usage

UNFINISHED = (SampleEnd.STOPPED, SampleEnd.CANCELLED)
"""Samples that were not allowed to end: they count neither as right nor as wrong."""


def grade(result: Result) -> dict[str | None, bool]:
    """Whether each answer that occurs in a result is right. Takes processes and time: call it off the event loop.

    Raises:
        ConfigError: math-verify is wanted and not installed.
    """
    answers = list({result.answer, *(each.answer for each in result.trajectories)})
    truth = result.problem.answer or ""
    return dict(zip(answers, all_correct([(answer, truth) for answer in answers]), strict=True))


def sample_lines(
    result: Result, right: Mapping[str | None, bool], groups: Mapping[str, str], alpha: float | None
) -> list[dict[str, Any]]:
    """One line a sample, with everything that was written, scored and decided.

    Args:
        result: The solved problem.
        right: See `grade`.
        groups: Level, subject and task of the problem.
        alpha: What p-values were compared with; None where that was another number from turn to turn.
    """
    level = {} if alpha is None else {"alpha": alpha}
    return [
        {
            "problem_id": result.problem.id,
            "problem_key": result.problem.key,
            "sample": each.sample,
            "answer": each.answer,
            "correct": right[each.answer],
            "end": each.end.value,
            **groups,
            **level,
            **({"error": each.error.to_wire()} if each.error else {}),
            "turns": [_turn(turn) for turn in each.turns],
        }
        for each in result.trajectories
    ]


def problem_line(result: Result, right: Mapping[str | None, bool], groups: Mapping[str, str]) -> dict[str, Any]:
    """The line of a solved problem."""
    finished = [each for each in result.trajectories if each.end not in UNFINISHED]
    return {
        **_named(result.problem, groups),
        "answer": result.answer,
        "truth": result.problem.answer,
        "correct": right[result.answer],
        "votes": [list(vote) for vote in result.votes],
        "n_samples": len(result.trajectories),
        "n_finished": len(finished),
        "n_right": sum(right[each.answer] for each in finished),
        "any_right": any(right[each.answer] for each in result.trajectories),
        "n_failed_samples": sum(each.end is SampleEnd.FAILED for each in result.trajectories),
        "latency_s": result.wall_s,
        "usage": asdict(result.usage),
        "decisions": _decisions(result.trajectories),
        "error": None,
    }


def failed_line(problem: Problem, error: A1Error, groups: Mapping[str, str]) -> dict[str, Any]:
    """The line of a problem that could not be solved; it counts as wrong, with no sample."""
    return {
        **_named(problem, groups),
        "answer": None,
        "truth": problem.answer,
        "correct": False,
        "votes": [],
        "n_samples": 0,
        "n_finished": 0,
        "n_right": 0,
        "any_right": False,
        "n_failed_samples": 0,
        "latency_s": None,
        "usage": asdict(Usage()),
        "decisions": {},
        "error": error.to_wire(),
    }


def _named(problem: Problem, groups: Mapping[str, str]) -> dict[str, Any]:
    return {"problem_id": problem.id, "problem_key": problem.key, **groups}


def _turn(turn: Turn) -> dict[str, Any]:
    tokens = {
        f"{role}_tokens": sum(segment.n_tokens for segment in turn.segments if segment.role == role)
        for role in ("draft", "target")
    }
    return {
        "score": turn.score,
        "p_value": turn.p_value,
        "takeover": turn.takeover,
        "unscored": turn.unscored,
        "forced": turn.forced,
        **tokens,
        "text": "".join(segment.text for segment in turn.segments),
        "segments": [
            {"role": segment.role, "n_chars": len(segment.text), "n_tokens": segment.n_tokens, "ended": segment.ended}
            for segment in turn.segments
        ],
    }


def _decisions(trajectories: tuple[Trajectory, ...]) -> dict[str, list[int]]:
    """Of each turn bucket: segments scored, and how many of them the target took over."""
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for each in trajectories:
        for number, turn in enumerate(each.turns):
            if turn.score is not None:
                counts = found[category_of("turn", number, "")]
                counts[0] += 1
                counts[1] += turn.takeover
    return dict(sorted(found.items()))
