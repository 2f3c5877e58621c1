"""One simulated run: a workload through a deployment under a strategy."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from a1_trt.core.conformal import Category, ControllerSettings, category_of, make_controller
from a1_trt.errors import InvalidRequestError
from a1_trt.simulate.bounds import LowerBound
from a1_trt.simulate.fleet import EnginePlan, Fleet, FleetCall
from a1_trt.simulate.flow import STRATEGIES, Decisions, Flow
from a1_trt.simulate.samples import Tally
from a1_trt.simulate.workload import Workload
from a1_trt.types import ROLES, Parameters, Role

MAX_SAMPLES = 10_000_000


@dataclass(frozen=True, slots=True)
class Settings:
    """How a workload is run.

    Args:
        parameters: Turns, lengths, alpha, seed.
        strategy: One of `STRATEGIES`.
        concurrency: Problems at work at once; as the strategy has it when None.
        arrivals: When each problem comes, seconds; all at 0 when None.
        decisions: Replay what was recorded, or decide anew.
        category: Which past scores a new one is ranked among.
        coupling: "shared": the engines of both roles share one processor.
        controller: Name of the controller that decides where nothing is replayed.
        controlled: What it is told.
        first_scores: Scores of first turns for the controllers "published" and "static".
    """

    parameters: Parameters = field(default_factory=Parameters)
    strategy: str = "a1"
    concurrency: int | None = None
    arrivals: Sequence[float] | None = None
    decisions: Decisions = "recorded"
    category: Category = "turn"
    coupling: Literal["none", "shared"] = "none"
    controller: str = "two-level"
    controlled: ControllerSettings = field(default_factory=ControllerSettings)
    first_scores: Sequence[float] = ()

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise InvalidRequestError(
                f"there is no simulated strategy {self.strategy!r}",
                field="strategy",
                remedy=f"choose from {', '.join(STRATEGIES)}",
            )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a simulated run gave.

    Args:
        makespan_s: From 0 to the end of the last sample.
        lower_bound_s: What no schedule of the same calls can beat.
        busy_s: Seconds in iterations by role, the mean over its engines.
        role_bound_s: The lower bound of each role by itself.
        peak_blocks: Most KV blocks held at once by role, over its engines.
        kv_blocks: Blocks that an engine has.
        engine_tokens: Tokens generated, prefilled and reused by role.
        tally: Counts and latencies.
        events: Calls and iteration boundaries simulated.
        wall_s: Real seconds that the simulation took; the only figure here that is not the same every time.
    """

    makespan_s: float
    lower_bound_s: float
    busy_s: Mapping[Role, float]
    role_bound_s: Mapping[Role, float]
    peak_blocks: Mapping[Role, int]
    kv_blocks: Mapping[Role, int]
    engine_tokens: Mapping[Role, Mapping[str, int]]
    tally: Tally
    events: int
    wall_s: float

    @property
    def utilisation(self) -> dict[str, float]:
        """Share of the makespan in which a role's engines work."""
        return {role: self.busy_s[role] / self.makespan_s if self.makespan_s else 0.0 for role in ROLES}

    @property
    def rejection_rate(self) -> float | None:
        """Share of scored segments that the target took over."""
        counts = self.tally.counts
        return counts["n_takeovers"] / counts["n_scored"] if counts["n_scored"] else None

    def document(self) -> dict[str, Any]:
        """The figures for a report; the same to the bit for the same seed but for ``wall_s``."""
        counts, latencies = self.tally.counts, list(self.tally.latencies_s.values())
        turns = sorted(self.tally.scored_by_turn.items())
        return {
            "simulated": True,
            "makespan_s": self.makespan_s,
            "lower_bound_s": self.lower_bound_s,
            "lower_bound_share": self.lower_bound_s / self.makespan_s if self.makespan_s else None,
            "utilisation": self.utilisation,
            "tokens": {
                "draft": counts["draft_tokens"],
                "target": counts["target_tokens"],
                "scored": counts["scored_tokens"],
                "engines": {role: dict(self.engine_tokens[role]) for role in ROLES},
            },
            "calls": {kind: counts[f"{kind}_calls"] for kind in ("draft", "score", "takeover")},
            "rejection_rate": self.rejection_rate,
            "rejection_rate_by_turn": [
                {"turn": turn, "n_scored": n, "rejection_rate": taken / n} for turn, (n, taken) in turns
            ],
            "problem_latency_s": quantiles(latencies),
            "sample_latency_s": quantiles(self.tally.sample_s),
            "problems_per_min": 60 * len(latencies) / self.makespan_s if self.makespan_s else None,
            "peak_kv_blocks": dict(self.peak_blocks),
            "kv_blocks": dict(self.kv_blocks),
            "role_lower_bound_s": dict(self.role_bound_s),
            "events": self.events,
            "wall_s": self.wall_s,
        }


