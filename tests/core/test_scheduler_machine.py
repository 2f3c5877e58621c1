"""The scheduler under any order of completions, failures, cancellations and arrivals."""

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from a1_trt.core.conformal import Rank, make_controller, perplexity
from a1_trt.core.reasoning.answers import boxed
from a1_trt.core.scheduler import Scheduler
from a1_trt.errors import Cancelled, ContextLengthError, EngineError, EngineTimeout, ScoringUnavailable
from a1_trt.types import (
    Completion,
    Logprobs,
    Parameters,
    Problem,
    ProblemFinished,
    SampleEnd,
    SampleFinished,
    SampleKey,
    Segment,
    SegmentScored,
)

ERRORS = [EngineError("failed"), EngineTimeout("late"), ContextLengthError("full")]
TEXTS = ["a", "b ", "", r"\boxed{1}", r"\boxed{2}", r"\boxed{"]


class SchedulerMachine(RuleBasedStateMachine):
    @initialize(
        limits=st.fixed_dictionaries({"draft": st.integers(1, 4), "target": st.integers(1, 3)}),
        cap=st.none() | st.integers(1, 3),
        ranks=st.booleans(),
    )
    def start(self, limits, cap, ranks):
        self.limits = limits
        self.cap = cap
        self.ranks = ranks
        controller = Rank() if ranks else make_controller("growing")
        self.scheduler = Scheduler(controller, perplexity, self.limits, max_takeovers=cap)
        self.takeovers = set()
        self.flying = {}
        self.parameters = {}
        self.ended = {}
        self.results = {}

    @rule(
        n_samples=st.integers(1, 6),
        max_turns=st.integers(1, 4),
        max_chain_tokens=st.sampled_from([0, 0, 1, 3, 12]),
        admission=st.sampled_from(["async", "barrier"]),
        strategy=st.sampled_from(["a1", "a1", "a1", "target_only", "draft_only"]),
        early_stop=st.booleans(),
        score_answers=st.booleans(),
        optimistic=st.booleans(),
        on_score_error=st.sampled_from(["takeover", "fail"]),
        exact_budget=st.booleans(),
    )
    def add(self, **parameters):
        chosen = Parameters(**parameters)
        number = self.scheduler.add(Problem("Q", id=str(len(self.parameters))), chosen)
        self.parameters[number] = chosen
        self.ended[number] = set()

    @rule()
    def schedule(self):
        plan = self.scheduler.schedule()
        for call in plan.start:
            assert call.id not in self.flying
            assert call.kind == "score" or call.max_tokens >= 1
            self.flying[call.id] = call
        for call_id in plan.cancel:
            self.complete_with(self.flying[call_id], Cancelled("unwanted"))
        if plan.cancel:
            self.schedule()  # a cancellation has just made room

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), error=st.none() | st.sampled_from(ERRORS), text=st.sampled_from(TEXTS), ended=st.booleans())
    def complete(self, data, error, text, ended):
        call = self.flying[data.draw(st.sampled_from(sorted(self.flying)))]
        if error is not None:
            self.complete_with(call, error)
        elif call.kind == "score":
            self.complete_with(call, Logprobs(tuple(-0.1 * (ord(letter) % 7) for letter in call.segments[-1].text)))
        else:
            self.complete_with(call, Segment(call.role, text, min(len(text), call.max_tokens), ended=ended))

    @precondition(lambda self: self.parameters)
    @rule(data=st.data())
    def cancel(self, data):
        number = data.draw(st.sampled_from(sorted(self.parameters)))
        self.book(self.scheduler.cancel(number))

    def complete_with(self, call, outcome):
        del self.flying[call.id]
        if call.kind == "takeover":
            self.takeovers.discard(call.key)
        self.book(self.scheduler.update(Completion(call, outcome)))

    def book(self, events):
        self.check_barriers(events)
        for number, event in events:
            assert number not in self.results, "nothing follows a result"
            if isinstance(event, SampleFinished):
                assert event.sample not in self.ended[number], "a sample ends once"
                self.ended[number].add(event.sample)
            if isinstance(event, SegmentScored) and event.takeover:
                self.takeovers.add(SampleKey(number, event.sample))
            if isinstance(event, ProblemFinished):
                self.takeovers = {key for key in self.takeovers if key.problem != number}
                self.results[number] = event.result
                self.check(number, event.result)

    def check_barriers(self, events):
        """Under a barrier the scores of a phase are judged together, in sample order, when nobody is under way."""
        scored = {}
        for number, event in events:
            if isinstance(event, SegmentScored) and self.parameters[number].admission == "barrier":
                scored.setdefault(number, []).append(event)
        for number, phase in scored.items():
            assert not any(call.key.problem == number for call in self.flying.values())
            assert len({event.turn for event in phase}) == 1
            assert [event.sample for event in phase] == sorted({event.sample for event in phase})
            if self.ranks:
                worst = sorted(phase, key=lambda event: (-event.score, event.sample))
                budget = round(self.parameters[number].alpha * len(phase))
                taken = {event.sample for event in phase if event.takeover or event.forced == "cap"}
                assert taken == {event.sample for event in worst[:budget]}

    def check(self, number, result):
        parameters = self.parameters[number]
        assert [each.sample for each in result.trajectories] == list(range(parameters.n_samples))
        assert self.ended[number] == set(range(parameters.n_samples))
        for each in result.trajectories:
            assert len(each.turns) <= parameters.max_turns
            assert (each.end is SampleEnd.ANSWERED) == (each.answer is not None)
            assert (each.end is SampleEnd.FAILED) == (each.error is not None)
            decided = [turn for turn in each.turns if turn.score and not turn.forced and not parameters.exact_budget]
            assert self.ranks or all(turn.takeover == (turn.p_value <= parameters.alpha) for turn in decided)
            assert self.cap or parameters.exact_budget or not any(turn.forced for turn in each.turns)
            self.check_scores(parameters, result, each)
        unscored = sum(turn.unscored is not None for each in result.trajectories for turn in each.turns)
        assert result.usage.n_unscored == unscored
        failed = all(each.end is SampleEnd.FAILED for each in result.trajectories)
        assert (result.error is not None) == failed or isinstance(result.error, ScoringUnavailable)
        if parameters.exact_budget and not self.ranks:
            self.check_budget(parameters, result)
        assert sum(n for _, n in result.votes) == sum(each.answer is not None for each in result.trajectories)
        if not parameters.early_stop:
            assert result.usage.n_stopped == 0

    def check_scores(self, parameters, result, chain):
        """No draft segment stands without a score, but an answer that nobody wants verified, or one cut off."""
        for place, turn in enumerate(chain.turns):
            drafted = any(segment.role == "draft" for segment in turn.segments)
            if not drafted or turn.score is not None or parameters.strategy != "a1":
                continue
            assert turn is chain.turns[-1]
            text = "".join(segment.text for turn in chain.turns[: place + 1] for segment in turn.segments)
            cut_off = chain.end in (SampleEnd.STOPPED, SampleEnd.CANCELLED) or result.error is not None
            assert cut_off or (boxed(text) is not None and not parameters.score_answers)

    def check_budget(self, parameters, result):
        """B of m in a turn that all samples lived to see, at most B in others or under a cap."""
        budget = round(parameters.alpha * parameters.n_samples)
        for number in range(parameters.max_turns):
            turns = [each.turns[number] for each in result.trajectories if len(each.turns) > number]
            scored = [turn for turn in turns if turn.score is not None]
            n_takeovers = sum(turn.takeover for turn in scored)
            assert n_takeovers <= budget
            if len(scored) == parameters.n_samples and not self.cap:
                assert n_takeovers == budget

    @invariant()
    def takeovers_are_counted(self):
        if hasattr(self, "scheduler"):
            held = [call for state in self.scheduler._problems.values() for call in state.held]
            calls = [*held, *self.scheduler.waiting["target"].values(), *self.scheduler.in_flight.values()]
            assert self.scheduler._n_takeovers == sum(call.kind == "takeover" for call in calls)

    @invariant()
    def limits_hold(self):
        if not hasattr(self, "scheduler"):
            return
        assert self.cap is None or len(self.takeovers) <= self.cap
        for role, limit in self.limits.items():
            assert sum(call.role == role for call in self.flying.values()) <= limit
            assert self.scheduler.n_in_flight(role) == sum(call.role == role for call in self.flying.values())
        at_work = [call for call in self.scheduler.in_flight.values() if call.key.problem not in self.results]
        for key in {call.key for call in at_work}:
            calls = sorted((call for call in at_work if call.key == key), key=lambda call: call.id)
            parameters = self.parameters[key.problem]
            if not parameters.optimistic or parameters.admission == "barrier":
                assert len(calls) == 1, "such a sample has one call at a time"
            # A draft ahead that was given up stays in flight until its cancellation comes back.
            wanted = [call for call in calls if call.id not in self.scheduler._cancel]
            assert len(wanted) <= 2
            if len(wanted) == 2:
                assert wanted[0].kind == "score"
                assert (wanted[1].kind, wanted[1].turn) == ("draft", wanted[0].turn + 1)

    def teardown(self):
        """Whatever has happened, everything ends once calls are answered."""
        if not hasattr(self, "scheduler"):
            return
        for _ in range(10_000):
            self.schedule()
            if not self.flying:
                break
            call = self.flying[min(self.flying)]
            text = "x" if call.turn < 2 else r"\boxed{9}"
            outcome = Logprobs((-1.0,)) if call.kind == "score" else Segment(call.role, text, 1)
            self.complete_with(call, outcome)
        assert not any((self.scheduler.in_flight, *self.scheduler.waiting.values(), self.scheduler._ahead))
        assert (self.scheduler._n_samples, self.scheduler._n_takeovers) == (0, 0)
        assert set(self.results) == set(self.parameters)


SchedulerMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestScheduler = SchedulerMachine.TestCase
