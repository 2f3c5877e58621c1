"""Which layout carries a load within a latency at the least cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from a1_trt.build.fit import Sizing
from a1_trt.build.placement import splits
from a1_trt.config import Pair
from a1_trt.errors import ConfigError, InvalidRequestError
from a1_trt.simulate.config import Request, prepare, requested_pair
from a1_trt.simulate.engine_model.roofline import Assumptions
from a1_trt.simulate.layout import Layout, RoleLayout, parse_gpus, sizing_of
from a1_trt.types import ROLES

MAX_LAYOUTS = 2000
N_PROBLEMS = 96


@dataclass(frozen=True, slots=True)
class Goal:
    """What the deployment has to do."""

    load_per_min: float  # problems, coming by chance (Poisson)
    latency_s: float  # longest time of a problem, from its arrival to its last sample
    percentile: int = 95  # share of the problems that must keep to it: 50, 95 or 99
    alphas: tuple[float, float] = (0.4, 0.4)  # lowest and highest rejection rate that cost no accuracy
    # of a GPU's hour; 1 each where none is given and there is one kind
    prices: Mapping[str, float] = field(default_factory=dict)
    others: Sequence[str] = ()  # more kinds of GPU to choose from, NAMExN
    n_runners_up: int = 4  # how many more layouts to name

    def __post_init__(self) -> None:
        for name in ("load_per_min", "latency_s"):
            if not 0 < getattr(self, name) < 1e9:
                raise InvalidRequestError(f"{name} is {getattr(self, name)}", field=name, remedy="choose more than 0")
        if not 0 < self.alphas[0] <= self.alphas[1] < 1:
            raise InvalidRequestError(f"alpha is {self.alphas}", field="alpha", remedy="write LOW:HIGH within (0, 1)")
        if self.percentile not in (50, 95, 99):
            raise InvalidRequestError(f"percentile is {self.percentile}", field="percentile", remedy="50, 95 or 99")


@dataclass(frozen=True, slots=True)
class LayoutTrial:
    """A layout with its price and what the simulation gave for it."""

    layout: Layout
    cost: float
    alpha: float
    latency_s: float
    document: Mapping[str, Any]

    def meets(self, goal: Goal) -> bool:
        return self.latency_s <= goal.latency_s

    def row(self, goal: Goal) -> dict[str, Any]:
        return {
            "layout": self.document["layout"],
            "cost_per_hour": self.cost,
            "alpha": self.alpha,
            "meets": self.meets(goal),
            f"latency_p{goal.percentile}_s": self.latency_s,
            "latency_s": self.document["problem_latency_s"],
            "utilisation": self.document["utilisation"],
            "rejection_rate": self.document["rejection_rate"],
        }


def make_plan(
    request: Request, goal: Goal, *, on_layout: Callable[[int, int], object] = lambda *_: None
) -> dict[str, Any]:
    """Try layouts by rising cost until enough of them meet the goal.

    Args:
        request: Pair, GPUs, workload; its alpha, load and layout are the plan's to choose.
        goal: What has to be met.
        on_layout: Told how many layouts are done, and how many there are.

    Returns:
        ``best`` (None where no layout meets the goal), ``runners_up``, ``nearest`` in that case, ``sensitivity`` of the
        best one, and how many layouts were tried.
    """
    pair = requested_pair(request)
    request = replace(request, load_per_min=goal.load_per_min, n_problems=request.n_problems or N_PROBLEMS)
    offers = [(layout, _cost(layout, goal)) for layout in _layouts(request, goal, pair)]
    offers.sort(key=lambda offer: (offer[1], offer[0].n_gpus, -offer[0].target.n_gpus, offer[0].target.n_engines))
    trials = _trials(request, goal, offers, on_layout)
    good = sorted((trial for trial in trials if trial.meets(goal)), key=lambda trial: (trial.cost, trial.latency_s))
    shown = good[0] if good else min(trials, key=lambda trial: trial.latency_s)
    return {
        "simulated": True,
        "pair": pair.name,
        "goal": {
            "load_per_min": goal.load_per_min,
            "latency_s": goal.latency_s,
            "percentile": goal.percentile,
            "alpha": list(goal.alphas),
        },
        "workload": {"strategy": request.strategy, "problems": request.n_problems, **shown.document["workload"]},
        "n_layouts": len(offers),
        "n_tried": len(trials),
        "best": shown.row(goal) if good else None,
        "runners_up": [trial.row(goal) for trial in good[1 : 1 + goal.n_runners_up]],
        "nearest": None if good else shown.row(goal),
        "sensitivity": _sensitivity(request, shown, goal) if good else [],
        "parameters": shown.document["parameters"],
        "assumptions": shown.document["assumptions"],
    }


def _trials(
    request: Request, goal: Goal, offers: Sequence[tuple[Layout, float]], on_layout: Callable[[int, int], object]
) -> list[LayoutTrial]:
    """Simulate layouts until more than the runners-up meet the goal, and all of the same cost have had their turn."""
    trials: list[LayoutTrial] = []
    n_good = 0
    for layout, cost in offers:
        if n_good > goal.n_runners_up and cost > trials[-1].cost:
            break
        trials.append(_best_alpha(request, layout, cost, goal))
        n_good += trials[-1].meets(goal)
        on_layout(len(trials), len(offers))
    on_layout(len(offers), len(offers))
    return trials


def _layouts(request: Request, goal: Goal, pair: Pair) -> list[Layout]:
    """Every way to use at most the GPUs that are offered."""
    layouts: list[Layout] = []
    for text in (request.gpu, *goal.others):
        gpus = parse_gpus(text)
        sizing = sizing_of(pair, gpus.gpu)
        fits: dict[tuple[RoleLayout, RoleLayout, bool], bool] = {}
        for layout in _of_kind(sizing, gpus.count):
            engines = replace(layout.draft, n_engines=1), replace(layout.target, n_engines=1), layout.colocated
            if engines not in fits:
                fits[engines] = sizing.first([layout.placement()]).fits
            if fits[engines]:
                layouts.append(layout)
            if len(layouts) == MAX_LAYOUTS:
                return layouts
    if not layouts:
        message = f"the models of {pair.name} do not fit {request.gpu}"
        raise ConfigError(message, field="gpu", remedy="take more or larger GPUs")
    return layouts


def _of_kind(sizing: Sizing, n_gpus: int) -> Iterator[Layout]:
    """Layouts on one kind of GPU, the small ones first; many engines only in steps that matter."""
    drafts, targets = (
        [RoleLayout(1, split) for split in splits(sizing.pair, role, sizing.models[role], n_gpus)] for role in ROLES
    )
    for target in targets:
        narrower = [draft for draft in drafts if draft.n_gpus <= target.n_gpus]
        yield from (Layout(sizing.gpu, draft, target, colocated=True) for draft in narrower[-1:])
    for draft in drafts:
        for target in targets:
            if draft.n_gpus > target.n_gpus:
                continue  # a draft spread more widely than its target is never the cheaper one
            for n_draft in _counts((n_gpus - target.n_gpus) // draft.n_gpus):
                for n_target in _counts((n_gpus - n_draft * draft.n_gpus) // target.n_gpus):
                    yield Layout(sizing.gpu, replace(draft, n_engines=n_draft), replace(target, n_engines=n_target))


def _counts(most: int) -> list[int]:
    """1, 2, 3, 4, then in steps of about a quarter."""
    counts, count = [], 1
    while count <= most:
        counts.append(count)
        count += max(1, count // 4)
    return counts


def _cost(layout: Layout, goal: Goal) -> float:
    prices = {parse_gpus(name).gpu.name: price for name, price in goal.prices.items()}
    price = prices.get(layout.gpu.name)
    if price is None:
        if prices or goal.others:
            message = f"the price of {layout.gpu.name} is missing"
            raise InvalidRequestError(message, field="price", remedy=f"give --price {layout.gpu.name}=PRICE")
        price = 1.0
    return price * layout.n_gpus


def _best_alpha(request: Request, layout: Layout, cost: float, goal: Goal) -> LayoutTrial:
    """The layout at that end of the range of rates at which problems are done sooner; both cost no accuracy."""
    trials = [_simulated(request, layout, cost, alpha, goal) for alpha in dict.fromkeys(goal.alphas)]
    return min(trials, key=lambda trial: trial.latency_s)


def _simulated(request: Request, layout: Layout, cost: float, alpha: float, goal: Goal) -> LayoutTrial:
    prepared = prepare(replace(request, layout=layout, parameters={**request.parameters, "alpha": alpha}))
    document = prepared.document(prepared.run())
    return LayoutTrial(layout, cost, alpha, document["problem_latency_s"][f"p{goal.percentile}"], document)


def _sensitivity(request: Request, best: LayoutTrial, goal: Goal) -> list[dict[str, Any]]:
    """The best layout if something is not as it was assumed."""
    stated = asdict(Assumptions.stated(request.assumptions))
    lower = {name: 0.8 * value for name, value in stated.items() if name.endswith("_efficiency")}
    changes: dict[str, dict[str, Any]] = {
        **{f"load x {factor:g}": {"load_per_min": factor * goal.load_per_min} for factor in (1.25, 1.5, 2)},
        "efficiencies x 0.8": {"assumptions": {**request.assumptions, **lower}},
        "another seed": {"seed": request.seed + 1},
    }
    if request.trace is None:
        longer = replace(request.lengths, median_tokens=1.25 * request.lengths.median_tokens)
        changes["chains x 1.25"] = {"lengths": longer}
    cases = [(name, replace(request, **changed), best.alpha) for name, changed in changes.items()]
    cases += [(f"alpha {alpha:g}", request, alpha) for alpha in dict.fromkeys(goal.alphas)]
    trials = [(name, _simulated(changed, best.layout, best.cost, alpha, goal)) for name, changed, alpha in cases]
    return [
        {"change": name, f"latency_p{goal.percentile}_s": trial.latency_s, "meets": trial.meets(goal)}
        for name, trial in trials
    ]
