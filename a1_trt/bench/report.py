"""From what the arms gave to the figures that are printed: one dictionary, ready for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from a1_trt.bench.comparison import Measured
from a1_trt.grading import is_correct, paired_difference, wilson_interval
from a1_trt.types import Problem, Result


def summarise(problems: Sequence[Problem], measured: Mapping[str, Measured]) -> dict[str, Any]:
    """Accuracy, cost and time of each arm, and the paired comparisons between them.

    A problem that failed counts as answered wrongly.

    Args:
        problems: The problems, with their answers.
        measured: Arm -> what it gave; "a1" and "target_only", perhaps "barrier".
    """
    correct = {arm: _graded(problems, each) for arm, each in measured.items()}
    difference, low, high = paired_difference(correct["a1"], correct["target_only"])
    a1 = _results(measured["a1"])
    n_scored = sum(result.usage.n_scored for result in a1)
    n_takeovers = sum(result.usage.n_takeovers for result in a1)
    said: dict[str, Any] = {arm: _figures(each, correct[arm]) for arm, each in measured.items()}
    said["rejection_rate"] = n_takeovers / n_scored if n_scored else None
    said["rejection_rate_ci95"] = list(wilson_interval(n_takeovers, n_scored))
    said["accuracy_difference"] = difference
    said["accuracy_difference_ci95"] = [low, high]
    said["speedup"] = measured["target_only"].wall_s / measured["a1"].wall_s
    if "barrier" in measured:
        said["async_over_barrier"] = measured["barrier"].wall_s / measured["a1"].wall_s
    return said


def _figures(measured: Measured, correct: Sequence[bool]) -> dict[str, Any]:
    results = _results(measured)
    usages = [result.usage for result in results]
    return {
        "accuracy": sum(correct) / len(correct),
        "accuracy_ci95": list(wilson_interval(sum(correct), len(correct))),
        "sample_accuracy": _sample_accuracy(results),
        "wall_s": measured.wall_s,
        "draft_tokens": sum(usage.draft_tokens for usage in usages),
        "target_tokens": sum(usage.target_tokens for usage in usages),
        "scored_tokens": sum(usage.scored_tokens for usage in usages),
        "n_scored": sum(usage.n_scored for usage in usages),
        "n_takeovers": sum(usage.n_takeovers for usage in usages),
        "n_stopped": sum(usage.n_stopped for usage in usages),
        "n_failed": len(measured.outcomes) - len(results),
    }


def _graded(problems: Sequence[Problem], measured: Measured) -> list[bool]:
    return [
        isinstance(outcome, Result) and is_correct(outcome.answer, problem.answer or "")
        for problem, outcome in zip(problems, measured.outcomes, strict=True)
    ]


def _sample_accuracy(results: Sequence[Result]) -> float | None:
    """Share of votes that are right, which is what one sample gives on average: pass@1 among those that answered."""
    votes = [(n, is_correct(answer, result.problem.answer or "")) for result in results for answer, n in result.votes]
    n_votes = sum(n for n, _ in votes)
    return sum(n for n, right in votes if right) / n_votes if n_votes else None


def _results(measured: Measured) -> list[Result]:
    return [outcome for outcome in measured.outcomes if isinstance(outcome, Result)]
