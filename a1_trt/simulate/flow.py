"""What the samples of a simulated workload do next, under each strategy; the rules of `core.scheduler` on lengths.

========================= ============ ============================================== ==========================
strategy                  problems     a problem's samples                            the target takes over
========================= ============ ============================================== ==========================
a1                        all at once  each on its own                                conformal p-value <= alpha
a1-barrier                all at once  wait for each other before every phase         conformal p-value <= alpha
published                 one by one   each on its own                                score among a fixed set
sync-threshold            one by one   likewise, and are judged in their order        conformal p-value <= alpha
sync-rank                 one by one   likewise                                       the worst alpha of the turn
target-only, draft-only   all at once  one call each                                  -
========================= ============ ============================================== ==========================

"All at once" and "one by one" are defaults; `concurrency` says how many problems are at work. A recorded workload
replays its decisions, unless a controller is asked to decide anew; sync-rank always ranks, that is what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from a1_trt.core.conformal import Category, Controller, make_controller
from a1_trt.core.scheduler import policy
from a1_trt.simulate.engine_model.chain_cache import Chain
from a1_trt.simulate.fleet import Fleet, FleetCall
from a1_trt.simulate.samples import ProblemAtWork, Sample, Tally
from a1_trt.simulate.text import script_problem
from a1_trt.simulate.workload import Workload
from a1_trt.types import Parameters

Decisions = Literal["recorded", "controller"]
LOCKSTEP = ("sync-rank", "sync-threshold")
BARRIERS = (*LOCKSTEP, "a1-barrier")
ALONE = ("target-only", "draft-only")
STRATEGIES = ("a1", "published", *BARRIERS, *ALONE)
_PHASE = {"draft": 0, "score": 1, "takeover": 2}


class Flow:
    """Moves every sample of a workload through a fleet.

    Args:
        fleet: The engines.
        workload: The samples.
        parameters: Turns, lengths, alpha, seed.
        strategy: One of `STRATEGIES`.
        concurrency: Problems at work at once; as the strategy has it when None.
        arrivals: When each problem comes, seconds; all at 0 when None.
        decisions: Replay recorded decisions where there are any, or decide anew.
        category: Which past scores a new one is ranked among.
        controller: Decides where no decision is replayed; the package's own when None.
        on_sample: Told of every sample that is over.
    """

    def __init__(
        self,
        fleet: Fleet,
        workload: Workload,
        parameters: Parameters,
        strategy: str,
        *,
        concurrency: int | None = None,
        arrivals: Sequence[float] | None = None,
        decisions: Decisions = "recorded",
        category: Category = "turn",
        controller: Controller | None = None,
        on_sample: Callable[[], object] | None = None,
    ) -> None:
        self.tally = Tally()
        self._fleet = fleet
        self._workload = workload
        self._parameters = parameters
        self._strategy = strategy
        self._concurrency = concurrency or (1 if strategy in (*LOCKSTEP, "published") else len(workload.scripts))
        self._arrivals = arrivals or [0.0] * len(workload.scripts)
        self._replays = decisions == "recorded"
        self._category = category
        self._controller = make_controller() if controller is None else controller
        self._on_sample = on_sample
        self._problems: dict[int, ProblemAtWork] = {}
        self._arrived: list[int] = []

    def run(self) -> float:
        """Everything, from the first arrival to the last sample; returns the makespan, seconds."""
        order = sorted(range(len(self._arrivals)), key=lambda problem: self._arrivals[problem])
        for problem in order:
            self._fleet.at(self._arrivals[problem], lambda problem=problem: self._arrive(problem))  # type: ignore[misc]
        return self._fleet.run()

    def _arrive(self, problem: int) -> None:
        self._arrived.append(problem)
        self._admit()

    def _admit(self) -> None:
        while self._arrived and len(self._problems) < self._concurrency:
            number = self._arrived.pop(0)
            scripts = self._workload.scripts[number]
            self._problems[number] = ProblemAtWork(
                script_problem(number, self._workload.prompts[number]), len(scripts), self._fleet.now_s
            )
            samples = [Sample(number, index, script) for index, script in enumerate(scripts)]
            for sample in samples:
                self._ask(sample, self._opening(sample))
            self._release(number)

    def _opening(self, sample: Sample) -> FleetCall | None:
        if self._strategy not in ALONE:
            return self._draft(sample)
        said = self._parameters
        role = "target" if self._strategy == "target-only" else "draft"
        limit = (said.target_tokens if role == "target" else said.draft_tokens) * said.max_turns
        n_new, ends = sample.script.alone(limit)
        return self._generate(sample, "takeover" if role == "target" else "draft", n_new, ends, limit, self._finish)

    def _draft(self, sample: Sample) -> FleetCall | None:
        limit = self._parameters.draft_tokens
        n_new, sample.draft_ends = sample.script.draft(sample.turn, sample.n_tokens, limit)
        return self._generate(sample, "draft", n_new, sample.draft_ends, limit, self._draft_ended)

    def _takeover(self, sample: Sample) -> FleetCall | None:
        limit = self._parameters.target_tokens
        n_new, ends = sample.script.target(sample.turn, sample.n_tokens, limit)
        ended = self._finish if ends else self._turn_ended
        return self._generate(sample, "takeover", n_new, ends, limit, ended)

    def _generate(
        self,
        sample: Sample,
        kind: Literal["draft", "takeover"],
        n_new: int,
        ends: bool,
        limit: int,
        then: Callable[[Sample], None],
    ) -> FleetCall | None:
        """The call, or None where the context is full."""
        role: Literal["draft", "target"] = "draft" if kind == "draft" else "target"
        n_before = self._workload.prompts[sample.problem] + sample.n_tokens
        room = self._fleet.max_context_tokens(role) - n_before
        if room < 1:
            return None
        limit = min(limit, room)
        n_new = min(n_new, limit)
        steps = max(1, n_new + (ends and n_new < limit))
        call = FleetCall(
            role,
            kind,
            sample.problem,
            sample.index,
            sample.turn,
            self._workload.prompts[sample.problem],
            n_before,
            n_new=n_new,
            steps=steps,
            max_tokens=limit,
        )
        call.on_end = lambda call: self._written(sample, call, then)
        return call

    def _score(self, sample: Sample, n_scored: int) -> FleetCall | None:
        n_prompt = self._workload.prompts[sample.problem]
        n_before = n_prompt + sample.n_tokens - n_scored
        if n_before + n_scored > self._fleet.max_context_tokens("target"):
            return None
        call = FleetCall(
            "target", "score", sample.problem, sample.index, sample.turn, n_prompt, n_before, n_scored=n_scored
        )
        call.on_end = lambda call: self._scored(sample, call)
        return call

    def _ask(self, sample: Sample, call: FleetCall | None) -> None:
        """Put a call to its problem's others; without one the sample is over."""
        if call is None:
            self._finish(sample)
            return
        self.tally.counts[f"{call.kind}_calls"] += 1
        self._problems[sample.problem].held.append(call)

    def _release(self, number: int) -> None:
        """Let held calls go: all of them, or under a barrier those of the earliest phase once nobody is busy."""
        problem = self._problems.get(number)
        if problem is None or not problem.held:
            return
        going = problem.held
        if self._strategy in BARRIERS:
            if problem.n_busy:
                return
            first = min((call.turn, _PHASE[call.kind]) for call in going)
            going = [call for call in problem.held if (call.turn, _PHASE[call.kind]) == first]
        problem.held = [call for call in problem.held if call not in going] if len(going) < len(problem.held) else []
        if self._strategy in LOCKSTEP:
            going.sort(key=lambda call: call.sample)
        problem.n_busy += len(going)
        for call in going:
            self._fleet.ask(call)

    def _written(self, sample: Sample, call: FleetCall, then: Callable[[Sample], None]) -> None:
        sample.n_tokens += call.n_new
        sample.n_drafted = call.n_new
        self.tally.counts[f"{call.role}_tokens"] += call.n_new
        self._problems[sample.problem].n_busy -= 1
        then(sample)
        self._release(sample.problem)

    def _draft_ended(self, sample: Sample) -> None:
        if not sample.n_drafted:  # there is nothing to score
            self._decide(sample, self._replayed(sample) is not False)
        elif sample.draft_ends and not self._parameters.score_answers:
            self._finish(sample)
        else:
            self._ask(sample, self._score(sample, sample.n_drafted))

    def _scored(self, sample: Sample, call: FleetCall) -> None:
        problem = self._problems[sample.problem]
        problem.n_busy -= 1
        self.tally.counts["scored_tokens"] += call.n_scored
        if self._strategy in LOCKSTEP:
            problem.scored.append(sample)
            if not problem.n_busy:
                self._judge_all(problem)
        else:
            self._judge(sample)
        self._release(sample.problem)

    def _replayed(self, sample: Sample) -> bool | None:
        return sample.script.takeover(sample.turn) if self._replays else None

    def _judge(self, sample: Sample) -> None:
        takeover = self._replayed(sample)
        if takeover is None:
            takeover = self._is_strange(sample)
        self._count(sample, takeover)
        self._decide(sample, takeover)

    def _is_strange(self, sample: Sample) -> bool:
        problem, said = self._problems[sample.problem].problem, self._parameters
        score = sample.script.score(sample.turn)
        candidate = policy.candidate(problem, sample.index, sample.turn, score, self._category, said)
        decision = self._controller.decide(candidate)
        self._controller.update(candidate, decision)
        return decision.takeover

    def _judge_all(self, problem: ProblemAtWork) -> None:
        """All segments of a turn at once; the classical rule takes over the strangest alpha of them."""
        scored, problem.scored = sorted(problem.scored, key=lambda sample: sample.index), []
        if self._strategy == "sync-threshold":
            for sample in scored:
                self._judge(sample)
            return
        ranked = sorted(scored, key=lambda sample: -sample.script.score(sample.turn))
        worst = ranked[: round(self._parameters.alpha * len(ranked))]
        for sample in scored:
            self._count(sample, sample in worst)
            self._decide(sample, sample in worst)

    def _count(self, sample: Sample, takeover: bool) -> None:
        self.tally.counts["n_scored"] += 1
        self.tally.counts["n_takeovers"] += takeover
        by_turn = self.tally.scored_by_turn.setdefault(sample.turn, [0, 0])
        by_turn[0] += 1
        by_turn[1] += takeover

    def _decide(self, sample: Sample, takeover: bool) -> None:
        if takeover:
            if sample.draft_ends and sample.n_drafted:
                self._take_back(sample)
            self._ask(sample, self._takeover(sample))
        elif sample.draft_ends:
            self._finish(sample)
        else:
            self._turn_ended(sample)

    def _take_back(self, sample: Sample) -> None:
        """Take a rejected answer, one token, out of the chain: the target has to have something to go on with."""
        n_prompt = self._workload.prompts[sample.problem]
        self._fleet.take_back(Chain(sample.problem, sample.index, n_prompt, n_prompt + sample.n_tokens - 1))
        sample.n_tokens -= sample.n_drafted > 1  # a segment that is nothing but an answer leaves its mark

    def _turn_ended(self, sample: Sample) -> None:
        over = sample.turn == sample.script.last_turn
        sample.turn += 1
        if over or sample.turn >= self._parameters.max_turns:
            self._finish(sample)
        else:
            self._ask(sample, self._draft(sample))

    def _finish(self, sample: Sample) -> None:
        problem = self._problems[sample.problem]
        problem.n_open -= 1
        self._fleet.forget(sample.problem, sample.index)
        self.tally.sample_s.append(self._fleet.now_s - problem.started_s)
        if self._on_sample:
            self._on_sample()
        if not problem.n_open:
            self.tally.latencies_s[sample.problem] = self._fleet.now_s - self._arrivals[sample.problem]
            del self._problems[sample.problem]
            self._admit()
