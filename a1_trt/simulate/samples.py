"""What a flow keeps of samples and problems while they are at work, and what it counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from a1_trt.simulate.fleet import FleetCall
from a1_trt.simulate.workload import Script
from a1_trt.types import Problem


@dataclass(slots=True, eq=False)
class Sample:
    """A sample at work."""

    problem: int
    index: int
    script: Script
    turn: int = 0
    n_tokens: int = 0
    n_drafted: int = 0
    draft_ends: bool = False


@dataclass(slots=True)
class ProblemAtWork:
    """A problem at work: how many samples are, what its barrier holds back, what was scored in the turn."""

    problem: Problem
    n_open: int
    started_s: float
    n_busy: int = 0
    held: list[FleetCall] = field(default_factory=list)
    scored: list[Sample] = field(default_factory=list)


@dataclass(slots=True)
class Tally:
    """What has happened.

    Args:
        counts: Tokens, calls, scores and takeovers.
        latencies_s: For each problem, from its arrival to its last sample.
        sample_s: For each sample, from its problem's start to its end.
        scored_by_turn: Scored segments of each turn, and how many were taken over.
    """

    counts: Counter[str] = field(default_factory=Counter)
    latencies_s: dict[int, float] = field(default_factory=dict)
    sample_s: list[float] = field(default_factory=list)
    scored_by_turn: dict[int, list[int]] = field(default_factory=dict)
