"""What happened when: every call to an engine, every decision and every end of a sample."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from a1_trt.runtime.driver import CallEnd, EngineRequest
from a1_trt.types import CallKind, Event, Role, SampleEnd, SampleFinished, SegmentScored


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One request to an engine. Times are seconds from the start of the run.

    Args:
        problem: Index of its problem in the run.
        turn: From 0.
        wanted_s: When the sample was ready for it: its previous call had ended, or its problem had arrived. What lies
            between this and `started_s` is waiting, at a barrier or for a slot.
        ended_s: When the engine answered, failed or was cancelled.
        n_prompt_tokens: Tokens before what was generated or scored.
        n_new_tokens: Tokens generated; 0 where the call was cut short.
    """

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
    end: CallEnd = "done"

    @property
    def duration_s(self) -> float:
        return self.ended_s - self.started_s


@dataclass(frozen=True, slots=True)
class Decision:
    """A segment was scored, and it was decided who goes on."""

    time_s: float
    problem: int
    sample: int
    turn: int
    score: float
    p_value: float
    takeover: bool


@dataclass(frozen=True, slots=True)
class SampleTime:
    """A sample ended, `latency_s` seconds from its problem's arrival."""

    problem: int
    sample: int
    latency_s: float
    end: SampleEnd


class Timeline:
    """Collects what happens in one run, in seconds of the running loop's clock since `start`.

    Calls and events name a problem by its index in the run; in a session that is its number, since problems are given
    to it in their order.
    """

    def __init__(self) -> None:
        self._clock = asyncio.get_running_loop().time
        self._origin_s = self._clock()
        self._arrived_s: dict[int, float] = {}
        self._ready_s: dict[tuple[int, int], float] = {}
        self.calls: list[CallRecord] = []
        self.decisions: list[Decision] = []
        self.samples: list[SampleTime] = []

    def start(self) -> None:
        """The run begins now; what came before was preparation."""
        self._origin_s = self._clock()

    @property
    def now_s(self) -> float:
        return self._clock() - self._origin_s

    def arrive(self, problem: int) -> None:
        self._arrived_s[problem] = self.now_s

    def since_arrival_s(self, problem: int) -> float:
        return self.now_s - self._arrived_s[problem]

    def add_event(self, problem: int, event: Event) -> None:
        now_s = self.now_s
        if isinstance(event, SegmentScored):
            scored = event.sample, event.turn, event.score, event.p_value, event.takeover
            self.decisions.append(Decision(now_s, problem, *scored))
        elif isinstance(event, SampleFinished):
            self.samples.append(SampleTime(problem, event.sample, now_s - self._arrived_s[problem], event.end))

    def add_request(self, request: EngineRequest) -> None:
        call = request.call
        key = (call.key.problem, call.key.sample)
        started_s, ended_s = request.started_s - self._origin_s, request.ended_s - self._origin_s
        ready_s = self._ready_s.get(key, self._arrived_s[call.key.problem])
        if request.end == "done":
            self._ready_s[key] = ended_s
        times_s = min(ready_s, started_s), started_s, ended_s
        n_tokens = request.n_prompt_tokens, request.n_new_tokens, request.n_scored_tokens
        self.calls.append(CallRecord(call.role, call.kind, *key, call.turn, *times_s, *n_tokens, request.end))
