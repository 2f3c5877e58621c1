"""One simulated run: a workload through a deployment under a strategy."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from a1_trt.benchmarks.strategies import STRATEGIES as ALL_STRATEGIES
from a1_trt.benchmarks.strategies import StrategySpec
from a1_trt.benchmarks.strategies.arrivals import poisson
from a1_trt.benchmarks.strategies.session_strategy import in_session, published
from a1_trt.core.conformal import FIRST_TURN, Category, Controller, ControllerSettings, make_controller
from a1_trt.core.scheduler import Scheduler
from a1_trt.errors import InvalidRequestError
from a1_trt.simulate.bounds import LowerBound
from a1_trt.simulate.driver import Replayed, SimulatedDriver, script_score
from a1_trt.simulate.engine_model.sequences import EngineCounters
from a1_trt.simulate.fleet import EnginePlan, Fleet
from a1_trt.simulate.fleet_call import FleetCall
from a1_trt.simulate.outcome import Outcome, Tally
from a1_trt.simulate.workload import Workload
from a1_trt.types import ROLES, Event, Parameters, ProblemFinished, Role, SampleFinished, SegmentScored

MAX_SAMPLES = 10_000_000
Decisions = Literal["recorded", "controller"]
STRATEGIES: Mapping[str, StrategySpec] = MappingProxyType(
    {name: spec for name, spec in ALL_STRATEGIES.items() if spec.open in (in_session, published)}
)
"""What can be simulated: the strategies that are settings of a session."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a workload is run.

    Args:
        strategy: One of `STRATEGIES`; it sets some of the parameters.
        concurrency: Problems at work at once; as the strategy has it when None.
        arrivals: When each problem comes, seconds; all at 0 when None.
        decisions: Replay what was recorded, or decide anew.
        coupling: "shared": the engines of both roles share one processor.
        controller: Name of the controller that decides where nothing is replayed, by the settings `controlled`.
        first_scores: Scores of first turns for the controllers "published" and "static".
    """

    parameters: Parameters = field(default_factory=Parameters)
    strategy: str = "a1"
    concurrency: int | None = None
    arrivals: Sequence[float] | None = None
    decisions: Decisions = "recorded"
    category: Category = "turn"
    max_takeovers: int | None = None
    coupling: Literal["none", "shared"] = "none"
    controller: str = "two-level"
    controlled: ControllerSettings = field(default_factory=ControllerSettings)
    first_scores: Sequence[float] = ()

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            message, remedy = f"{self.strategy!r} cannot be simulated", f"choose from {', '.join(STRATEGIES)}"
            raise InvalidRequestError(message, field="strategy", remedy=remedy)


def open_load(n_problems: int, per_min: float, seed: int) -> list[float]:
    """When problems come by chance, so many a minute: seconds, float64[n_problems]."""
    if not 0 < per_min < 1e9:
        raise InvalidRequestError(f"load is {per_min} problems a minute", field="load", remedy="choose more than 0")
    return poisson(n_problems, per_min / 60, f"{seed} arrivals")


def simulate(
    plans: Mapping[Role, EnginePlan],
    workload: Workload,
    settings: Settings,
    *,
    on_event: Callable[[float, int, Event], object] | None = None,
    on_call: Callable[[FleetCall], None] | None = None,
) -> Outcome:
    """Run a workload through engines in virtual time.

    `on_event` is told of everything that happens: when, in seconds, and to which problem; `on_call` of every call that
    is over.

    Example:
        >>> from a1_trt.simulate.workload import draw
        >>> plans = {"draft": EnginePlan(), "target": EnginePlan()}
        >>> outcome = simulate(plans, draw(4, 8, seed=1), Settings())
        >>> outcome.lower_bound_s <= outcome.makespan_s
        True
    """
    if workload.n_samples > MAX_SAMPLES:
        message = f"{workload.n_samples} samples are more than {MAX_SAMPLES}"
        raise InvalidRequestError(message, field="problems", remedy="simulate fewer")
    started = time.perf_counter()
    parameters = replace(settings.parameters, **STRATEGIES[settings.strategy].parameters)
    bound = LowerBound(plans, dict(enumerate(settings.arrivals or ())), parameters.optimistic)

    def over(call: FleetCall) -> None:
        if call.end == "done":
            bound.add(call)
        if on_call:
            on_call(call)

    fleet = Fleet(plans, coupling=settings.coupling, on_call=over)
    run = _Run(fleet, plans, workload, settings, parameters, on_event)
    makespan_s = run.run()
    counters = {role: [batch.counters for batch in fleet.batches(role)] for role in ROLES}
    return Outcome(
        makespan_s=makespan_s,
        lower_bound_s=bound.value_s(),
        busy_s={role: sum(counter.busy_s for counter in counters[role]) / len(counters[role]) for role in ROLES},
        role_bound_s={role: bound.role_s(role) for role in ROLES},
        peak_blocks={role: max(counter.peak_blocks for counter in counters[role]) for role in ROLES},
        kv_blocks={role: plans[role].limits.kv_blocks for role in ROLES},
        engine_tokens={role: _tokens(counters[role]) for role in ROLES},
        tally=run.tally,
        events=fleet.n_calls + fleet.n_boundaries,
        wall_s=time.perf_counter() - started,
    )


class _Run:
    """Problems that arrive, are put to work as the strategy has it, and are counted."""

    def __init__(
        self,
        fleet: Fleet,
        plans: Mapping[Role, EnginePlan],
        workload: Workload,
        settings: Settings,
        parameters: Parameters,
        on_event: Callable[[float, int, Event], object] | None,
    ) -> None:
        self.tally = Tally()
        self._fleet = fleet
        self._tell = on_event
        spec = STRATEGIES[settings.strategy]
        self._concurrency = settings.concurrency or (1 if spec.one_at_a_time else len(workload.scripts))
        self._arrivals = settings.arrivals or [0.0] * len(workload.scripts)
        self._arrived: deque[int] = deque()
        self._started_s: dict[int, float] = {}  # when each problem at work was put to work
        controller = _controller(spec, workload, settings)
        scheduler = Scheduler(
            controller,
            script_score,
            {role: plans[role].max_in_flight for role in ROLES},
            category=settings.category,
            max_takeovers=settings.max_takeovers,
            max_samples=MAX_SAMPLES,
            max_unscored=1.0,
        )
        self._driver = SimulatedDriver(
            scheduler, fleet, workload, parameters, self._on_event, replays=isinstance(controller, Replayed)
        )

    def run(self) -> float:
        """Returns when the last sample ended, seconds."""
        for problem in sorted(range(len(self._arrivals)), key=lambda problem: self._arrivals[problem]):
            self._fleet.at(self._arrivals[problem], lambda problem=problem: self._arrive(problem))  # type: ignore[misc]
        return self._fleet.run()

    def _arrive(self, problem: int) -> None:
        self._arrived.append(problem)
        self._admit()

    def _admit(self) -> None:
        while self._arrived and len(self._started_s) < self._concurrency:
            problem = self._arrived.popleft()
            self._started_s[problem] = self._fleet.now_s
            self._driver.add(problem)

    def _on_event(self, problem: int, event: Event) -> None:
        if self._tell is not None:
            self._tell(self._fleet.now_s, problem, event)
        if isinstance(event, SegmentScored):
            by_turn = self.tally.scored_by_turn.setdefault(event.turn, [0, 0])
            by_turn[0] += 1
            by_turn[1] += event.takeover
        elif isinstance(event, SampleFinished):
            self.tally.sample_s.append(self._fleet.now_s - self._started_s[problem])
            self._fleet.forget(problem, event.sample)
        elif isinstance(event, ProblemFinished):
            self.tally.counts.update(asdict(event.result.usage))
            self.tally.latencies_s[problem] = self._fleet.now_s - self._arrivals[problem]
            del self._started_s[problem]
            # Whatever else happens now comes before the next problem.
            self._fleet.at(self._fleet.now_s, self._admit)


def _controller(spec: StrategySpec, workload: Workload, settings: Settings) -> Controller:
    """What decides: the strategy's own rule, the record, or the pair's controller."""
    if spec.controller is not None:
        return spec.controller()
    recorded = bool(workload.scripts) and workload.scripts[0][0].takeover(0) is not None
    if settings.decisions == "recorded" and recorded:
        return Replayed()
    scores = {FIRST_TURN: settings.first_scores} if settings.first_scores else None
    name = spec.conformal.get("controller", settings.controller)
    return make_controller(name, settings.controlled, calibration_scores=scores)


def _tokens(counters: Sequence[EngineCounters]) -> dict[str, int]:
    kinds = "generated", "prefilled", "reused"
    return {kind: sum(getattr(counter, f"{kind}_tokens") for counter in counters) for kind in kinds}