def quantiles(values: Sequence[float]) -> dict[str, float] | None:
    """Mean, p50, p95, p99 (linear interpolation) and largest value; None of none.

    Example:
        >>> quantiles([1.0, 2.0, 3.0, 4.0])["p50"]
        2.5
    """
    if not values:
        return None
    p50, p95, p99 = np.percentile(values, (50, 95, 99)).tolist()
    return {"mean": sum(values) / len(values), "p50": p50, "p95": p95, "p99": p99, "max": max(values)}


def poisson(n_problems: int, per_min: float, seed: int) -> list[float]:
    """Arrivals of an open load: a Poisson process, seconds.

    Example:
        >>> times = poisson(3, 60.0, seed=1)
        >>> times == sorted(times) == poisson(3, 60.0, seed=1)
        True
    """
    if not 0 < per_min < 1e9:
        raise InvalidRequestError(f"load is {per_min} problems a minute", field="load", remedy="choose more than 0")
    chance, now_s, times = random.Random(f"{seed} arrivals"), 0.0, []  # noqa: S311  reproducible on purpose
    for _ in range(n_problems):
        now_s += chance.expovariate(per_min / 60)
        times.append(now_s)
    return times


def simulate(
    plans: Mapping[Role, EnginePlan],
    workload: Workload,
    settings: Settings,
    *,
    on_sample: Callable[[], object] | None = None,
    on_call: Callable[[FleetCall], None] | None = None,
) -> Outcome:
    """Run a workload through engines in virtual time.

    Args:
        plans: The engines of each role.
        workload: The samples.
        settings: Strategy and parameters.
        on_sample: Told of every sample that is over.
        on_call: Told of every call that is over.

    Raises:
        InvalidRequestError: The workload is too large.

    Example:
        >>> from a1_trt.simulate.workload import draw
        >>> plans = {"draft": EnginePlan(), "target": EnginePlan()}
        >>> outcome = simulate(plans, draw(4, 8, seed=1), Settings())
        >>> outcome.lower_bound_s <= outcome.makespan_s
        True
    """
    if workload.n_samples > MAX_SAMPLES:
        raise InvalidRequestError(
            f"{workload.n_samples} samples are more than {MAX_SAMPLES}", field="problems", remedy="simulate fewer"
        )
    started = time.perf_counter()
    arrivals = dict(enumerate(settings.arrivals or ()))
    bound = LowerBound(plans, arrivals)

    def told(call: FleetCall) -> None:
        bound.add(call)
        if on_call:
            on_call(call)

    fleet = Fleet(plans, coupling=settings.coupling, on_call=told)
    scores = {category_of("turn", 0, ""): settings.first_scores} if settings.first_scores else None
    flow = Flow(
        fleet,
        workload,
        settings.parameters,
        settings.strategy,
        concurrency=settings.concurrency,
        arrivals=settings.arrivals,
        decisions=settings.decisions,
        category=settings.category,
        controller=make_controller(settings.controller, settings.controlled, calibration_scores=scores),
        on_sample=on_sample,
    )
    makespan_s = flow.run()
    return Outcome(
        makespan_s=makespan_s,
        lower_bound_s=bound.value_s(),
        busy_s={role: _mean([each.counters.busy_s for each in fleet.batches(role)]) for role in ROLES},
        role_bound_s={role: bound.role_s(role) for role in ROLES},
        peak_blocks={role: max(each.counters.peak_blocks for each in fleet.batches(role)) for role in ROLES},
        kv_blocks={role: plans[role].limits.kv_blocks for role in ROLES},
        engine_tokens={role: _tokens(fleet, role) for role in ROLES},
        tally=flow.tally,
        events=fleet.n_calls + fleet.n_boundaries,
        wall_s=time.perf_counter() - started,
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _tokens(fleet: Fleet, role: Role) -> dict[str, int]:
    counters = [batch.counters for batch in fleet.batches(role)]
    return {
        "generated": sum(each.generated_tokens for each in counters),
        "prefilled": sum(each.prefilled_tokens for each in counters),
        "reused": sum(each.reused_tokens for each in counters),
    }
