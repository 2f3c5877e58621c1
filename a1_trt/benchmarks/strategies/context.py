"""A strategy and the context it runs in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from a1_trt.benchmarks.strategies.timeline import Timeline
from a1_trt.config import Pair
from a1_trt.core.conformal import Controller
from a1_trt.engine import Engine
from a1_trt.types import Parameters, Problem, Result, Role

Solve = Callable[[int, Problem], Awaitable[Result]]
"""Solves one problem, given its index in the run; any number at once. Problems are given to it in their order."""


@dataclass(frozen=True, slots=True)
class StrategyContext:
    """What a strategy works with: the pair, with what the strategy sets of it, and a controller of its own."""

    pair: Pair
    engines: Mapping[Role, Engine]
    parameters: Parameters
    controller: Controller
    timeline: Timeline
    problems: tuple[Problem, ...]


Opens = Callable[[StrategyContext], AbstractAsyncContextManager[Solve]]
"""Makes what solves problems, for one run; what it does before is preparation and not measured."""


@dataclass(frozen=True, slots=True)
class StrategySpec:
    """A strategy. All but a few are settings of a session.

    Args:
        parameters: What it sets of the parameters, whatever was asked for; `conformal` of that section of the pair.
        controller: Makes its controller, where the pair file cannot name that.
        max_in_flight: Most calls in flight per role, where that is less than the pair's own limit.
        one_at_a_time: The next problem starts when the slowest sample of the one before is done.
        votes: Whether its answer is a majority vote, so that a settled vote may stop it early.
    """

    summary: str
    open: Opens
    parameters: Mapping[str, Any] = field(default_factory=dict)
    conformal: Mapping[str, Any] = field(default_factory=dict)
    controller: Callable[[], Controller] | None = None
    max_in_flight: Mapping[Role, int] = field(default_factory=dict)
    one_at_a_time: bool = False
    votes: bool = True

    def adapt(self, pair: Pair) -> Pair:
        changes: dict[str, Any] = {"conformal": pair.conformal.model_copy(update=dict(self.conformal))}
        for role, limit in self.max_in_flight.items():
            own = pair.role(role)
            changes[role] = own.model_copy(update={"max_in_flight": min(limit, own.max_in_flight)})
        return pair.model_copy(update=changes)
