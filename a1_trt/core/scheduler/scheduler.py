"""The scheduler itself; its theory of operation is in the package's docstring."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count

from a1_trt.core.conformal import Category, Controller, Score, ordinal_rank
from a1_trt.core.scheduler import policy, transitions
from a1_trt.core.scheduler.scoring import Scoring
from a1_trt.core.scheduler.state import DraftAhead, ProblemState, Sample
from a1_trt.core.scheduler.states import Signal, State, advance
from a1_trt.errors import A1Error, EngineOverloaded, ProtocolError
from a1_trt.types import (
    ROLES,
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
    Segment,
)

_KIND: dict[State, CallKind] = {State.DRAFT: "draft", State.SCORE: "score", State.TAKEOVER: "takeover"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done now: calls to start, in order, and ids of calls in flight that nobody wants any more."""

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
        max_unscored: Share of failed score calls above which problems fail; see `Scoring`.

    Example:
        >>> from a1_trt.core.conformal import make_controller, perplexity
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
        max_unscored: float = 0.05,
    ) -> None:
        self.controller = controller
        self.limits = dict(limits)
        self.waiting: dict[Role, OrderedDict[int, Call]] = {role: OrderedDict() for role in ROLES}
        self.in_flight: dict[int, Call] = {}
        self.scoring = Scoring(max_unscored)
        self._score = score
        self._category: Category = category
        self._max_takeovers = max_takeovers
        self._max_samples = max_samples
        # Drafts ahead that no slot was free for yet; they start only where no other draft call waits.
        self._ahead: OrderedDict[int, Call] = OrderedDict()
        self._queues = [*self.waiting.items(), ("draft", self._ahead)]
        self._n_in_flight = Counter[Role]()
        self._n_takeovers = 0  # takeover calls that are held, wait or are in flight
        self._n_samples = 0
        self._problems: dict[int, ProblemState] = {}
        self._cancel: list[int] = []
        self._numbers = count()
        self._call_ids = count()

    def n_in_flight(self, role: Role) -> int:
        return self._n_in_flight[role]

    def add(self, problem: Problem, parameters: Parameters) -> int:
        """Put a problem to work and return its number: 0, 1, and so on.

        Raises:
            EngineOverloaded: Too many samples are at work already.
        """
        if self._n_samples + parameters.n_samples > self._max_samples:
            raise EngineOverloaded(f"{self._n_samples} samples are at work already", remedy="try again later")
        start = policy.opening(parameters.strategy)
        samples = [Sample(start) for _ in range(parameters.n_samples)]
        state = ProblemState(next(self._numbers), problem, parameters, samples)
        self._problems[state.number] = state
        self._n_samples += parameters.n_samples
        for index in range(parameters.n_samples):
            self._ask(state, index)
        self._release(state)
        return state.number

    def schedule(self) -> Plan:
        """Start waiting calls, first come, first served, as far as the limits of calls in flight allow."""
        start: list[Call] = []
        for role, queue in self._queues:
            for _ in range(min(len(queue), self.limits[role] - self._n_in_flight[role])):
                call_id, call = queue.popitem(last=False)
                self.in_flight[call_id] = call
                self._n_in_flight[role] += 1
                start.append(call)
        # What has come back meanwhile cannot be cancelled any more.
        cancel = tuple(dict.fromkeys(call_id for call_id in self._cancel if call_id in self.in_flight))
        self._cancel.clear()
        return Plan(tuple(start), cancel)

    def update(self, completion: Completion) -> list[tuple[int, Event]]:
        """Apply a completion and return what happened, each with its problem's number.

        Raises:
            ProtocolError: The call is not in flight; nothing has changed.
        """
        call = completion.call
        self._land(completion)
        state = self._problems.get(call.key.problem)
        if state is None:
            return []
        if state.busy.pop(call.id, None) is None:
            state.keep_ahead(completion)
            return []
        self._book(state, completion)
        if state.error is not None:
            self._stop(state, SampleEnd.FAILED)
        if not (state.has_barrier and state.busy):
            self._end_phase(state)
        return state.take_events()

    def cancel(self, number: int) -> list[tuple[int, Event]]:
        """Stop all work on a problem; unknown numbers, as of a finished problem, are ignored."""
        state = self._problems.get(number)
        if state is None:
            return []
        self._stop(state, SampleEnd.CANCELLED)
        self._close(state)
        return state.take_events()

    def _land(self, completion: Completion) -> None:
        call, outcome = completion.call, completion.outcome
        started = self.in_flight.get(call.id)
        if started is not call and started != call:
            raise ProtocolError(f"call {call.id} is not in flight")
        if not isinstance(outcome, (Logprobs if call.kind == "score" else Segment, A1Error)):
            raise ProtocolError(f"a {call.kind} call was completed with a {type(outcome).__name__}")
        del self.in_flight[call.id]
        self._n_in_flight[call.role] -= 1
        self._n_takeovers -= call.kind == "takeover"

    def _book(self, state: ProblemState, completion: Completion) -> None:
        verdict = transitions.book(state, completion, self._score, self.scoring)
        if verdict is not None:
            self._follow(state, completion.call.key.sample, verdict)

    def _end_phase(self, state: ProblemState) -> None:
        """Judge what was scored, stop a settled problem, let the next calls go; without a barrier, after each call."""
        if state.scored:
            self._judge(state)
        may_settle = state.has_barrier or any(isinstance(event, SampleFinished) for event in state.events)
        if state.parameters.early_stop and may_settle and state.n_open and state.is_settled():
            self._stop(state, SampleEnd.STOPPED)
        if state.has_barrier:
            self._release(state)
        self._close(state)

    def _judge(self, state: ProblemState) -> None:
        """Decide on the scored segments: one, or under a barrier all of the phase together, in sample order."""
        indices = sorted(state.scored)
        ranks = ordinal_rank([state.scored[index][0] for index in indices]) if len(indices) > 1 else (1,)
        for index, rank in zip(indices, ranks, strict=True):
            candidate = transitions.candidate(state, index, self._category, (rank, len(indices)))
            decision = self.controller.decide(candidate)
            if decision.takeover and self._max_takeovers is not None and self._n_takeovers >= self._max_takeovers:
                decision = replace(decision, takeover=False, forced="cap")
            self.controller.update(candidate, decision)
            self._follow(state, index, transitions.decide(state, index, decision))

    def _follow(self, state: ProblemState, index: int, verdict: policy.Verdict) -> None:
        """Move a sample on and ask for its next call."""
        signal, end = verdict
        sample = state.samples[index]
        sample.state = advance(sample.state, signal)
        if signal is Signal.NEXT_TURN:
            sample.close_turn()
            self._next_turn(state, index)
        elif signal is Signal.WRITTEN:
            self._ask(state, index)
            if policy.looks_ahead(sample.segments, sample.turn, state.parameters):
                call = transitions.make_call(state, index, next(self._call_ids), "draft", sample.turn + 1)
                sample.ahead, self._ahead[call.id] = DraftAhead(call), call
        else:
            self._drop_ahead(state, sample)
            if signal is Signal.FINISH:
                state.finish(index, end or SampleEnd.FAILED)
            else:
                self._ask(state, index)

    def _next_turn(self, state: ProblemState, index: int) -> None:
        """Begin a sample's next turn, with what was drafted ahead if anything was."""
        sample = state.samples[index]
        ahead, sample.ahead = sample.ahead, None
        if ahead is None:
            self._ask(state, index)
        elif ahead.completion is not None:
            self._book(state, ahead.completion)
        elif self._ahead.pop(ahead.call.id, None) is not None:
            self._queue(state, ahead.call)
        else:
            state.busy[ahead.call.id] = ahead.call

    def _drop_ahead(self, state: ProblemState, sample: Sample) -> None:
        """Cancel the draft ahead of a sample that does not go on with it."""
        ahead, sample.ahead = sample.ahead, None
        if ahead is None:
            return
        if ahead.completion is not None:
            state.discard(ahead.completion)
        elif self._ahead.pop(ahead.call.id, None) is None:
            self._cancel.append(ahead.call.id)

    def _stop(self, state: ProblemState, end: SampleEnd) -> None:
        """End all open samples of a problem and give up their calls."""
        still_open = [index for index, sample in enumerate(state.samples) if sample.end is None]
        if end is SampleEnd.STOPPED:
            state.counts["n_stopped"] += len(still_open)
        dropped = [*state.held]
        for call in state.busy.values():
            if call.id in self.in_flight:
                self._cancel.append(call.id)
            else:
                dropped.append(self.waiting[call.role].pop(call.id))
        self._n_takeovers -= sum(call.kind == "takeover" for call in dropped)
        for waiting in (state.held, state.busy, state.scored):
            waiting.clear()
        for index in still_open:
            self._drop_ahead(state, state.samples[index])
            state.samples[index].error = state.error
            state.finish(index, end)

    def _close(self, state: ProblemState) -> None:
        if not state.n_open:
            del self._problems[state.number]
            self._n_samples -= len(state.samples)
            state.events.append(ProblemFinished(state.result()))

    def _ask(self, state: ProblemState, index: int) -> None:
        """Queue the call that a sample's state calls for; under a barrier it is held until `_release` lets it go."""
        sample = state.samples[index]
        call = transitions.make_call(state, index, next(self._call_ids), _KIND[sample.state], sample.turn)
        self._n_takeovers += call.kind == "takeover"
        if state.has_barrier:
            state.held.append(call)
        else:
            self._queue(state, call)

    def _queue(self, state: ProblemState, call: Call) -> None:
        state.busy[call.id] = call
        self.waiting[call.role][call.id] = call

    def _release(self, state: ProblemState) -> None:
        going, state.held = policy.released(state.held)
        for call in going:
            self._queue(state, call)
