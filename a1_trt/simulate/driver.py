"""Drives the real scheduler in virtual time: what `runtime.driver` does with engines, from the heap of a fleet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from a1_trt.core.conformal import Candidate, Decision
from a1_trt.core.scheduler import Scheduler
from a1_trt.errors import A1Error, Cancelled, ContextLengthError
from a1_trt.simulate.engine_model.chain_cache import Chain
from a1_trt.simulate.fleet import Fleet
from a1_trt.simulate.fleet_call import FleetCall
from a1_trt.simulate.text import calm_tokens, count_tokens, filler, script_problem
from a1_trt.simulate.workload import Script, Workload
from a1_trt.types import Call, Completion, Event, Logprobs, Parameters, Segment


def script_score(logprobs: Sequence[float], earlier: Sequence[float] = ()) -> float:
    """The score that a script has given to all tokens of a segment; it is not computed, so that no rank is rounded."""
    return -logprobs[0]


class Replayed:
    """A controller for recorded decisions: a score of 1 is a takeover, 0 is none. It learns nothing."""

    def __len__(self) -> int:
        return 0

    def sizes(self) -> dict[str, int]:
        return {}

    def decide(self, candidate: Candidate) -> Decision:
        takeover = candidate.score > 0
        return Decision(0.0 if takeover else 1.0, 0.5, takeover)

    def update(self, candidate: Candidate, decision: Decision) -> None:
        pass


class SimulatedDriver:
    """Carries out a scheduler's calls on a fleet, as the scripts of a workload have it.

    The scheduler's score is `script_score`; with `replays` scores are recorded decisions, for `Replayed`. `on_event` is
    told of every event with its problem's index in the workload, in order.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        fleet: Fleet,
        workload: Workload,
        parameters: Parameters,
        on_event: Callable[[int, Event], None],
        *,
        replays: bool = False,
    ) -> None:
        self._scheduler = scheduler
        self._fleet = fleet
        self._workload = workload
        self._parameters = parameters
        self._on_event = on_event
        self._replays = replays
        self._problems: list[int] = []  # index in the workload of each problem of the scheduler
        self._calls: dict[int, FleetCall] = {}

    def add(self, problem: int) -> None:
        self._problems.append(problem)
        parameters = replace(self._parameters, n_samples=len(self._workload.scripts[problem]))
        self._scheduler.add(script_problem(problem, self._workload.prompts[problem]), parameters)
        self._pump()

    def _pump(self) -> None:
        plan = self._scheduler.schedule()
        for call_id in plan.cancel:
            if call_id in self._calls:
                self._fleet.cancel(self._calls[call_id])
        for call in plan.start:
            self._start(call)

    def _start(self, call: Call) -> None:
        problem, sample = self._problems[call.key.problem], call.key.sample
        n_prompt = self._workload.prompts[problem]
        n_chain = n_prompt + sum(count_tokens(segment.text) for segment in call.segments)
        n_scored = count_tokens(call.segments[-1].text) if call.kind == "score" else 0
        room = self._fleet.max_context_tokens(call.role) - n_chain
        if room < (call.kind != "score"):
            error = ContextLengthError(f"the chain has {n_chain} tokens", role=call.role)
            self._fleet.at(self._fleet.now_s, partial(self._complete, call, error, self._fleet.now_s))
            return
        fleet_call = FleetCall(call.role, call.kind, problem, sample, call.turn, n_prompt, n_chain - n_scored)
        outcome: Segment | Logprobs
        script = self._workload.scripts[problem][sample]
        if call.kind == "score":
            fleet_call.n_scored = n_scored
            outcome = self._logprobs(call, script, n_scored)
        else:
            fleet_call.max_tokens = min(call.max_tokens, room)
            outcome = self._segment(call, script, fleet_call)
        if call.kind == "takeover":
            # What the draft wrote behind this, if anything, was rejected: no KV cache holds what comes instead.
            self._fleet.trim(Chain(problem, sample, n_prompt, n_chain))
        fleet_call.on_end = partial(self._ended, call, outcome)
        self._calls[call.id] = fleet_call
        self._fleet.ask(fleet_call)

    def _segment(self, call: Call, script: Script, fleet_call: FleetCall) -> Segment:
        limit = fleet_call.max_tokens
        if self._parameters.strategy != "a1":
            n_new, ends = script.alone(limit)
            n_new = max(1, round(n_new / self._workload.tokens_per_iteration))
        else:
            write = script.draft if call.kind == "draft" else script.target
            n_new, ends = write(call.turn, fleet_call.n_before - fleet_call.n_prompt, limit)
        n_new = min(n_new, limit)
        by_itself = ends and n_new < limit  # then its end-of-text token took an iteration, too
        fleet_call.n_new, fleet_call.steps = n_new, max(1, n_new + by_itself)
        answer = self._workload.answer(fleet_call.problem, fleet_call.sample) if ends else None
        # Where a recorded chain breaks off without an answer, it just ends.
        ended = by_itself or call.turn == script.last_turn
        return Segment(call.role, filler(n_new, answer), n_new, (), ended)

    def _logprobs(self, call: Call, script: Script, n_scored: int) -> Logprobs:
        problem, sample = self._problems[call.key.problem], call.key.sample
        score = float(bool(script.takeover(call.turn))) if self._replays else script.score(call.turn)
        calm = ""
        if self._parameters.takeover_from == "first_surprise":
            calm = filler(calm_tokens(problem, sample, call.turn, n_scored))
        return Logprobs((-score,) * n_scored, calm)

    def _ended(self, call: Call, outcome: Segment | Logprobs, fleet_call: FleetCall) -> None:
        del self._calls[call.id]
        cancelled = fleet_call.end == "cancelled"
        unwanted = Cancelled("nobody wants this call's result any more")
        self._complete(call, unwanted if cancelled else outcome, fleet_call.started_s)

    def _complete(self, call: Call, outcome: Segment | Logprobs | A1Error, started_s: float) -> None:
        for number, event in self._scheduler.update(Completion(call, outcome, started_s, self._fleet.now_s)):
            self._on_event(self._problems[number], event)
        self._pump()
