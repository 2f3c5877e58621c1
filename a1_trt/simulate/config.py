"""A request for a simulation, checked and put together: from options to an `Outcome`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from a1_trt.config import Pair
from a1_trt.errors import InvalidRequestError
from a1_trt.requests import make_parameters
from a1_trt.simulate.engine_model.roofline import Assumptions
from a1_trt.simulate.engines import engine_document
from a1_trt.simulate.fleet import EnginePlan
from a1_trt.simulate.fleet_call import FleetCall
from a1_trt.simulate.layout import Deployment, Layout, default_layout, open_pair, parse_gpus
from a1_trt.simulate.outcome import Outcome
from a1_trt.simulate.recorded_workload import CHARS_PER_TOKEN, trace_workload
from a1_trt.simulate.simulation import MAX_SAMPLES, STRATEGIES, Settings, open_load, simulate
from a1_trt.simulate.speculation import Speculation
from a1_trt.simulate.workload import Lengths, Workload, draw
from a1_trt.types import ROLES, Event, Parameters, Role, SampleFinished

SPECULATIVE = "token-speculative"
ALL_STRATEGIES = (*STRATEGIES, SPECULATIVE)


@dataclass(frozen=True, slots=True)
class Request:
    """One simulation, in words."""

    pair: str  # name or file, or "DRAFT+TARGET"
    gpu: str | None = None  # NAMExN
    strategy: str = "a1"  # one of `ALL_STRATEGIES`
    trace: Path | None = None  # a published one; a drawn workload when None
    n_problems: int | None = None  # all of the trace's, or 32, when None
    n_samples: int | None = None  # of each problem; the pair's when None
    seed: int = 0
    layout: Layout | None = None  # as `default_layout` has it when None
    # turns, lengths, alpha, whatever differs from the pair's
    parameters: Mapping[str, Any] = field(default_factory=dict)
    in_flight: Mapping[Role, int] = field(default_factory=dict)  # most calls in flight of an engine
    concurrency: int | None = None  # problems at work at once; as the strategy has it when None
    load_per_min: float | None = None  # problems that come by chance; all at once when None
    # decides, by name; when None a trace's decisions are replayed, others are as the pair has it
    controller: str | None = None
    lengths: Lengths = field(default_factory=Lengths)  # distributions of a drawn workload
    chars_per_token: float = CHARS_PER_TOKEN  # of a trace
    assumptions: Mapping[str, float] = field(default_factory=dict)  # changes of simulation.toml
    speculation: Speculation = field(default_factory=Speculation)  # for "token-speculative"
    engines: Mapping[Role, EnginePlan] | None = None  # with fitted constants, instead of a roofline
    coupled: bool = False  # these share one processor


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request with everything looked up; no deployment with fitted engines."""

    request: Request
    pair: Pair
    plans: Mapping[Role, EnginePlan]
    workload: Workload
    settings: Settings
    deployment: Deployment | None

    def run(
        self, *, on_sample: Callable[[], object] | None = None, on_call: Callable[[FleetCall], None] | None = None
    ) -> Outcome:
        """Simulate it."""

        def told(_: float, __: int, event: Event) -> None:
            if on_sample is not None and isinstance(event, SampleFinished):
                on_sample()

        return simulate(self.plans, self.workload, self.settings, on_event=told, on_call=on_call)

    def layout(self) -> dict[str, Any] | None:
        return self.deployment.document() if self.deployment else None

    def document(self, outcome: Outcome) -> dict[str, Any]:
        """The figures with what they were made from."""
        return {
            "pair": self.pair.name,
            "strategy": self.request.strategy,
            "problems": len(self.workload.scripts),
            "samples": self.workload.n_samples // max(1, len(self.workload.scripts)),
            "seed": self.request.seed,
            **outcome.document(),
            "parameters": asdict(self.settings.parameters),
            "workload": {"name": self.workload.name, **self.workload.about},
            "layout": self.layout(),
            "engines": {role: engine_document(self.plans[role]) for role in ROLES},
            "assumptions": asdict(Assumptions.stated(self.request.assumptions)),
        }


