"""What the barrier between problems costs, from recorded durations alone.

By hand: the samples of a problem start together in the slots and the next problem starts when the slowest is done, or
every sample takes the next free slot (list scheduling, Graham 1969). In the simulator: the same samples as sequences of
an engine in which an iteration takes the same time whatever is in the batch.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from a1_trt.errors import InvalidRequestError
from a1_trt.simulate.engine_model.costs import EngineCosts, EngineLimits
from a1_trt.simulate.fleet import EnginePlan
from a1_trt.simulate.simulation import Settings, simulate
from a1_trt.simulate.workload import Piece, Workload
from a1_trt.types import Parameters

MAX_SLOTS = 65536


def list_makespan_s(durations_s: Sequence[float], n_slots: int) -> float:
    """When the last of these is done, each taken up in order by the first free slot, seconds.

    Example:
        >>> list_makespan_s([3.0, 1.0, 1.0, 1.0], 2)
        3.0
    """
    free_s = [0.0] * n_slots
    for duration_s in durations_s:
        heapq.heapreplace(free_s, free_s[0] + duration_s)
    return max(free_s)


def barrier_makespan_s(problems: Sequence[Sequence[float]], n_slots: int) -> float:
    """The same with a barrier after every problem, seconds."""
    return sum(list_makespan_s(durations_s, n_slots) for durations_s in problems)


@dataclass(frozen=True, slots=True)
class _TimedScript:
    """A sample that lasts so many iterations and says nothing."""

    n_iterations: int
    last_turn: int | None = 0

    def draft(self, turn: int, written: int, max_tokens: int) -> Piece:
        return Piece(self.n_iterations, True)

    def target(self, turn: int, written: int, max_tokens: int) -> Piece:
        return Piece(self.n_iterations, True)

    def alone(self, max_tokens: int) -> Piece:
        return Piece(self.n_iterations, True)

    def score(self, turn: int) -> float:
        return 1.0

    def takeover(self, turn: int) -> bool | None:
        return None


def _simulated_s(problems: Sequence[Sequence[float]], n_slots: int, concurrency: int, step_s: float) -> float:
    longest = max(max(durations_s) for durations_s in problems)
    n_most = round(longest / step_s) + 2
    costs = EngineCosts(step_s, 0.0, 0.0, 0.0, 0.0)
    limits = EngineLimits(
        max_sequences=n_slots,
        max_num_batched_tokens=2 * n_slots,
        kv_blocks=n_slots * (n_most + 2),
        block_tokens=1,
        max_context_tokens=n_most + 1,
        prefix_reuse=False,
    )
    plan = EnginePlan(costs, limits, max_in_flight=n_slots)
    scripts = [tuple(_TimedScript(max(1, round(d / step_s))) for d in durations_s) for durations_s in problems]
    workload = Workload("durations", (1,) * len(problems), tuple(scripts))
    settings = Settings(Parameters(max_turns=1, target_tokens=n_most), strategy="target-only", concurrency=concurrency)
    return simulate({"draft": plan, "target": plan}, workload, settings).makespan_s


def barrier_gain(problems: Sequence[Sequence[float]], n_slots: int, *, step_s: float = 0.01) -> dict[str, Any]:
    """What removing the barrier between problems gains, by hand and in the simulator.

    Args:
        problems: Durations of the samples of each problem, seconds.
        n_slots: Samples at work at once.
        step_s: Length of a simulated iteration, seconds; durations are rounded to it.

    Example:
        >>> gain = barrier_gain([[3.0, 1.0], [1.0, 1.0]], 2)
        >>> gain["barrier_s"], gain["list_s"], round(gain["simulated"]["gain"], 2)
        (4.0, 3.0, 1.33)
    """
    if not problems or not all(problems):
        raise InvalidRequestError("there are no durations", field="trace", remedy="give a trace with some")
    if not 1 <= n_slots <= MAX_SLOTS:
        raise InvalidRequestError(f"slots is {n_slots}", field="slots", remedy=f"choose 1 to {MAX_SLOTS}")
    every = [duration_s for durations_s in problems for duration_s in durations_s]
    barrier_s, list_s = barrier_makespan_s(problems, n_slots), list_makespan_s(every, n_slots)
    simulated = {
        "barrier_s": _simulated_s(problems, n_slots, 1, step_s),
        "list_s": _simulated_s(problems, n_slots, len(problems), step_s),
    }
    shares = [sum(times) / len(times) / max(times) for times in problems if max(times) > 0]
    return {
        "problems": len(problems),
        "samples": len(every),
        "slots": n_slots,
        "barrier_s": barrier_s,
        "list_s": list_s,
        "gain": barrier_s / list_s if list_s else None,
        "lower_bound_s": max(sum(every) / n_slots, max(every)),
        "mean_share_of_slowest": sum(shares) / len(shares) if shares else None,
        "simulated": {**simulated, "gain": simulated["barrier_s"] / simulated["list_s"], "step_s": step_s},
    }
