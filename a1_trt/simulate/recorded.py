"""Calls that a real run recorded, and the same calls again in the simulator.

A recorded run is whatever JSON object has a list "calls", as the cells of `a1-trt bench compare` and the files of
`a1-trt simulate run --calls` do: objects with the fields of a call (`a1_trt.strategies`): role, kind, problem, sample,
turn, wanted_s, started_s, ended_s, n_prompt_tokens, n_new_tokens, n_scored_tokens and, where calls can be cut short,
end; or lists of these in the order of "call_fields". Strategy, slots and plan stand beside the calls or above them.

Replaying keeps what each call waited for: the call before it in its chain; under a barrier all calls of its problem's
earlier phases; and a problem for its turn, where the record never had more than so many at work, or for its arrival,
where they came by chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from a1_trt.errors import InvalidRequestError
from a1_trt.simulate.documents import read_document
from a1_trt.simulate.fleet import ROLES, EnginePlan, Fleet, FleetCall
from a1_trt.types import CallKind, Role

MAX_CALLS = 5_000_000
_PHASE = {"draft": 0, "score": 1, "takeover": 2}
_NUMBERS = ("problem", "sample", "turn", "n_prompt_tokens", "n_new_tokens", "n_scored_tokens")
_TIMES = ("wanted_s", "started_s", "ended_s")
_BESIDE = ("strategy", "slots", "plan", "call_fields")
_DEEPEST = 12


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """A call as it was; see `a1_trt.strategies` for the fields."""

    role: Role
    kind: CallKind
    problem: int
    sample: int
    turn: int
    wanted_s: float
    started_s: float
    ended_s: float
    n_prompt_tokens: int
    n_new_tokens: int
    n_scored_tokens: int

    @property
    def duration_s(self) -> float:
        """Seconds in the engine."""
        return self.ended_s - self.started_s


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """One run of one strategy.

    Args:
        strategy: Its name.
        repeat: Number of the run among those of its strategy, from 0.
        calls: Its calls, by start.
        slots: Most calls in flight by role, where that was written down.
        is_open: Problems came by chance, whoever was still at work.
    """

    strategy: str
    repeat: int
    calls: tuple[RecordedCall, ...]
    slots: Mapping[str, int] = field(default_factory=dict)
    is_open: bool = False

    @property
    def makespan_s(self) -> float:
        """From the first call that was wanted to the end of the last one."""
        return max(call.ended_s for call in self.calls) - min(call.wanted_s for call in self.calls)

    @property
    def concurrency(self) -> int:
        """Most problems at work at once."""
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
    most = now = 0
    for _, step in edges:
        now += step
        most = max(most, now)
    return max(1, most)


def read_runs(path: Path) -> list[RecordedRun]:
    """Every run in a file.

    Raises:
        InvalidRequestError: There is none, or a call is not as it should be.
    """
    runs: list[RecordedRun] = []
    for above, calls in _timelines(read_document(path, "run"), {}):
        recorded = _calls(calls, above.get("call_fields"))
        if recorded:
            strategy = str(above.get("strategy") or "run")
            repeat = sum(run.strategy == strategy for run in runs)
            runs.append(RecordedRun(strategy, repeat, recorded, _slots(above), _is_open(above)))
    if not runs:
        raise InvalidRequestError(
            f"{path} holds no calls", field="run", remedy="record a run with 'a1-trt bench compare ... --json FILE'"
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


def _calls(items: list[Any], names: Any) -> tuple[RecordedCall, ...]:
    good, cut = [], []
    for given in items:
        item = dict(zip(names, given, strict=False)) if isinstance(given, list) and isinstance(names, list) else given
        call = _call(item)
        if item.get("end", "done") == "done":
            good.append(call)
        elif call.duration_s > 0:
            cut.append(call)
    good += _completed(good, cut)
    return tuple(sorted(good, key=lambda call: (call.started_s, call.problem, call.sample, call.turn)))


def _completed(good: Sequence[RecordedCall], cut: Sequence[RecordedCall]) -> list[RecordedCall]:
    """Calls that were cut short, with what they had probably done: that is not in the record."""
    paces = {kind: _pace([call for call in good if call.kind == kind]) for kind in _PHASE}
    drafted = {(call.problem, call.sample, call.turn): call.n_new_tokens for call in good if call.kind == "draft"}
    found = []
    for call in cut:
        if call.kind == "score":
            n_scored = drafted.get((call.problem, call.sample, call.turn), 0)
            if n_scored:
                found.append(replace(call, n_scored_tokens=n_scored))
        elif paces[call.kind]:
            found.append(replace(call, n_new_tokens=max(1, round(call.duration_s / paces[call.kind]))))
    return found


def _pace(calls: Sequence[RecordedCall]) -> float:
    """Seconds of a generated token."""
    tokens = sum(call.n_new_tokens for call in calls)
    return sum(call.duration_s for call in calls) / tokens if tokens else 0.0


def _call(item: Any) -> RecordedCall:
    try:
        numbers = {name: _whole(item[name]) for name in _NUMBERS}
        times: dict[str, Any] = {name: _second(item[name]) for name in _TIMES}
        times["ended_s"] = max(times["ended_s"], times["started_s"])
        return RecordedCall(role=_one_of(item["role"], ROLES), kind=_one_of(item["kind"], _PHASE), **numbers, **times)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidRequestError(
            f"a recorded call is not as it should be ({type(error).__name__}: {error})",
            field="run",
            remedy="record the run again",
        ) from None


def _one_of(value: Any, known: Iterable[str]) -> Any:
    if value not in known:
        raise ValueError(f"{value!r} is none of {', '.join(known)}")
    return value


def _second(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no time")
    return float(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise ValueError(f"{value!r} is no count")
    return value


class Replay:
    """Carries out recorded calls on a fleet.

    Args:
        run: What was recorded.
        plans: The engines.
        coupling: "shared": the engines of both roles share one processor.
    """

    def __init__(
        self, run: RecordedRun, plans: Mapping[Role, EnginePlan], coupling: Literal["none", "shared"] = "none"
    ) -> None:
        self._fleet = Fleet(plans, coupling=coupling)
        self._run = run
        self._concurrency = run.concurrency
        self.durations_s: dict[int, float] = {}
        """Seconds in the engine of each recorded call, by its index."""
        self._chains: dict[tuple[int, ...], list[int]] = {}
        self._prompts: dict[tuple[Role, int], int] = {}
        order: dict[int, float] = {}
        for index, call in enumerate(run.calls):
            key: tuple[int, ...] = (call.problem,) if run.has_barrier else (call.problem, call.sample)
            self._chains.setdefault(key, []).append(index)
            prompt = self._prompts.get((call.role, call.problem), call.n_prompt_tokens)
            self._prompts[call.role, call.problem] = min(prompt, call.n_prompt_tokens)
            order[call.problem] = min(order.get(call.problem, call.wanted_s), call.wanted_s)
        self._waiting = sorted(order, key=lambda problem: (order[problem], problem))
        self._arrived_s = order
        self._left: dict[int, int] = {}
        self._keys: dict[int, list[tuple[int, ...]]] = {}
        for key in self._chains:
            self._keys.setdefault(key[0], []).append(key)
        self._steps: dict[tuple[int, ...], list[list[int]]] = {key: self._phases(key) for key in self._chains}

    def makespan_s(self) -> float:
        """Simulate; returns the end of the last call, seconds."""
        if self._run.is_open:
            for problem in self._waiting:
                self._fleet.at(self._arrived_s[problem], lambda problem=problem: self._open(problem))  # type: ignore[misc]
        else:
            self._admit()
        return self._fleet.run()

    def _phases(self, key: tuple[int, ...]) -> list[list[int]]:
        """What waits for what: each group is asked for when the one before it is over."""
        if not self._run.has_barrier:
            return [[index] for index in self._chains[key]]
        groups: dict[tuple[int, int], list[int]] = {}
        for index in self._chains[key]:
            call = self._run.calls[index]
            groups.setdefault((call.turn, _PHASE[call.kind]), []).append(index)
        return [groups[phase] for phase in sorted(groups)]

    def _admit(self) -> None:
        while self._waiting and len(self._left) < self._concurrency:
            self._open(self._waiting.pop(0))

    def _open(self, problem: int) -> None:
        self._left[problem] = len(self._keys[problem])
        for key in self._keys[problem]:
            self._next(key, 0)

    def _next(self, key: tuple[int, ...], step: int) -> None:
        steps = self._steps[key]
        if step == len(steps):
            self._left[key[0]] -= 1
            if not self._left[key[0]]:
                del self._left[key[0]]
                if not self._run.is_open:
                    self._admit()
            return
        remaining = [len(steps[step])]

        def over(index: int, call: FleetCall) -> None:
            self.durations_s[index] = call.ended_s - call.started_s
            remaining[0] -= 1
            if not remaining[0]:
                self._next(key, step + 1)

        for index in steps[step]:
            self._fleet.ask(self._fleet_call(index, over))

    def _fleet_call(self, index: int, over: Callable[[int, FleetCall], None]) -> FleetCall:
        said = self._run.calls[index]
        n_new = max(1, said.n_new_tokens) if said.kind != "score" else 0
        return FleetCall(
            said.role,
            said.kind,
            said.problem,
            said.sample,
            said.turn,
            max(1, self._prompts[said.role, said.problem]),
            max(1, said.n_prompt_tokens),
            n_new=n_new,
            steps=n_new,
            max_tokens=n_new,
            n_scored=max(1, said.n_scored_tokens) if said.kind == "score" else 0,
            on_end=lambda call: over(index, call),
        )
