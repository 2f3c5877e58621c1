"""The scheduler itself; its theory of operation is in the package's docstring."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, count

from a1_trt.core.conformal import Category, Controller, Score
from a1_trt.core.scheduler import policy
from a1_trt.core.scheduler.scoring import Scoring
from a1_trt.core.scheduler.seeds import call_seed
from a1_trt.core.scheduler.speculative import Guesses
from a1_trt.core.scheduler.state import Sample, Work
from a1_trt.core.scheduler.states import Signal, State, advance
from a1_trt.core.scheduler.transitions import Books
from a1_trt.errors import A1Error, EngineOverloaded, ProtocolError
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
    SampleKey,
    Segment,
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
        max_unscored: Share of failed score calls above which problems fail; see `a1_trt.core.scheduler.Scoring`.

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
        self.waiting: dict[Role, deque[Call]] = {"draft": deque(), "target": deque()}
        self.in_flight: dict[int, Call] = {}
        self._n_in_flight: dict[Role, int] = {"draft": 0, "target": 0}
        self.scoring = Scoring(max_unscored)
        self._books = Books(controller, score, category, self._has_room, self.scoring)
        self._max_takeovers = max_takeovers
        self._max_samples = max_samples
        self._works: dict[int, Work] = {}
        self._cancel: list[int] = []
        self._guesses = Guesses()
        self._queues: list[tuple[Role, deque[Call]]] = [*self.waiting.items(), ("draft", self._guesses.waiting)]
        self._numbers = count()
        self._call_ids = count()

    @property
    def is_finished(self) -> bool:
        """Whether no problem is at work and no call in flight."""
        return not self._works and not self.in_flight

    def n_in_flight(self, role: Role) -> int:
        """Calls of a role that are in flight."""
        return self._n_in_flight[role]

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
        for role, queue in self._queues:
            for _ in range(min(len(queue), self.limits[role] - self._n_in_flight[role])):
                call = queue.popleft()
                self.in_flight[call.id] = call
                self._n_in_flight[role] += 1
                start.append(call)
        return Plan(tuple(start), self._cancelled() if self._cancel else ())

    def _cancelled(self) -> tuple[int, ...]:
        """The calls that nobody wants any more, of those that are in flight; told once."""
        cancel, self._cancel = dict.fromkeys(call_id for call_id in self._cancel if call_id in self.in_flight), []
        return tuple(cancel)

    def update(self, completion: Completion) -> list[tuple[int, Event]]:
        """Book a completion.

        Returns:
            What happened, each with its problem's number.

        Raises:
            ProtocolError: The call is not in flight; nothing has changed.
        """
        call = completion.call
        known = self.in_flight.get(call.id)
        if known is not call and known != call:
            raise ProtocolError(f"call {call.id} is not in flight")
        self._check_outcome(completion)
        del self.in_flight[call.id]
        self._n_in_flight[call.role] -= 1
        number, index = call.key.problem, call.key.sample
        work = self._works.get(number)
        if self._guesses.came_back(completion):
            return []
        if self._guesses.was_dropped(call):
            _count_guess(work, completion)
            return []
        if work is None:
            return []
        work.busy.discard(call.id)
        sample = work.samples[index]
        events: list[Event] = []
        if sample.end is None:
            (signal, end) = self._books.book(work, sample, completion, events)
            events += self._follow(number, work, index, signal, end)
            if work.error is not None:
                events += self._stop(number, work, SampleEnd.FAILED)
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
        if not isinstance(completion.outcome, (wanted, A1Error)):
            found = type(completion.outcome).__name__
            raise ProtocolError(f"a {completion.call.kind} call was completed with a {found}")

    def _has_room(self) -> bool:
        """Whether fewer takeovers than allowed wait or are in flight."""
        if self._max_takeovers is None:
            return True
        held = (call for work in self._works.values() for call in work.held)
        calls = chain(self.in_flight.values(), self.waiting["target"], held)
        return sum(call.kind == "takeover" for call in calls) < self._max_takeovers

    def _follow(self, number: int, work: Work, index: int, signal: Signal, end: SampleEnd | None) -> list[Event]:
        """Move a sample on and ask for its next call; a finished one may settle the vote."""
        sample = work.samples[index]
        sample.state = advance(sample.state, signal)
        if signal is Signal.NEXT_TURN:
            sample.close_turn()
            return self._go_on(number, work, index)
        if signal is Signal.WRITTEN:
            self._ask(number, work, index)
            if policy.looks_ahead(sample.segments, sample.turn, work.parameters):
                self._guesses.add(self._call(number, work, index, "draft", sample.turn + 1))
            return []
        self._give_up_guess(work, SampleKey(number, index))
        if signal is not Signal.FINISH:
            self._ask(number, work, index)
            return []
        events: list[Event] = [work.finish(index, end or SampleEnd.FAILED)]
        if work.parameters.early_stop and work.is_settled():
            events += self._stop(number, work, SampleEnd.STOPPED)
        return events

    def _go_on(self, number: int, work: Work, index: int) -> list[Event]:
        """Begin a sample's next turn, with what was drafted ahead if anything was."""
        guess = self._guesses.take(SampleKey(number, index))
        if guess is None:
            self._ask(number, work, index)
            return []
        if isinstance(guess, Call):
            work.busy.add(guess.id)
            if self._guesses.unqueue(guess):
                self.waiting["draft"].append(guess)
            return []
        events: list[Event] = []
        signal, end = self._books.book(work, work.samples[index], guess, events)
        return events + self._follow(number, work, index, signal, end)

    def _give_up_guess(self, work: Work, key: SampleKey) -> None:
        guess = self._guesses.drop(key)
        if isinstance(guess, Completion):
            _count_guess(work, guess)
        elif guess is not None:
            self._cancel.append(guess.id)

    def _stop(self, number: int, work: Work, end: SampleEnd) -> list[Event]:
        """End all open samples of a problem and give up their calls."""
        opened = [index for index, sample in enumerate(work.samples) if sample.end is None]
        if end is SampleEnd.STOPPED:
            work.counts["n_stopped"] += len(opened)
        work.held.clear()
        for index in opened:
            self._give_up_guess(work, SampleKey(number, index))
            work.samples[index].error = work.error
        for queue in self.waiting.values():
            kept = [call for call in queue if call.key.problem != number]
            if len(kept) < len(queue):
                queue.clear()
                queue.extend(kept)
        self._cancel += [call.id for call in self.in_flight.values() if call.key.problem == number]
        return [work.finish(index, end) for index in opened]

    def _close(self, number: int, work: Work) -> list[Event]:
        if work.n_open:
            return []
        del self._works[number]
        return [ProblemFinished(work.result())]

    def _ask(self, number: int, work: Work, index: int) -> None:
        """Queue the call that a sample's state calls for; under a barrier it is held until `_release` lets it go."""
        sample = work.samples[index]
        call = self._call(number, work, index, _KIND[sample.state], sample.turn)
        if work.parameters.admission == "barrier":
            work.held.append(call)
        else:
            self._queue(work, call)

    def _call(self, number: int, work: Work, index: int, kind: CallKind, turn: int) -> Call:
        parameters = work.parameters
        return Call(
            id=next(self._call_ids),
            kind=kind,
            key=SampleKey(number, index),
            turn=turn,
            problem=work.problem.text,
            segments=work.samples[index].segments,
            max_tokens=policy.max_new_tokens(kind, parameters),
            temperature=parameters.temperature,
            seed=call_seed(parameters.seed, work.problem.id, index, turn, kind),
        )

    def _queue(self, work: Work, call: Call) -> None:
        work.busy.add(call.id)
        self.waiting[call.role].append(call)

    def _release(self, work: Work) -> None:
        for call in policy.released(work.held, len(work.busy)):
            work.held.remove(call)
            self._queue(work, call)


def _count_guess(work: Work | None, completion: Completion) -> None:
    """Book the tokens of a guess that nobody wants."""
    if work is not None and isinstance(completion.outcome, Segment):
        work.counts["draft_calls"] += 1
        work.counts["draft_tokens"] += completion.outcome.n_tokens
        work.counts["discarded_tokens"] += completion.outcome.n_tokens
