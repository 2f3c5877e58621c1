"""What happened when: every call to an engine, every decision and every end of a sample."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from a1_trt.engine import CALL, Engine, Generation, Tokenizer
from a1_trt.errors import A1Error
from a1_trt.types import CallKind, Event, Role, SampleEnd, SampleFinished, SegmentScored

CallEnd = Literal["done", "cancelled", "failed"]


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One request to an engine. Times are seconds from the start of the run.

    Args:
        role: The engine.
        kind: What the call was for.
        problem: Index of its problem in the run.
        sample: Its sample.
        turn: Its turn, from 0.
        wanted_s: When the sample was ready for it: its previous call had ended, or its problem had arrived. What lies
            between this and `started_s` is waiting, at a barrier or for a slot.
        started_s: When the engine was asked.
        ended_s: When it answered, failed or was cancelled.
        n_prompt_tokens: Tokens before what was generated or scored.
        n_new_tokens: Tokens generated; 0 where the call was cut short.
        n_scored_tokens: Tokens scored.
        end: How it ended.
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
        """Seconds in the engine."""
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
    """A sample ended.

    Args:
        problem: Index of its problem.
        sample: Its number.
        latency_s: Seconds from its problem's arrival.
        end: Why.
    """

    problem: int
    sample: int
    latency_s: float
    end: SampleEnd


class Timeline:
    """Collects what happens in one run, in seconds of the running loop's clock since the timeline was made."""

    def __init__(self) -> None:
        self._clock = asyncio.get_running_loop().time
        self._origin_s = self._clock()
        self._arrived_s: dict[int, float] = {}
        self._ready_s: dict[tuple[int, int], float] = {}
        self.numbers: dict[int, int] = {}
        """Problem number of a call -> index of the problem in the run, where the two differ."""
        self.calls: list[CallRecord] = []
        self.decisions: list[Decision] = []
        self.samples: list[SampleTime] = []

    def restart(self) -> None:
        """Begin anew: what came before was preparation."""
        self._origin_s = self._clock()
        self._ready_s.clear()
        for kept in (self.calls, self.decisions, self.samples):
            kept.clear()

    @property
    def now_s(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._origin_s

    def arrive(self, problem: int) -> None:
        """A problem is there to be worked on."""
        self._arrived_s[problem] = self.now_s

    def since_arrival_s(self, problem: int) -> float:
        """How long ago a problem arrived."""
        return self.now_s - self._arrived_s[problem]

    def note(self, problem: int, event: Event) -> None:
        """Keep what an event says about time."""
        now_s = self.now_s
        if problem not in self._arrived_s:  # preparation
            return
        if isinstance(event, SegmentScored):
            said = (event.sample, event.turn, event.score, event.p_value, event.takeover)
            self.decisions.append(Decision(now_s, problem, *said))
        elif isinstance(event, SampleFinished):
            self.samples.append(SampleTime(problem, event.sample, now_s - self._arrived_s[problem], event.end))

    def book(self, role: Role, kind: CallKind, started_s: float, n_tokens: tuple[int, int, int], end: CallEnd) -> None:
        """Keep a call that has just ended; whose it is stands in `a1_trt.engine.CALL`."""
        ended_s, call = self.now_s, CALL.get()
        if call is None:  # nobody's work: warming up, measuring
            return
        problem = self.numbers.get(call.key.problem, call.key.problem)
        key = (problem, call.key.sample)
        wanted_s = min(self._ready_s.get(key, self._arrived_s.get(problem, started_s)), started_s)
        if end == "done":
            self._ready_s[key] = ended_s
        self.calls.append(
            CallRecord(role, kind, problem, call.key.sample, call.turn, wanted_s, started_s, ended_s, *n_tokens, end)
        )


class RecordedEngine(Engine):
    """An engine whose calls are written down; it does not close the engine inside, which others go on using.

    Args:
        inner: The engine.
        role: Its role.
        timeline: Where its calls are kept.
    """

    def __init__(self, inner: Engine, role: Role, timeline: Timeline) -> None:
        self.inner = inner
        self._role: Role = role
        self._timeline = timeline

    @property
    def tokenizer(self) -> Tokenizer:
        """The inner engine's tokenizer."""
        return self.inner.tokenizer

    @property
    def max_context_tokens(self) -> int:
        """Longest prompt plus generation."""
        return self.inner.max_context_tokens

    async def generate(self, prompt: Sequence[int], *, max_tokens: int, temperature: float, seed: int) -> Generation:
        """As the inner engine's, and written down."""
        kind: CallKind = "draft" if self._role == "draft" else "takeover"
        call = CALL.get()
        if call is not None:
            kind = call.kind
        started_s, n_new = self._timeline.now_s, 0
        end: CallEnd = "cancelled"
        try:
            generation = await self.inner.generate(prompt, max_tokens=max_tokens, temperature=temperature, seed=seed)
        except A1Error:
            end = "failed"
            raise
        else:
            n_new, end = len(generation.token_ids), "done"
            return generation
        finally:
            self._timeline.book(self._role, kind, started_s, (len(prompt), n_new, 0), end)

    async def score(self, prompt: Sequence[int], segment: Sequence[int]) -> list[float]:
        """As the inner engine's, and written down."""
        started_s = self._timeline.now_s
        end: CallEnd = "cancelled"
        try:
            values = await self.inner.score(prompt, segment)
        except A1Error:
            end = "failed"
            raise
        else:
            end = "done"
            return values
        finally:
            n_scored = len(segment) if end == "done" else 0
            self._timeline.book(self._role, "score", started_s, (len(prompt), 0, n_scored), end)

    async def aclose(self) -> None:
        """Nothing: the engine inside belongs to whoever made it."""


def recorded(engines: Mapping[Role, Engine], timeline: Timeline) -> dict[Role, Engine]:
    """Every engine, with its calls written down."""
    return {role: RecordedEngine(engine, role, timeline) for role, engine in engines.items()}
