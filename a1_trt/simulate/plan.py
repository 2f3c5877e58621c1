"""Which layout carries a load within a latency at the least cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from a1_trt.build.hardware import Gpu
from a1_trt.config import Pair
from a1_trt.errors import ConfigError, InvalidRequestError
from a1_trt.simulate.config import Request, prepare
from a1_trt.simulate.engine_model.roofline import Assumptions
from a1_trt.simulate.layout import Deployment, Layout, RoleLayout, dimensions, open_pair, parse_gpus
from a1_trt.simulate.workload import Lengths
from a1_trt.types import ROLES, Role

MAX_LAYOUTS = 2000
N_PROBLEMS = 96
_WIDTHS = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class Goal:
    """What the deployment has to do.

    Args:
        load_per_min: Problems a minute, coming by chance (Poisson).
        latency_s: Longest time of a problem, from its arrival to its last sample, seconds.
        percentile: Share of the problems that must keep to it: 50, 95 or 99.
        alphas: Lowest and highest rejection rate that cost no accuracy.
        prices: Price of a GPU's hour by name; 1 each where none is given and there is one kind.
        others: More kinds of GPU to choose from, NAMExN.
        n_runners_up: How many more layouts to name.
    """

    load_per_min: float
    latency_s: float
    percentile: int = 95
    alphas: tuple[float, float] = (0.4, 0.4)
    prices: Mapping[str, float] = field(default_factory=dict)
    others: Sequence[str] = ()
    n_runners_up: int = 4

    def __post_init__(self) -> None:
        for name in ("load_per_min", "latency_s"):
            if not 0 < getattr(self, name) < 1e9:
                raise InvalidRequestError(f"{name} is {getattr(self, name)}", field=name, remedy="choose more than 0")
        if not 0 < self.alphas[0] <= self.alphas[1] < 1:
            raise InvalidRequestError(f"alpha is {self.alphas}", field="alpha", remedy="write LOW:HIGH within (0, 1)")
        if self.percentile not in (50, 95, 99):
            raise InvalidRequestError(f"percentile is {self.percentile}", field="percentile", remedy="50, 95 or 99")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A layout with its price and what the simulation said of it."""

    layout: Layout
    cost: float
    alpha: float
    latency_s: float
    document: Mapping[str, Any]

    def meets(self, goal: Goal) -> bool:
        """Whether the latency is kept."""
        return self.latency_s <= goal.latency_s

    def row(self, goal: Goal) -> dict[str, Any]:
        """The candidate for a report."""
        said = self.document
        return {
            "layout": self.layout.document(),
            "cost_per_hour": self.cost,
            "alpha": self.alpha,
            "meets": self.meets(goal),
            f"latency_p{goal.percentile}_s": self.latency_s,
            "latency_s": said["problem_latency_s"],
            "utilisation": said["utilisation"],
            "rejection_rate": said["rejection_rate"],
        }


def make_plan(request: Request, goal: Goal, *, on_layout: Callable[[int, int], object] | None = None) -> dict[str, Any]:
    """Try layouts by rising cost until enough of them meet the goal.

    Args:
        request: Pair, GPUs, workload; its alpha, load and layout are the plan's to choose.
        goal: What has to be met.
        on_layout: Told how many layouts are done, and how many there are.

    Returns:
        ``best`` (None where no layout meets the goal), ``runners_up``, ``nearest`` in that case, ``sensitivity`` of the
        best one, and how many layouts were tried.

    Raises:
        ConfigError: The pair or the GPUs are not known, or the models do not fit.
        InvalidRequestError: Prices are missing.
    """
    pair, assumed = open_pair(request.pair), Assumptions.stated(request.assumptions)
    wanted = replace(request, load_per_min=goal.load_per_min, n_problems=request.n_problems or N_PROBLEMS)
    offers = [(layout, _cost(layout, goal)) for layout in _layouts(request, goal, pair, assumed)]
    offers.sort(key=lambda offer: (offer[1], offer[0].n_gpus, -offer[0].target.n_gpus, offer[0].target.n_engines))
    tried: list[Candidate] = []
    n_good = 0
    for done, (layout, cost) in enumerate(offers, start=1):
        found = _best_alpha(wanted, layout, cost, goal)
        tried.append(found)
        n_good += found.meets(goal)
        if on_layout:
            on_layout(done, len(offers))
        dearer = done < len(offers) and offers[done][1] > cost
        if n_good > goal.n_runners_up and dearer:
            break
    if on_layout:
        on_layout(len(offers), len(offers))
    good = sorted((each for each in tried if each.meets(goal)), key=lambda each: (each.cost, each.latency_s))
    best = good[0] if good else None
    nearest = min(tried, key=lambda each: each.latency_s)
    return {
        "simulated": True,
        "pair": pair.name,
        "goal": {
            "load_per_min": goal.load_per_min,
            "latency_s": goal.latency_s,
            "percentile": goal.percentile,
            "alpha": list(goal.alphas),
        },
        "workload": {
            "strategy": request.strategy,
            "problems": wanted.n_problems,
            **dict((best or nearest).document["workload"]),
        },
        "n_layouts": len(offers),
        "n_tried": len(tried),
        "best": best.row(goal) if best else None,
        "runners_up": [each.row(goal) for each in good[1 : 1 + goal.n_runners_up]],
        "nearest": None if best else nearest.row(goal),
        "sensitivity": _sensitivity(wanted, best, goal) if best else [],
        "parameters": (best or nearest).document["parameters"],
        "assumptions": (best or nearest).document["assumptions"],
    }


