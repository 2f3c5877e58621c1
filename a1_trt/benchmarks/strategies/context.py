"""What every strategy is given, and what it is."""

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
"""Solves one problem, given its index in the run; any number at once, and each by its own chains."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What a strategy works with.

    Args:
        pair: The pair.
        engines: Its engines, recorded.
        parameters: How each problem is to be solved.
        controller: Decides about takeovers; of this strategy alone.
        timeline: Where it tells what happens.
        problems: All problems of the run.
    """

    pair: Pair
    engines: Mapping[Role, Engine]
    parameters: Parameters
    controller: Controller
    timeline: Timeline
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Recipe:
    """A strategy.

    Args:
        summary: What it does, in a line.
        open: Makes what solves problems, for one run.
        parameters: What it sets of the parameters, whatever was asked for.
        conformal: What it sets of the pair's [conformal] section.
        one_at_a_time: The next problem starts when the slowest sample of the one before is done.
        votes: Whether its answer is a majority vote, so that a settled vote may stop it early.
    """

    summary: str
    open: Callable[[Stage], AbstractAsyncContextManager[Solve]]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    conformal: Mapping[str, Any] = field(default_factory=dict)
    one_at_a_time: bool = False
    votes: bool = True
