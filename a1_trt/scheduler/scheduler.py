"""The scheduler itself; its theory of operation is in the package's docstring."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count

from a1_trt.conformal import Category, Controller, Decision, Score, mean_nll
from a1_trt.errors import A1Error, EngineOverloaded, ProtocolError, ScoreShapeError
from a1_trt.reasoning.votes import is_settled
from a1_trt.scheduler import policy
from a1_trt.scheduler.problems import Sample, Work
from a1_trt.scheduler.seeds import call_seed
from a1_trt.scheduler.states import Signal, State, advance
from a1_trt.types import (
    Call,
    CallKind,
    Completion,
    Event,
    Logprobs,
    Parameters,
    Problem,
    ProblemFinished,
    Role,
    SampleEnd,
    SampleFinished,
    SampleKey,
    Segment,
    SegmentScored,
    SegmentWritten,
)

_KIND: dict[State, CallKind] = {State.DRAFT: "draft", State.SCORE: "score", State.TAKEOVER: "takeover"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done now.

    Args:
        start: Calls to start, in order.
        cancel: Ids of calls in flight whose result nobody wants any more.
    """

    start: tuple[Call, ...]
    cancel: tuple[int, ...]


class Scheduler:
    """Decides which calls to make; see the package's docstring.

    Args:
        controller: Decides which segments are taken over; shared by all problems.
        score: Nonconformity score of a segment's log-probs.
        limits: Most calls in flight per role.
        category: Which past scores a new one is ranked among: "none", "turn" or "problem".
        max_takeovers: Most takeovers that wait or are in flight at once (they hold KV cache in the target); a segment
            beyond is accepted, and counted as forced.
        max_samples: Most samples at work at once.

    Example:
        >>> from a1_trt.conformal import make_controller, perplexity
        >>> scheduler = Scheduler(make_controller(), perplexity, {"draft": 2, "target": 1})
        >>> number = scheduler.add(Problem("What is 1 + 1?"), Parameters(n_samples=3))
        >>> [call.kind for call in scheduler.schedule().start]  # two slots for three samples
        ['draft', 'draft']
    """

    def __init__(
        self,
        controller: Controller,
        score: Score,
        limits: Mapping[Role, int],
        *,
        category: Category = "turn",
        max_takeovers: int | None = None,
        max_samples: int = 100_000,
    ) -> None:
        self.controller = controller
        self.limits = dict(limits)
        self.waiting: dict[Role, deque[Call]] = {"draft": deque(), "target": deque()}
        self.in_flight: dict[int, Call] = {}
        self._score = score
        self._category = category
        self._max_takeovers = max_takeovers
        self._max_samples = max_samples
        self._works: dict[int, Work] = {}
        self._cancel: list[int] = []
        self._numbers = count()
        self._call_ids = count()

    @property
    def is_finished(self) -> bool:
        """Whether no problem is at work and no call in flight."""
        return not self._works and not self.in_flight

    def n_in_flight(self, role: Role) -> int:
        """Calls of a role that are in flight."""
        return sum(call.role == role for call in self.in_flight.values())

    def add(self, problem: Problem, parameters: Parameters) -> int:
        """Put a problem to work and return its number.

        Raises:
            EngineOverloaded: Too many samples are at work already.
        """
        at_work = sum(len(work.samples) for work in self._works.values())
        if at_work + parameters.n_samples > self._max_samples:
            raise EngineOverloaded(f"{at_work} samples are at work already", remedy="try again later")
        number = next(self._numbers)
        start = policy.opening(parameters.strategy)
        work = Work(problem, parameters, [Sample(start) for _ in range(parameters.n_samples)])
        self._works[number] = work
        for index in range(parameters.n_samples):
            self._ask(number, work, index)
        self._release(work)
        return number

    def schedule(self) -> Plan:
        """Start waiting calls, first come, first served, as far as the limits of calls in flight allow."""
        start: list[Call] = []
        for role, queue in self.waiting.items():
            for _ in range(min(len(queue), self.limits[role] - self.n_in_flight(role))):
                call = queue.popleft()
                self.in_flight[call.id] = call
                start.append(call)
        cancel, self._cancel = [call_id for call_id in self._cancel if call_id in self.in_flight], []
        return Plan(tuple(start), tuple(cancel))

    def update(self, completion: Completion) -> list[tuple[int, Event]]:
        """Book a completion.

        Returns:
            What happened, each with its problem's number.

        Raises:
            ProtocolError: The call is not in flight; nothing has changed.
        """
        call = completion.call
        if self.in_flight.get(call.id) != call:
            raise ProtocolError(f"call {call.id} is not in flight")
        self._check_outcome(completion)
        del self.in_flight[call.id]
        number, index = call.key.problem, call.key.sample
        work = self._works.get(number)
        if work is None:
            return []
        work.busy.discard(call.id)
        sample = work.samples[index]
        events: list[Event] = []
        if sample.end is None:
            (signal, end) = self._book(work, sample, completion, events)
            events += self._follow(number, work, index, signal, end)
        self._release(work)
        events += self._close(number, work)
        return [(number, event) for event in events]

    def cancel(self, number: int) -> list[tuple[int, Event]]:
        """Stop all work on a problem; unknown numbers, as of a finished problem, are ignored."""
        work = self._works.get(number)
        if work is None:
            return []
        events = self._stop(number, work, SampleEnd.CANCELLED)
        return [(number, event) for event in [*events, *self._close(number, work)]]

    @staticmethod
    def _check_outcome(completion: Completion) -> None:
        wanted = Logprobs if completion.call.kind == "score" else Segment
        if not isinstance(completion.outcome, wanted | A1Error):
            found = type(completion.outcome).__name__
            raise ProtocolError(f"a {completion.call.kind} call was completed with a {found}")

    def _book(self, work: Work, sample: Sample, completion: Completion, events: list[Event]) -> policy.Verdict:
        """Take in what came back and decide what follows."""
        call, outcome = completion.call, completion.outcome
        work.counts[f"{call.kind}_calls"] += 1
        if isinstance(outcome, Segment):
            return self._book_segment(work, sample, call, outcome, events)
        if isinstance(outcome, Logprobs):
            return self._book_score(work, sample, call, outcome, events)
        sample.error = outcome
        verdict = policy.after_error(call, outcome, work.parameters)
        if call.kind == "score":
            work.counts["n_score_errors"] += 1
        return verdict

    @staticmethod
    def _book_segment(work: Work, sample: Sample, call: Call, segment: Segment, events: list[Event]) -> policy.Verdict:
        sample.segments = (*call.segments, segment)
        work.counts[f"{segment.role}_tokens"] += segment.n_tokens
        events.append(SegmentWritten(call.key.sample, call.turn, segment))
        if call.kind == "takeover":
            return policy.after_turn(sample.text, segment, call.turn, work.parameters)
        verdict = policy.after_draft(sample.text, segment, work.parameters)
        if not segment.text and verdict != (Signal.FINISH, SampleEnd.ANSWERED):
            work.counts["n_score_errors"] += 1
            sample.error = ScoreShapeError("the draft wrote an empty segment, which has no score", role="draft")
        return verdict

    def _book_score(
        self, work: Work, sample: Sample, call: Call, logprobs: Logprobs, events: list[Event]
    ) -> policy.Verdict:
        try:
            score = self._score(logprobs.values, sample.losses)
            sample.losses.append(mean_nll(logprobs.values))
        except ScoreShapeError as error:
            sample.error = error
            work.counts["n_score_errors"] += 1
            return policy.unscored(work.parameters)
        decision = self._judge(work, call, score)
        sample.score, sample.p_value = score, decision.p_value
        sample.takeover, sample.forced = decision.takeover, decision.forced
        work.counts["n_scored"] += 1
        work.counts["scored_tokens"] += len(logprobs.values)
        work.counts["n_takeovers"] += decision.takeover
        work.counts["n_forced"] += decision.forced is not None
        events.append(
            SegmentScored(call.key.sample, call.turn, score, decision.p_value, decision.takeover, decision.forced)
        )
        if not sample.takeover:
            return policy.after_turn(sample.text, call.segments[-1], call.turn, work.parameters)
        sample.segments = policy.rewound(sample.segments, logprobs, work.parameters)
        return Signal.REJECTED, None

    def _judge(self, work: Work, call: Call, score: float) -> Decision:
        """Ask the controller, unless there is no room for a takeover, and tell it what was decided."""
        candidate = policy.candidate(work.problem, call.key.sample, call.turn, score, self._category, work.parameters)
        decision = self.controller.decide(candidate)
        if decision.takeover and self._max_takeovers is not None and self._n_takeovers() >= self._max_takeovers:
            decision = replace(decision, takeover=False, forced="cap")
        self.controller.update(candidate, decision)
        return decision

    def _n_takeovers(self) -> int:
        """Takeovers that wait or are in flight."""
        calls = (*self.in_flight.values(), *self.waiting["target"])
        return sum(call.kind == "takeover" for call in calls)

    def _follow(self, number: int, work: Work, index: int, signal: Signal, end: SampleEnd | None) -> list[Event]:
        """Move a sample on and ask for its next call; a finished one may settle the vote."""
        sample = work.samples[index]
        sample.state = advance(sample.state, signal)
        if signal is not Signal.FINISH:
            if signal is Signal.NEXT_TURN:
                sample.close_turn()
            self._ask(number, work, index)
            return []
        events = [self._end(sample, index, end or SampleEnd.FAILED)]
        if work.parameters.early_stop and is_settled(work.votes(), work.n_open):
            events += self._stop(number, work, SampleEnd.STOPPED)
        return events

    @staticmethod
    def _end(sample: Sample, index: int, end: SampleEnd) -> Event:
        sample.state, sample.end = State.FINISHED, end
        sample.close_turn()
        if end is not SampleEnd.FAILED:
            sample.error = None
        return SampleFinished(index, end, sample.answer)

    def _stop(self, number: int, work: Work, end: SampleEnd) -> list[Event]:
        """End all open samples of a problem and give up their calls."""
        opened = [(index, sample) for index, sample in enumerate(work.samples) if sample.end is None]
        if end is SampleEnd.STOPPED:
            work.counts["n_stopped"] += len(opened)
        work.held.clear()
        for queue in self.waiting.values():
            kept = [call for call in queue if call.key.problem != number]
            if len(kept) < len(queue):
                queue.clear()
                queue.extend(kept)
        self._cancel += [call.id for call in self.in_flight.values() if call.key.problem == number]
        return [self._end(sample, index, end) for index, sample in opened]

    def _close(self, number: int, work: Work) -> list[Event]:
        if work.n_open:
            return []
        del self._works[number]
        return [ProblemFinished(work.result())]

    def _ask(self, number: int, work: Work, index: int) -> None:
        """Hold the call that a sample's state calls for; `_release` lets it into the queue."""
        sample, parameters = work.samples[index], work.parameters
        kind = _KIND[sample.state]
        call = Call(
            id=next(self._call_ids),
            kind=kind,
            key=SampleKey(number, index),
            turn=sample.turn,
            problem=work.problem.text,
            segments=sample.segments,
            max_tokens=policy.max_new_tokens(kind, parameters),
            temperature=parameters.temperature,
            seed=call_seed(parameters.seed, work.problem.id, index, sample.turn, kind),
        )
        work.held.append(call)

    def _release(self, work: Work) -> None:
        for call in policy.released(work.held, len(work.busy), work.parameters):
            work.held.remove(call)
            work.busy.add(call.id)
            self.waiting[call.role].append(call)
