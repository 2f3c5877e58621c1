"""The summary of an evaluation from its lines. Intervals are 95 %, with problems as the independent units."""

from collections.abc import Mapping, Sequence
from typing import Any

from a1_trt.benchmarks.records import GROUPS, ProblemRecord, validated
from a1_trt.benchmarks.summary import Rate, Summary, rejections
from a1_trt.benchmarks.summary import summarise as summarise_records
from a1_trt.core.conformal import category_of
from a1_trt.errors import ConfigError

Line = Mapping[str, Any]
PUBLISHED_SAMPLES = 16  # samples of the published rule, by which a problem is right when any of them is
_TOKENS = ("draft", "target", "scored", "discarded")


def summarise(lines: Sequence[Line], *, n_total: int, alpha: float, starts: Sequence[Line] = ()) -> dict[str, Any]:
    """Everything that is reported of an evaluation, ready for JSON; the figures are explained in docs/evaluation.md.

    A line is a `ProblemRecord` with `start` and `ended_at`; `n_total` and `alpha` are what was asked for; the starts,
    oldest first, are for the wall time.
    """
    rows = [{**line, "problem": place} for place, line in enumerate(lines)]
    records = validated(ProblemRecord, rows, _damaged)
    summary = summarise_records(records)
    n_samples = max((record.n_samples for record in records), default=0)
    tokens = {name: summary.usage[f"{name}_tokens"] for name in _TOKENS}
    return {
        "n_problems": n_total,
        "n_done": summary.n_records,
        "n_failed": summary.n_failed,
        "n_samples": n_samples,
        "accuracy": {**_ends(summary.accuracy), "n_correct": summary.accuracy.n_hits},
        "pass_at_k": {str(k): _ends(rate) for k, rate in summary.pass_at_k.items()},
        "any_right": {**_ends(summary.any_right), "n_right": summary.any_right.n_hits},
        "alpha": alpha,
        "rejection_rate": _rejections(summary.rejections),
        "rejection_rate_by_turn": _by_bucket(records, sorted(summary.rejections_by_turn)),
        "tokens": tokens,
        "tokens_per_problem": {name: total / len(records) if records else None for name, total in tokens.items()},
        **{name: count for name, count in summary.usage.items() if name.startswith("n_")},
        "n_failed_samples": summary.n_failed_samples,
        "latency_s": dict(summary.latency_s),
        "wall_s": _wall_s(lines, starts),
        "groups": {name: groups for name in GROUPS if (groups := _by_group(records, name))},
        "notes": _notes(summary, n_samples),
    }


def _ends(rate: Rate) -> dict[str, Any]:
    return {"value": rate.value, "low": rate.low, "high": rate.high}


def _rejections(rate: Rate | None) -> dict[str, Any] | None:
    return None if rate is None else {**_ends(rate), "n": rate.n, "n_problems": rate.n_problems}


def _by_bucket(records: Sequence[ProblemRecord], turns: Sequence[int]) -> dict[str, dict[str, Any] | None]:
    """Rejections in turns 1, 2, 3, 4-6 and 7+."""
    buckets: dict[str, list[int]] = {}
    for turn in turns:
        buckets.setdefault(category_of("turn", turn, ""), []).append(turn)
    return {name: _rejections(rejections(records, bucket)) for name, bucket in buckets.items()}


def _by_group(records: Sequence[ProblemRecord], name: str) -> dict[str, dict[str, Any]]:
    """Figures by a group that every problem has; none where one has it not."""
    values = [getattr(record, name) for record in records]
    groups = {}
    for value in sorted(set(values)) if None not in values else ():
        summary = summarise_records([record for record in records if getattr(record, name) == value])
        groups[value] = {
            "n_problems": summary.n_records,
            "accuracy": {**_ends(summary.accuracy), "n_correct": summary.accuracy.n_hits},
            "pass_at_1": _ends(summary.pass_at_k[1]),
            "rejection_rate": _rejections(summary.rejections),
        }
    return groups


def _wall_s(lines: Sequence[Line], starts: Sequence[Line]) -> float | None:
    """Seconds of all starts, each until its last problem that counts."""
    if not starts:
        return None
    ends: dict[int, float] = {}
    for line in lines:
        ends[line["start"]] = max(ends.get(line["start"], 0.0), line["ended_at"])
    return float(sum(max(0.0, end - starts[start]["started_at"]) for start, end in ends.items()))


def _notes(summary: Summary, n_samples: int) -> list[str]:
    notes = []
    if summary.usage["n_stopped"]:
        notes.append(
            f"{summary.usage['n_stopped']} samples were stopped once the vote of their problem was settled: pass@k is "
            "over those that ended by themselves, which favours short chains, and any_right is a lower bound; "
            "--no-early-stop measures both in full"
        )
    if n_samples and n_samples != PUBLISHED_SAMPLES:
        notes.append(f"any_right is of {n_samples} samples; the published rule is any of {PUBLISHED_SAMPLES}")
    return notes


def _damaged(what: str) -> ConfigError:
    message = f"problems.jsonl is damaged: {what}"
    return ConfigError(message, path="problems.jsonl", field="output", remedy="name another folder")
