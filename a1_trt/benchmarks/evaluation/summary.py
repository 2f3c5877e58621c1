"""From lines of problems to figures with intervals. All intervals are 95 %, with problems as the independent units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from a1_trt.benchmarks.clusters import rate_interval
from a1_trt.benchmarks.evaluation.datasets import GROUPS
from a1_trt.benchmarks.grading import wilson_interval
from a1_trt.benchmarks.intervals import pass_at_k, percentiles

Line = Mapping[str, Any]

PUBLISHED_SAMPLES = 16
"""Samples of the published rule, by which a problem is right when any of them is."""

_TOKENS = ("draft_tokens", "target_tokens", "scored_tokens", "discarded_tokens")
_COUNTS = ("n_scored", "n_takeovers", "n_forced", "n_unscored", "n_stopped")


def summarise(lines: Sequence[Line], *, n_total: int, alpha: float, starts: Sequence[Line] = ()) -> dict[str, Any]:
    """Everything that is said of an evaluation, ready for JSON.

    Args:
        lines: The problems that are done, as `problem_line` and `failed_line` make them.
        n_total: Problems that were asked for.
        alpha: Rejection rate that was asked for.
        starts: The starts of the evaluation, oldest first, for the wall time.

    Returns:
        `n_problems`, `accuracy` (of the vote), `pass_at_k`, `any_right` (the published rule), `rejection_rate`,
        `rejection_rate_by_turn`, `tokens`, `latency_s`, `wall_s`, `groups`, `notes` and more: docs/evaluation.md.
    """
    usage = {name: sum(line["usage"][name] for line in lines) for name in (*_TOKENS, *_COUNTS)}
    n_samples = max((line["n_samples"] for line in lines), default=0)
    return {
        "n_problems": n_total,
        "n_done": len(lines),
        "n_failed": sum(line["error"] is not None for line in lines),
        "n_samples": n_samples,
        **_answers(lines),
        "alpha": alpha,
        "rejection_rate": rejections(lines, None),
        "rejection_rate_by_turn": {bucket: rejections(lines, bucket) for bucket in _buckets(lines)},
        "tokens": {name.removesuffix("_tokens"): usage[name] for name in _TOKENS},
        "tokens_per_problem": {name.removesuffix("_tokens"): _mean(usage[name], len(lines)) for name in _TOKENS},
        **{name: usage[name] for name in _COUNTS},
        "n_failed_samples": sum(line["n_failed_samples"] for line in lines),
        "latency_s": percentiles([line["latency_s"] for line in lines if line["latency_s"] is not None]),
        "wall_s": _wall_s(lines, starts),
        "groups": {name: _by_group(lines, name) for name in GROUPS if lines and all(name in line for line in lines)},
        "notes": _notes(usage["n_stopped"], n_samples),
    }


def rejections(lines: Sequence[Line], bucket: str | None) -> dict[str, Any] | None:
    """Share of scored segments that the target took over, in one turn bucket or in all; None where none was scored."""
    counts = np.zeros((len(lines), 2))
    for place, line in enumerate(lines):
        for name, row in line["decisions"].items():
            if bucket in (None, name):
                counts[place] += row
    n, taken = int(counts[:, 0].sum()), int(counts[:, 1].sum())
    if not n:
        return None
    low, high = rate_interval(counts[:, 1], counts[:, 0], seed=0)
    return {"value": taken / n, "low": low, "high": high, "n": n, "n_problems": int((counts[:, 0] > 0).sum())}


def _answers(lines: Sequence[Line]) -> dict[str, Any]:
    """Of the vote, of a sample, of the best of k samples."""
    n_correct = sum(line["correct"] for line in lines)
    low, high = wilson_interval(n_correct, len(lines))
    any_right = sum(line["any_right"] for line in lines)
    any_low, any_high = wilson_interval(any_right, len(lines))
    solved = [line for line in lines if line["error"] is None]
    most = min((line["n_finished"] for line in solved), default=0)
    return {
        "accuracy": {"value": _mean(n_correct, len(lines)), "low": low, "high": high, "n_correct": n_correct},
        "pass_at_k": {str(k): _pass_at(lines, k) for k in _powers(most)},
        "any_right": {"value": _mean(any_right, len(lines)), "low": any_low, "high": any_high, "n_right": any_right},
    }


def _pass_at(lines: Sequence[Line], k: int) -> dict[str, Any]:
    """Mean over problems of the chance that one of k samples is right; a problem that failed has none."""
    chances = np.asarray(
        [0.0 if line["error"] is not None else pass_at_k(line["n_finished"], line["n_right"], k) for line in lines]
    )
    low, high = rate_interval(chances, np.ones(len(lines)), seed=0)
    return {"value": float(chances.mean()), "low": low, "high": high}


def _by_group(lines: Sequence[Line], name: str) -> dict[str, dict[str, Any]]:
    found = {}
    for value in sorted({line[name] for line in lines}):
        mine = [line for line in lines if line[name] == value]
        said = _answers(mine)
        found[value] = {
            "n_problems": len(mine),
            "accuracy": said["accuracy"],
            "pass_at_1": said["pass_at_k"].get("1"),
            "rejection_rate": rejections(mine, None),
        }
    return found


def _buckets(lines: Sequence[Line]) -> list[str]:
    return sorted({bucket for line in lines for bucket in line["decisions"]})


def _powers(most: int) -> list[int]:
    """1, 2, 4 and so on, and `most` itself.

    Example:
        >>> _powers(12), _powers(0)
        ([1, 2, 4, 8, 12], [])
    """
    found = [2**power for power in range(most.bit_length())]
    return [*found, most] if most and most not in found else found


def _wall_s(lines: Sequence[Line], starts: Sequence[Line]) -> float | None:
    """Seconds of all starts, each until its last problem that counts."""
    if not starts:
        return None
    ends: dict[int, float] = {}
    for line in lines:
        ends[line["start"]] = max(ends.get(line["start"], 0.0), line["ended_at"])
    return float(sum(max(0.0, end - starts[start]["started_at"]) for start, end in ends.items()))


def _mean(total: float, n: int) -> float | None:
    return total / n if n else None


def _notes(n_stopped: int, n_samples: int) -> list[str]:
    notes = []
    if n_stopped:
        notes.append(
            f"{n_stopped} samples were stopped once the vote of their problem was settled: pass@k is over those that "
            "ended by themselves, which favours short chains, and any_right is a lower bound; "
            "--no-early-stop measures both in full"
        )
    if n_samples and n_samples != PUBLISHED_SAMPLES:
        notes.append(f"any_right is of {n_samples} samples; the published rule is any of {PUBLISHED_SAMPLES}")
    return notes