def _layouts(request: Request, goal: Goal, pair: Pair, assumed: Assumptions) -> Iterator[Layout]:
    """Every way to use at most the GPUs that are offered."""
    n_found = 0
    fits: dict[tuple[str, Role, int], bool] = {}
    for text in (request.gpu or "", *goal.others):
        if not text:
            raise InvalidRequestError("no GPU is named", field="gpu", remedy="give --gpu NAMExN, such as H100x8")
        gpu, n_gpus = parse_gpus(text)
        for layout in _of_kind(gpu, n_gpus, pair):
            if all(_fits(pair, layout, role, assumed, fits) for role in ROLES):
                n_found += 1
                yield layout
            if n_found >= MAX_LAYOUTS:
                return
    if not n_found:
        raise ConfigError(
            f"the models of {pair.name} do not fit {request.gpu}", field="gpu", remedy="take more or larger GPUs"
        )


def _of_kind(gpu: Gpu, n_gpus: int, pair: Pair) -> Iterator[Layout]:
    """Layouts on one kind of GPU, the small ones first; many engines only in steps that matter."""
    yield Layout(gpu, RoleLayout(1, 1), RoleLayout(1, 1), colocated=True)
    widths = {role: [n for n in _WIDTHS if n <= n_gpus and dimensions(pair, role).n_heads % n == 0] for role in ROLES}
    for t_draft in widths["draft"]:
        for t_target in widths["target"]:
            if t_draft > t_target:
                continue  # a draft spread more widely than its target is never the cheaper one
            for n_draft in _counts((n_gpus - t_target) // t_draft):
                for n_target in _counts((n_gpus - n_draft * t_draft) // t_target):
                    yield Layout(gpu, RoleLayout(n_draft, t_draft), RoleLayout(n_target, t_target))


def _counts(most: int) -> list[int]:
    """1, 2, 3, 4, then in steps of about a quarter."""
    found, count = [], 1
    while count <= most:
        found.append(count)
        count += max(1, count // 4)
    return found


def _fits(
    pair: Pair, layout: Layout, role: Role, assumed: Assumptions, known: dict[tuple[str, Role, int], bool]
) -> bool:
    key = (f"{layout.gpu.name} {layout.colocated}", role, layout.role(role).tensor_parallel)
    if key not in known:
        try:
            Deployment(pair, layout, assumed).plan(role)
            known[key] = True
        except ConfigError as error:
            if error.field != "gpu":
                raise
            known[key] = False
    return known[key]


def _cost(layout: Layout, goal: Goal) -> float:
    prices = {parse_gpus(name)[0].name: price for name, price in goal.prices.items()}
    price = prices.get(layout.gpu.name)
    if price is None:
        if prices or goal.others:
            raise InvalidRequestError(
                f"the price of {layout.gpu.name} is missing",
                field="price",
                remedy=f"give --price {layout.gpu.name}=PRICE",
            )
        price = 1.0
    return price * layout.n_gpus


def _best_alpha(request: Request, layout: Layout, cost: float, goal: Goal) -> Candidate:
    """The layout at that end of the range of rates at which problems are done sooner; both cost no accuracy."""
    found = [_simulated(request, layout, cost, alpha, goal) for alpha in dict.fromkeys(goal.alphas)]
    return min(found, key=lambda each: each.latency_s)


def _simulated(request: Request, layout: Layout, cost: float, alpha: float, goal: Goal) -> Candidate:
    parameters = {**request.parameters, "alpha": alpha}
    prepared = prepare(replace(request, layout=layout, parameters=parameters))
    document = prepared.document(prepared.run())
    return Candidate(layout, cost, alpha, document["problem_latency_s"][f"p{goal.percentile}"], document)


def _sensitivity(request: Request, best: Candidate, goal: Goal) -> list[dict[str, Any]]:
    """The best layout if something is not as it was assumed."""
    stated = Assumptions.stated(request.assumptions)
    lower = {
        name: 0.8 * getattr(stated, name)
        for name in ("arithmetic_efficiency", "bandwidth_efficiency", "link_efficiency")
    }
    lengths: Lengths = request.lengths
    cases: list[tuple[str, Request, float]] = [
        ("load x 1.25", replace(request, load_per_min=1.25 * goal.load_per_min), best.alpha),
        ("load x 1.5", replace(request, load_per_min=1.5 * goal.load_per_min), best.alpha),
        ("load x 2", replace(request, load_per_min=2 * goal.load_per_min), best.alpha),
        ("efficiencies x 0.8", replace(request, assumptions={**request.assumptions, **lower}), best.alpha),
        ("another seed", replace(request, seed=request.seed + 1), best.alpha),
        *((f"alpha {alpha:g}", request, alpha) for alpha in dict.fromkeys(goal.alphas)),
    ]
    if request.trace is None:
        longer = replace(lengths, median_tokens=1.25 * lengths.median_tokens)
        cases.append(("chains x 1.25", replace(request, lengths=longer), best.alpha))
    rows = []
    for name, changed, alpha in cases:
        found = _simulated(changed, best.layout, best.cost, alpha, goal)
        rows.append({"change": name, f"latency_p{goal.percentile}_s": found.latency_s, "meets": found.meets(goal)})
    return rows
