"""The record of a block, which is one strategy on one part of the problems, and figures of several of them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from a1_trt.benchmarks.records import TIME_DIGITS, ProblemRecord, grade, record_of
from a1_trt.benchmarks.statistics import accuracy_difference, ratio_of_sums
from a1_trt.benchmarks.strategies import CallRecord, Run
from a1_trt.benchmarks.summary import summarise
from a1_trt.types import ROLES, Problem, Result, Role, SampleEnd

CALL_FIELDS = tuple(field.name for field in fields(CallRecord))
DECISION_FIELDS = ("time_s", "problem", "turn", "p_value", "takeover")


class EngineWork(BaseModel):
    """What an engine did; busy_s are seconds in which it had any call, slot_s those of all calls added up."""

    model_config = ConfigDict(frozen=True)

    calls: int
    cancelled_calls: int
    failed_calls: int
    new_tokens: int
    prompt_tokens: int
    scored_tokens: int
    busy_s: float
    slot_s: float
    waiting_s: float = 0.0


class BlockRecord(BaseModel):
    """One strategy on one block of problems; decisions are rows of `DECISION_FIELDS`, kept calls of `CALL_FIELDS`."""

    model_config = ConfigDict(frozen=True)

    strategy: str
    n_samples: int
    max_turns: int
    repeat: int
    block: int
    wall_s: float
    problems: tuple[ProblemRecord, ...]
    work: dict[Role, EngineWork]
    decisions: list[tuple[float, int, int, float | None, bool]]
    calls: list[list[Any]]
    rss_bytes: int | None = None
    kv_blocks: dict[str, int] = {}
    cpu_s: float | None = None
    energy_j: float | None = None
    gpus: list[dict[str, float]] = []

    @model_validator(mode="before")
    @classmethod
    def _from_older_files(cls, row: Any) -> Any:
        """Files of 0.2 count decisions by block only, and have another name for segments without a score."""
        if not isinstance(row, dict) or not all(_is_older(problem) for problem in row.get("problems") or [None]):
            return row
        counts: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
        for _, place, turn, _, takeover in row.get("decisions", ()):
            counts[place][turn][0] += 1
            counts[place][turn][1] += takeover
        problems = []
        for problem in row["problems"]:
            usage = {**problem["usage"], "n_unscored": problem["usage"].get("n_score_errors", 0)}
            problems.append({**problem, "usage": usage, "scored_by_turn": counts[problem["problem"]]})
        return {**row, "problems": problems}

    def named_calls(self) -> list[CallRecord]:
        return [CallRecord(**dict(zip(CALL_FIELDS, call, strict=True))) for call in self.calls]


def _is_older(problem: Any) -> bool:
    return isinstance(problem, dict) and problem.keys() >= {"problem", "usage"} and "scored_by_turn" not in problem


def block_fields(run: Run, problems: Sequence[Problem], places: Sequence[int], *, with_calls: bool) -> dict[str, Any]:
    """What a run says of its block, graded; `places` are those of its problems among all of the comparison."""
    ends: dict[int, list[tuple[float, SampleEnd]]] = defaultdict(list)
    for sample in run.samples:
        ends[sample.problem].append((sample.latency_s, sample.end))
    records = []
    for index, (problem, outcome) in enumerate(zip(problems, run.outcomes, strict=True)):
        right = grade(outcome) if isinstance(outcome, Result) else {}
        about: dict[str, Any] = {"latency_s": run.latencies_s[index], "ends": ends[index]}
        records.append(record_of(problem, outcome, right, place=places[index], **about))
    return {
        "wall_s": run.wall_s,
        "problems": tuple(records),
        "work": {role: work_of(run.calls, role) for role in ROLES},
        "decisions": [
            (round(d.time_s, TIME_DIGITS), places[d.problem], d.turn, round(d.p_value, TIME_DIGITS), d.takeover)
            for d in run.decisions
        ],
        "calls": [_call_row(call, places) for call in run.calls] if with_calls else [],
    }


def _call_row(call: CallRecord, places: Sequence[int]) -> list[Any]:
    row = {**asdict(call), "problem": places[call.problem]}
    return [round(row[name], TIME_DIGITS) if name.endswith("_s") else row[name] for name in CALL_FIELDS]


def union_s(spans: Iterable[tuple[float, float]]) -> float:
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def work_of(calls: Sequence[CallRecord], role: Role) -> EngineWork:
    calls = [call for call in calls if call.role == role]
    return EngineWork(
        calls=len(calls),
        cancelled_calls=sum(call.end == "cancelled" for call in calls),
        failed_calls=sum(call.end == "failed" for call in calls),
        new_tokens=sum(call.n_new_tokens for call in calls),
        prompt_tokens=sum(call.n_prompt_tokens for call in calls),
        scored_tokens=sum(call.n_scored_tokens for call in calls),
        busy_s=union_s((call.started_s, call.ended_s) for call in calls),
        slot_s=sum(call.duration_s for call in calls),
        waiting_s=sum(call.started_s - call.wanted_s for call in calls),
    )


def utilisation(work: Mapping[Role, EngineWork], slots: Mapping[str, int], wall_s: float) -> dict[str, float | None]:
    """How much of the time the engines were at work: shares of wall time with any call of a role, and of its slots.

    `lower_bound_s` is the largest slot_s / slots of a role: no order of these very calls ends sooner with these slots.
    """
    bounds = {role: work[role].slot_s / slots[role] for role in ROLES}
    seconds: dict[str, float] = {role: work[role].busy_s for role in ROLES}
    seconds |= {f"{role}_slots": bounds[role] for role in ROLES}
    seconds["of_lower_bound"] = max(bounds.values())
    shares = {name: value / wall_s if wall_s else None for name, value in seconds.items()}
    return {**shares, "lower_bound_s": max(bounds.values())}


def figures(blocks: Sequence[BlockRecord], slots: Mapping[str, int]) -> dict[str, Any]:
    summary = summarise([record for block in blocks for record in block.problems])
    usage, wall_s = summary.usage, sum(block.wall_s for block in blocks)
    work = {role: _sum_of_work([block.work[role] for block in blocks]) for role in ROLES}
    rejections = summary.rejections
    return {
        "n_problems": summary.n_records,
        "n_correct": summary.accuracy.n_hits,
        "accuracy": summary.accuracy.value,
        "accuracy_ci95": summary.accuracy.ci95,
        "pass_at_k": {str(k): {"value": rate.value, "ci95": rate.ci95} for k, rate in summary.pass_at_k.items()},
        "wall_s": wall_s,
        "problems_per_s": summary.n_records / wall_s if wall_s else None,
        "tokens_per_s": sum(engine.new_tokens for engine in work.values()) / wall_s if wall_s else None,
        "latency_s": dict(summary.latency_s),
        "sample_latency_s": dict(summary.sample_latency_s),
        "first_answer_s": dict(summary.first_answer_s),
        "tokens": {name: usage[f"{name}_tokens"] for name in ("draft", "target", "scored")},
        "calls": {name: usage[f"{name}_calls"] for name in ("draft", "score", "takeover")},
        "engines": {role: engine.model_dump(exclude={"waiting_s"}) for role, engine in work.items()},
        "n_scored": usage["n_scored"],
        "n_takeovers": usage["n_takeovers"],
        "rejection_rate": None if rejections is None else rejections.value,
        "rejection_rate_ci95": None if rejections is None else rejections.ci95,
        "rejection_rate_by_turn": [
            {"turn": turn, "n": rate.n, "rate": rate.value, "ci95": rate.ci95}
            for turn, rate in summary.rejections_by_turn.items()
        ],
        "utilisation": utilisation(work, slots, wall_s),
        "n_stopped": usage["n_stopped"],
        "n_failed": summary.n_failed,
        "rss_bytes": max((block.rss_bytes or 0 for block in blocks), default=0) or None,
        "kv_blocks": _largest([block.kv_blocks for block in blocks]),
        "cpu_s": _sum_where_known([block.cpu_s for block in blocks]),
        "energy_j": _sum_where_known([block.energy_j for block in blocks]),
    }


def against(one: Sequence[BlockRecord], other: Sequence[BlockRecord]) -> dict[str, Any] | None:
    """One strategy against another where both have run: the other's (processor) time over this one's; None before."""
    first, second = ({(block.repeat, block.block): block for block in side} for side in (one, other))
    keys = sorted(first.keys() & second.keys())
    if not keys:
        return None
    pairs = [(first[key], second[key]) for key in keys]
    speedup, interval = ratio_of_sums([b.wall_s for _, b in pairs], [a.wall_s for a, _ in pairs])
    repeats = [[pair for pair in pairs if pair[0].repeat == repeat] for repeat in sorted({key[0] for key in keys})]
    cpu_s = [_sum_where_known([block.cpu_s or None for block in side]) for side in zip(*pairs, strict=True)]
    difference, difference_ci95 = accuracy_difference(*map(_correct_by_problem, zip(*pairs, strict=True)))
    return {
        "speedup": speedup,
        "cpu_speedup": cpu_s[1] / cpu_s[0] if cpu_s[0] and cpu_s[1] else None,
        "speedup_ci95": interval,
        "speedup_by_repeat": [sum(b.wall_s for _, b in same) / sum(a.wall_s for a, _ in same) for same in repeats],
        "n_pairs": len(pairs),
        "accuracy_difference": difference,
        "accuracy_difference_ci95": difference_ci95,
    }


def _correct_by_problem(blocks: Iterable[BlockRecord]) -> list[list[bool]]:
    by_problem: dict[int, list[bool]] = defaultdict(list)
    for block in blocks:
        for record in block.problems:
            by_problem[record.problem].append(record.correct)
    return [by_problem[problem] for problem in sorted(by_problem)]


def _sum_of_work(parts: Sequence[EngineWork]) -> EngineWork:
    return EngineWork(**{name: sum(getattr(part, name) for part in parts) for name in EngineWork.model_fields})


def _sum_where_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _largest(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    return {role: max(count.get(role, 0) for count in counts) for role in ROLES if any(role in c for c in counts)}