def prepare(request: Request) -> Prepared:
    """Look everything up and check it."""
    if request.strategy not in ALL_STRATEGIES:
        message = f"there is no simulated strategy {request.strategy!r}"
        raise InvalidRequestError(message, field="strategy", remedy=f"choose from {', '.join(ALL_STRATEGIES)}")
    pair, parameters = _opened(request)
    workload = _workload(request, parameters.n_samples)
    deployment = _deployment(request, pair)
    plans = request.engines or {} if deployment is None else deployment.plans()
    strategy = request.strategy
    if strategy == SPECULATIVE:
        strategy = "target-only"
        plans = {**plans, "target": request.speculation.plan(plans["draft"], plans["target"])}
        workload = request.speculation.workload(workload)
    controller = request.controller or ("published" if strategy == "published" else pair.conformal.controller)
    settings = Settings(
        parameters,
        strategy,
        concurrency=request.concurrency,
        arrivals=open_load(len(workload.scripts), request.load_per_min, request.seed) if request.load_per_min else None,
        decisions="recorded" if request.controller is None else "controller",
        category=pair.conformal.category,
        max_takeovers=pair.conformal.max_takeovers,
        controller=controller,
        controlled=pair.conformal.settings(parameters.n_samples),
        coupling="shared" if request.coupled or (deployment and deployment.layout.colocated) else "none",
        first_scores=_first_scores(workload) if controller in ("published", "static") else (),
    )
    return Prepared(request, pair, plans, workload, settings, deployment)


def requested_pair(request: Request) -> Pair:
    """The pair with the request's turns and lengths in it: engines are sized for what they are asked."""
    return _opened(request)[0]


def _opened(request: Request) -> tuple[Pair, Parameters]:
    pair = open_pair(request.pair)
    given = {name: value for name, value in request.parameters.items() if value is not None}
    if request.n_samples is not None:
        given["n_samples"] = request.n_samples
    given["seed"] = request.seed
    replayed = request.trace is not None and request.controller is None
    if replayed:
        # The published code scores every segment, those with an answer, too, and goes on from its end.
        given = {"score_answers": True, "takeover_from": "end", **given}
    parameters = make_parameters(pair.parameters(), **given)
    longest = {"draft": parameters.draft_tokens, "target": parameters.target_tokens}
    roles: dict[str, Any] = {
        role: pair.role(role).model_copy(
            update={"sampling": pair.role(role).sampling.model_copy(update={"segment_tokens": longest[role]})}
        )
        for role in ROLES
    }
    scheduler = replace(pair.scheduler, n_samples=parameters.n_samples, max_turns=parameters.max_turns)
    return pair.model_copy(update={**roles, "scheduler": scheduler}), parameters


def _workload(request: Request, n_samples: int) -> Workload:
    n_problems = request.n_problems
    if n_problems is not None and not 1 <= n_problems <= MAX_SAMPLES:
        raise InvalidRequestError(f"problems is {n_problems}", field="problems", remedy=f"choose 1 to {MAX_SAMPLES:,}")
    if (n_problems or 1) * n_samples > MAX_SAMPLES:
        message = f"{n_problems} problems of {n_samples} samples are more than {MAX_SAMPLES:,}"
        raise InvalidRequestError(message, field="problems", remedy="simulate fewer")
    if request.trace is not None:
        samples = request.n_samples
        return trace_workload(request.trace, n_problems, samples, chars_per_token=request.chars_per_token)
    return draw(n_problems or 32, n_samples, request.seed, request.lengths)


def _deployment(request: Request, pair: Pair) -> Deployment | None:
    if request.engines is not None:
        return None
    layout = request.layout or default_layout(pair, parse_gpus(request.gpu))
    limits = STRATEGIES[request.strategy].max_in_flight if request.strategy in STRATEGIES else {}
    in_flight = {**limits, **request.in_flight}
    return Deployment.of(pair, layout, Assumptions.stated(request.assumptions), in_flight)


def _first_scores(workload: Workload) -> list[float]:
    """What the published code calibrates on: first-turn scores of the same problems, drawn afresh where possible."""
    fresh = -1 if workload.name == "drawn" else 0
    scores = [script.score(fresh) for samples in workload.scripts for script in samples]
    return [score for score in scores if score == score]
