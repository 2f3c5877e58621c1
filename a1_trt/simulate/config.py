"""What somebody wants simulated, checked and put together: the way from words to an `Outcome`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from a1_trt.config import Pair
from a1_trt.errors import InvalidRequestError
from a1_trt.requests import make_parameters
from a1_trt.simulate.engine_model.roofline import Assumptions
from a1_trt.simulate.engines import engine_document
from a1_trt.simulate.fleet import ROLES, EnginePlan
from a1_trt.simulate.fleet_call import FleetCall
from a1_trt.simulate.layout import Deployment, Layout, default_layout, open_pair, parse_gpus
from a1_trt.simulate.outcome import Outcome
from a1_trt.simulate.simulation import MAX_SAMPLES, STRATEGIES, Settings, poisson, simulate
from a1_trt.simulate.speculation import Speculation
from a1_trt.simulate.traces import CHARS_PER_TOKEN, trace_workload
from a1_trt.simulate.workload import Lengths, Workload, draw
from a1_trt.types import Event, Parameters, Role, SampleFinished

SPECULATIVE = "token-speculative"
ALL_STRATEGIES = (*STRATEGIES, SPECULATIVE)


@dataclass(frozen=True, slots=True)
class Request:
    """One simulation, in words.

    Args:
        pair: Name or file of a pair, or "DRAFT+TARGET".
        gpu: NAMExN.
        strategy: One of `ALL_STRATEGIES`.
        trace: A published trace; a drawn workload when None.
        n_problems: Problems; all of the trace's, or 32, when None.
        n_samples: Samples of each; the pair's when None.
        seed: Seed of everything.
        layout: Where the models stand; as `default_layout` has it when None.
        parameters: Turns, lengths, alpha, whatever differs from the pair's.
        in_flight: Most calls in flight of an engine, by role.
        concurrency: Problems at work at once; as the strategy has it when None.
        load_per_min: Problems a minute that come by chance; all at once when None.
        controller: Decides, by name; when None a trace's own decisions are replayed, and others are made as the pair
            says.
        lengths: Distributions of a drawn workload.
        chars_per_token: Of a trace.
        assumptions: Changes of simulation.toml.
        speculation: For "token-speculative".
        engines: Engines with fitted constants, instead of a roofline.
        coupling: Whether these share one processor.
    """

    pair: str
    gpu: str | None = None
    strategy: str = "a1"
    trace: Path | None = None
    n_problems: int | None = None
    n_samples: int | None = None
    seed: int = 0
    layout: Layout | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    in_flight: Mapping[Role, int] = field(default_factory=dict)
    concurrency: int | None = None
    load_per_min: float | None = None
    controller: str | None = None
    lengths: Lengths = field(default_factory=Lengths)
    chars_per_token: float = CHARS_PER_TOKEN
    assumptions: Mapping[str, float] = field(default_factory=dict)
    speculation: Speculation = field(default_factory=Speculation)
    engines: Mapping[Role, EnginePlan] | None = None
    coupled: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request with everything looked up.

    Args:
        request: The request.
        pair: Its pair.
        plans: Its engines.
        workload: Its samples.
        settings: How they are run.
        layout: Where the models stand; None with fitted engines.
    """

    request: Request
    pair: Pair
    plans: Mapping[Role, EnginePlan]
    workload: Workload
    settings: Settings
    layout: Layout | None

    def run(
        self, *, on_sample: Callable[[], object] | None = None, on_call: Callable[[FleetCall], None] | None = None
    ) -> Outcome:
        """Simulate it."""

        def told(_: float, __: int, event: Event) -> None:
            if on_sample is not None and isinstance(event, SampleFinished):
                on_sample()

        return simulate(self.plans, self.workload, self.settings, on_event=told, on_call=on_call)

    def document(self, outcome: Outcome) -> dict[str, Any]:
        """The figures with what they were made from."""
        said = self.settings.parameters
        return {
            "pair": self.pair.name,
            "strategy": self.request.strategy,
            "problems": len(self.workload.scripts),
            "samples": self.workload.n_samples // max(1, len(self.workload.scripts)),
            "seed": self.request.seed,
            **outcome.document(),
            "parameters": asdict(said),
            "workload": {"name": self.workload.name, **self.workload.about},
            "layout": self.layout.document() if self.layout else None,
            "engines": {role: engine_document(self.plans[role]) for role in ROLES},
            "assumptions": asdict(Assumptions.stated(self.request.assumptions)),
        }


