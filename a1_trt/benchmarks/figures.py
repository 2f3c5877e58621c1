"""From cells to figures: what one strategy gave in one repeat, and over all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from a1_trt.benchmarks.grading import wilson_interval
from a1_trt.benchmarks.intervals import mean_interval, pass_at_k, percentiles
from a1_trt.benchmarks.utilization import utilisation
from a1_trt.types import ROLES

Cell = Mapping[str, Any]
_SUMS = ("calls", "cancelled_calls", "failed_calls", "new_tokens", "prompt_tokens", "scored_tokens", "busy_s", "slot_s")


def figures(cells: Sequence[Cell], slots: Mapping[str, int]) -> dict[str, Any]:
    """Everything that is said of a strategy, from its cells of one setting.

    Args:
        cells: Its cells: the blocks of one repeat, or of several.
        slots: Most calls in flight per role.
    """
    problems = [problem for cell in cells for problem in cell["problems"]]
    wall_s = sum(cell["wall_s"] for cell in cells)
    usage = {name: sum(problem["usage"][name] for problem in problems) for name in problems[0]["usage"]}
    work = {role: {name: sum(cell["work"][role][name] for cell in cells) for name in _SUMS} for role in ROLES}
    new_tokens = sum(work[role]["new_tokens"] for role in ROLES)
    return {
        **_accuracy(problems),
        "wall_s": wall_s,
        "problems_per_s": len(problems) / wall_s if wall_s else None,
        "tokens_per_s": new_tokens / wall_s if wall_s else None,
        "latency_s": percentiles([problem["latency_s"] for problem in problems]),
        "sample_latency_s": percentiles([each for problem in problems for each in problem["sample_latencies_s"]]),
        "first_answer_s": percentiles(
            [problem["first_answer_s"] for problem in problems if problem["first_answer_s"] is not None]
        ),
        "tokens": {name: usage[f"{name}_tokens"] for name in ("draft", "target", "scored")},
        "calls": {name: usage[f"{name}_calls"] for name in ("draft", "score", "takeover")},
        "engines": work,
        **_rejections(cells, usage),
        "utilisation": utilisation(work, slots, wall_s),
        "n_stopped": usage["n_stopped"],
        "n_failed": sum("error" in problem for problem in problems),
        "rss_bytes": max((cell["rss_bytes"] or 0 for cell in cells), default=0) or None,
        "kv_blocks": {
            role: max(cell["kv_blocks"].get(role, 0) for cell in cells)
            for role in ROLES
            if any(role in cell["kv_blocks"] for cell in cells)
        },
        "cpu_s": _sum(cells, "cpu_s"),
        "energy_j": _sum(cells, "energy_j"),
    }


def _sum(cells: Sequence[Cell], name: str) -> float | None:
    """The sum of what every cell knows; None where one does not."""
    values = [cell[name] for cell in cells]
    return None if any(value is None for value in values) else sum(values)


def _accuracy(problems: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Share of votes that are right, and pass@k of the samples that ran to their end."""
    n_correct = sum(problem["correct"] for problem in problems)
    by_problem: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for problem in problems:
        by_problem[problem["problem"]].append(problem)
    most = min(problem["n_finished"] for problem in problems)
    passed = {}
    for k in (2**power for power in range(max(1, most).bit_length())):
        chances = [
            [pass_at_k(each["n_finished"], each["n_right"], k) if each["n_finished"] >= k else 0.0 for each in same]
            for same in by_problem.values()
        ]
        mean, interval = mean_interval([sum(each) / len(each) for each in chances])
        passed[str(k)] = {"value": mean, "ci95": interval}
    return {
        "n_problems": len(problems),
        "n_correct": n_correct,
        "accuracy": n_correct / len(problems),
        "accuracy_ci95": list(wilson_interval(n_correct, len(problems))),
        "pass_at_k": passed,
    }


def _rejections(cells: Sequence[Cell], usage: Mapping[str, int]) -> dict[str, Any]:
    by_turn: dict[int, list[bool]] = defaultdict(list)
    for cell in cells:
        for _, _, turn, _, takeover in cell["decisions"]:
            by_turn[turn].append(takeover)
    n_scored, n_takeovers = usage["n_scored"], usage["n_takeovers"]
    return {
        "n_scored": n_scored,
        "n_takeovers": n_takeovers,
        "rejection_rate": n_takeovers / n_scored if n_scored else None,
        "rejection_rate_ci95": list(wilson_interval(n_takeovers, n_scored)) if n_scored else None,
        "rejection_rate_by_turn": [
            {
                "turn": turn,
                "n": len(taken),
                "rate": sum(taken) / len(taken),
                "ci95": list(wilson_interval(sum(taken), len(taken))),
            }
            for turn, taken in sorted(by_turn.items())
        ],
    }
