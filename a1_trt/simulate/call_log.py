"""Calls that a real run recorded.

A recorded run is whatever JSON object has a list "calls", as the cells of `a1-trt bench compare` and the files of
`a1-trt simulate run --calls` do: objects with the fields of a call: role, kind, problem, sample,
turn, wanted_s, started_s, ended_s, n_prompt_tokens, n_new_tokens, n_scored_tokens and, where calls can be cut short,
end; or lists of these in the order of "call_fields". Strategy, slots and plan stand beside the calls or above them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from a1_trt.benchmarks.strategies import STRATEGIES, CallRecord
from a1_trt.errors import InvalidRequestError
from a1_trt.files import first_mistake, read_document
from a1_trt.types import ROLES, CallKind, Role

MAX_CALLS = 5_000_000
_BESIDE = ("strategy", "slots", "plan", "call_fields")
_DEEPEST = 12
_Count = Annotated[int, Field(ge=0, lt=2**31)]


class _Call(BaseModel):
    """A call as it is recorded; what else stands beside these fields is not looked at."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    role: Role
    kind: CallKind
    problem: _Count
    sample: _Count
    turn: _Count
    wanted_s: float
    started_s: float
    ended_s: float
    n_prompt_tokens: _Count
    n_new_tokens: _Count
    n_scored_tokens: _Count
    end: str = "done"

    def record(self) -> CallRecord:
        values = self.model_dump(exclude={"end"})
        return CallRecord(**{**values, "ended_s": max(self.ended_s, self.started_s)})


_CALLS = TypeAdapter(list[_Call])


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """One run of one strategy, by start of its calls."""

    strategy: str
    repeat: int  # number of the run among those of its strategy, from 0
    calls: tuple[CallRecord, ...]
    slots: Mapping[str, int] = field(default_factory=dict)  # most calls in flight by role, where that was written down
    is_open: bool = False  # problems came by chance, whoever was still at work

    @property
    def makespan_s(self) -> float:
        """From the first call that was wanted to the end of the last one."""
        return max(call.ended_s for call in self.calls) - min(call.wanted_s for call in self.calls)

    @property
    def concurrency(self) -> int:
        """Most problems at work at once; those that came early wait where a strategy takes one at a time."""
        if self.strategy in STRATEGIES and STRATEGIES[self.strategy].one_at_a_time:
            return 1
        spans: dict[int, list[float]] = {}
        for call in self.calls:
            span = spans.setdefault(call.problem, [call.wanted_s, call.ended_s])
            span[0], span[1] = min(span[0], call.wanted_s), max(span[1], call.ended_s)
        return most_at_once([(start, end) for start, end in spans.values()])

    def in_flight(self, role: Role) -> int:
        """Most calls of a role that may be in flight; those that ever were, where that was not written down."""
        if role in self.slots and self.strategy != "published":
            return self.slots[role]
        return most_at_once([(call.started_s, call.ended_s) for call in self.calls if call.role == role])

    def crowds(self) -> list[int]:
        """For each call, how many of either role were in flight when it started."""
        starts, ends = (sorted(times) for times in zip(*((c.started_s, c.ended_s) for c in self.calls), strict=True))
        return [bisect_right(starts, call.started_s) - bisect_right(ends, call.started_s) for call in self.calls]

    @property
    def has_barrier(self) -> bool:
        """Whether the samples of a problem wait for each other."""
        return self.strategy.startswith("sync") or "barrier" in self.strategy


def most_at_once(spans: Sequence[tuple[float, float]]) -> int:
    """Most spans that overlap; one that starts when another ends does not overlap it.

    Example:
        >>> most_at_once([(0.0, 2.0), (1.0, 3.0), (2.0, 4.0)])
        2
    """
    edges = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    return max([1, *accumulate(step for _, step in edges)])


def read_runs(path: Path) -> list[RecordedRun]:
    """Every run in a file; InvalidRequestError where there is none, or a call is not as it should be."""
    runs: list[RecordedRun] = []
    for above, calls in _timelines(read_document(path, "run"), {}):
        recorded = _calls(path, calls, above.get("call_fields"))
        if recorded:
            strategy = str(above.get("strategy") or "run")
            repeat = sum(run.strategy == strategy for run in runs)
            runs.append(RecordedRun(strategy, repeat, recorded, _slots(above), _is_open(above)))
    if not runs:
        raise InvalidRequestError(
            f"{path} holds no calls", field="run", remedy="record a run with 'a1-trt bench compare ... --output FILE'"
        )
    if sum(len(run.calls) for run in runs) > MAX_CALLS:
        raise InvalidRequestError(f"{path} holds more than {MAX_CALLS} calls", field="run", remedy="record less")
    return runs


def _timelines(
    document: Any, above: Mapping[str, Any], depth: int = 0
) -> Iterator[tuple[Mapping[str, Any], list[Any]]]:
    """Lists of calls, with everything that stands beside them and above."""
    if depth > _DEEPEST or not isinstance(document, list | dict):
        return
    if isinstance(document, list):
        for item in document:
            yield from _timelines(item, above, depth + 1)
        return
    known = {**above, **{key: value for key, value in document.items() if key in _BESIDE}}
    calls = document.get("calls")
    if isinstance(calls, list) and calls:
        yield known, calls
    for key, value in document.items():
        if key != "calls":
            yield from _timelines(value, known, depth + 1)


def _slots(above: Mapping[str, Any]) -> dict[str, int]:
    slots = above.get("slots")
    if not isinstance(slots, dict):
        return {}
    return {role: slots[role] for role in ROLES if isinstance(slots.get(role), int) and slots[role] > 0}


def _is_open(above: Mapping[str, Any]) -> bool:
    plan = above.get("plan")
    return isinstance(plan, dict) and plan.get("rate_per_s") is not None


def _calls(path: Path, items: list[Any], names: Any) -> tuple[CallRecord, ...]:
    if isinstance(names, list):
        names = [str(name) for name in names]
        items = [dict(zip(names, item, strict=False)) if isinstance(item, list) else item for item in items]
    try:
        calls = _CALLS.validate_python(items)
    except ValidationError as error:
        message = f"a recorded call of {path} is not valid: {first_mistake(error)}"
        raise InvalidRequestError(message, field="run", remedy="record the run again") from None
    records = [(call.record(), call.end == "done") for call in calls]
    good = [record for record, is_done in records if is_done]
    good += _completed(good, [record for record, is_done in records if not is_done and record.duration_s > 0])
    return tuple(sorted(good, key=lambda call: (call.started_s, call.problem, call.sample, call.turn)))


def _completed(good: Sequence[CallRecord], cut: Sequence[CallRecord]) -> list[CallRecord]:
    """Calls that were cut short, with what they had probably done: that is not in the record."""
    paces = {kind: _pace([call for call in good if call.kind == kind]) for kind in get_args(CallKind)}
    drafted = {(call.problem, call.sample, call.turn): call.n_new_tokens for call in good if call.kind == "draft"}
    completed = []
    for call in cut:
        if call.kind == "score":
            n_scored = drafted.get((call.problem, call.sample, call.turn), 0)
            if n_scored:
                completed.append(replace(call, n_scored_tokens=n_scored))
        elif paces[call.kind]:
            completed.append(replace(call, n_new_tokens=max(1, round(call.duration_s / paces[call.kind]))))
    return completed


def _pace(calls: Sequence[CallRecord]) -> float:
    """Seconds of a generated token."""
    tokens = sum(call.n_new_tokens for call in calls)
    return sum(call.duration_s for call in calls) / tokens if tokens else 0.0