def prepare(request: Request) -> Prepared:
    """Look everything up and check it.

    Raises:
        ConfigError: The pair, a model or the GPUs are not known, or do not fit.
        InvalidRequestError: A value is out of range.
    """
    if request.strategy not in ALL_STRATEGIES:
        raise InvalidRequestError(
            f"there is no simulated strategy {request.strategy!r}",
            field="strategy",
            remedy=f"choose from {', '.join(ALL_STRATEGIES)}",
        )
    pair = open_pair(request.pair)
    parameters = _parameters(request, pair)
    workload = _workload(request, parameters.n_samples)
    plans, layout = _engines(request, pair)
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
        arrivals=poisson(len(workload.scripts), request.load_per_min, request.seed) if request.load_per_min else None,
        decisions="recorded" if request.controller is None else "controller",
        category=pair.conformal.category,
        max_takeovers=pair.conformal.max_takeovers,
        controller=controller,
        controlled=pair.conformal.settings(parameters.n_samples),
        coupling="shared" if request.coupled or (layout and layout.colocated) else "none",
        first_scores=_first_scores(workload) if controller in ("published", "static") else (),
    )
    return Prepared(request, pair, plans, workload, settings, layout)


def _parameters(request: Request, pair: Pair) -> Parameters:
    given = {name: value for name, value in request.parameters.items() if value is not None}
    if request.n_samples is not None:
        given["n_samples"] = request.n_samples
    given["seed"] = request.seed
    replayed = request.trace is not None and request.controller is None
    if replayed:
        # The published code scores every segment, those with an answer, too, and goes on from its end.
        given = {"verify_answers": True, "takeover_from": "end", **given}
    return make_parameters(pair.parameters(), **given)


def _workload(request: Request, n_samples: int) -> Workload:
    n_problems = request.n_problems
    if n_problems is not None and not 1 <= n_problems <= MAX_SAMPLES:
        raise InvalidRequestError(f"problems is {n_problems}", field="problems", remedy=f"choose 1 to {MAX_SAMPLES:,}")
    if (n_problems or 1) * n_samples > MAX_SAMPLES:
        raise InvalidRequestError(
            f"{n_problems} problems of {n_samples} samples are more than {MAX_SAMPLES:,}",
            field="problems",
            remedy="simulate fewer",
        )
    if request.trace is not None:
        samples = request.n_samples
        return trace_workload(request.trace, n_problems, samples, chars_per_token=request.chars_per_token)
    return draw(n_problems or 32, n_samples, request.seed, request.lengths)


def _engines(request: Request, pair: Pair) -> tuple[Mapping[Role, EnginePlan], Layout | None]:
    if request.engines is not None:
        return request.engines, None
    if request.gpu is None and request.layout is None:
        raise InvalidRequestError("no GPU is named", field="gpu", remedy="give --gpu NAMExN, such as H100x8")
    assumed = Assumptions.stated(request.assumptions)
    layout = request.layout or default_layout(pair, *parse_gpus(request.gpu or ""), assumed)
    in_flight = dict(request.in_flight)
    if request.strategy in STRATEGIES:
        in_flight = {**STRATEGIES[request.strategy].max_in_flight, **in_flight}
    deployment = Deployment(pair, layout, assumed, in_flight)
    return {role: deployment.plan(role) for role in ROLES}, layout


def _first_scores(workload: Workload) -> list[float]:
    """What the published code calibrates on: first-turn scores of the same problems, drawn afresh where possible."""
    fresh = -1 if workload.name == "drawn" else 0
    scores = [script.score(fresh) for samples in workload.scripts for script in samples]
    return [score for score in scores if score == score]
