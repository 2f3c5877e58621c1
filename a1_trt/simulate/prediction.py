"""What the simulator says of a recorded run, given the constants of its engines."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from a1_trt.simulate.call_log import RecordedRun
from a1_trt.simulate.call_replay import Coupling, Replay
from a1_trt.simulate.engine_model.costs import EngineCosts, EngineLimits
from a1_trt.simulate.fleet import EnginePlan
from a1_trt.types import ROLES, Role

LONGEST_CALL_S = 0.05
"""What passing a call on may take; what takes longer is work."""
_MAKESPAN_WEIGHT = 8.0
_KINDS = ("draft", "score", "takeover")


@dataclass(frozen=True, slots=True)
class Constants:
    """What is free of one role."""

    overhead_s: float  # of an iteration
    decode_s: float  # of a generated token
    prefill_s: float  # of a prefilled token
    call_s: float = 0.0  # of a call, beside the iterations
    slowdown: float = 1.0  # factor while the other engine is busy, at least 1

    def costs(self) -> EngineCosts:
        """The same for the engine: no memory term, which a processor's overhead and tokens hold."""
        per_token = {"prefill_s_per_token": self.prefill_s, "decode_s_per_token_sequence": self.decode_s}
        no_memory = {"weights_s": 0.0, "kv_s_per_context_token": 0.0}
        return EngineCosts(self.overhead_s, **no_memory, **per_token, shared_slowdown=self.slowdown)


def plans_of(constants: Mapping[Role, Constants], in_flight: Mapping[Role, int]) -> dict[Role, EnginePlan]:
    """Engines for the fleet; a role that never ran gets one that is never asked."""
    limits = EngineLimits(max_sequences=1024, max_num_batched_tokens=2048, kv_blocks=1 << 20, block_tokens=32)
    plans = {}
    for role in ROLES:
        costs = constants[role].costs() if role in constants else EngineCosts()
        call_s = constants[role].call_s if role in constants else 0.0
        plans[role] = EnginePlan(costs, limits, max_in_flight=in_flight.get(role, 16), call_s=call_s)
    return plans


def compared(recorded: float, simulated: float) -> dict[str, float]:
    return {"recorded": recorded, "simulated": simulated, "error": simulated / recorded - 1}


@dataclass(frozen=True, slots=True)
class Prediction:
    """A recorded run and what the simulator says of it: its makespan, and mean durations of calls."""

    run: RecordedRun
    makespan_s: float
    durations_s: Mapping[str, tuple[float, float]]

    def residuals(self) -> list[float]:
        """Logarithms of simulated over recorded, weighted."""
        weighted = [_MAKESPAN_WEIGHT * math.log(self.makespan_s / self.run.makespan_s)]
        return weighted + [math.log(simulated / recorded) for recorded, simulated in self.durations_s.values()]

    def document(self, held_out: bool) -> dict[str, Any]:
        return {
            "strategy": self.run.strategy,
            "repeat": self.run.repeat,
            "held_out": held_out,
            "n_calls": len(self.run.calls),
            "makespan_s": compared(self.run.makespan_s, self.makespan_s),
            "call_s": {kind: compared(*seconds) for kind, seconds in self.durations_s.items()},
        }


def predict(
    run: RecordedRun, constants: Mapping[Role, Constants], coupling: Coupling = "none", *, parity: int | None = None
) -> Prediction:
    """Replay a run with these constants; look only at calls of even (`parity` 0) or odd (1) problems."""
    in_flight: dict[Role, int] = {role: run.in_flight(role) for role in ROLES}
    replay = Replay(run, plans_of(constants, in_flight), coupling)
    makespan_s = replay.makespan_s()
    durations: dict[str, tuple[float, float]] = {}
    for name, indices in _groups(run, parity).items():
        recorded = sum(run.calls[index].duration_s for index in indices)
        simulated = sum(replay.durations_s[index] for index in indices)
        if recorded > 0 and simulated > 0:
            durations[name] = (recorded / len(indices), simulated / len(indices))
    return Prediction(run, makespan_s, durations)


def _groups(run: RecordedRun, parity: int | None) -> dict[str, list[int]]:
    """The calls of each kind, halved by their size and by how many were in flight when they started."""
    crowds, other = run.crowds(), None if parity is None else 1 - parity
    groups: dict[str, list[int]] = {}
    for kind in _KINDS:
        chosen = [index for index, call in enumerate(run.calls) if call.kind == kind and call.problem % 2 != other]
        half = len(chosen) // 2
        by_size = sorted(chosen, key=lambda index: run.calls[index].n_new_tokens + run.calls[index].n_scored_tokens)
        by_crowd = sorted(chosen, key=lambda index: crowds[index])
        groups[f"short {kind}"], groups[f"long {kind}"] = by_size[:half], by_size[half:]
        groups[f"lone {kind}"], groups[f"crowded {kind}"] = by_crowd[:half], by_crowd[half:]
    return groups
