"""What a simulated run gave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from a1_trt.types import ROLES, Role


@dataclass(slots=True)
class Tally:
    """What has happened.

    Args:
        counts: Sums over the problems of what `a1_trt.types.Usage` counts.
        latencies_s: For each problem, from its arrival to its last sample.
        sample_s: For each sample, from its problem's start to its end.
        scored_by_turn: Scored segments of each turn, and how many were taken over.
    """

    counts: Counter[str] = field(default_factory=Counter)
    latencies_s: dict[int, float] = field(default_factory=dict)
    sample_s: list[float] = field(default_factory=list)
    scored_by_turn: dict[int, list[int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a simulated run gave.

    Args:
        makespan_s: From 0 to the end of the last sample.
        lower_bound_s: What no schedule of the same calls can beat; `role_bound_s` is that of each role by itself.
        busy_s: Seconds in iterations by role, the mean over its engines.
        peak_blocks: Most KV blocks held at once by role, over its engines, each of which has `kv_blocks`.
        engine_tokens: Tokens generated, prefilled and reused by role.
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
            "stopped_samples": counts["n_stopped"],
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
    """Mean, p50, p95, p99 (linear interpolation) and largest value; None of none."""
    if not values:
        return None
    p50, p95, p99 = np.percentile(values, (50, 95, 99)).tolist()
    return {"mean": sum(values) / len(values), "p50": p50, "p95": p95, "p99": p99, "max": max(values)}
