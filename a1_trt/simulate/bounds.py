"""What no schedule can beat: the lower bound of a makespan.

For the engines of one role, with n of them, at most k sequences in the batch of each, and the calls of a run::

    steps      >= sum of generated tokens / k          every sequence gets one token an iteration
    arithmetic  = sum over the calls of what must be computed, whatever is in the cache
    memory      = steps * weights + sum over generated tokens of reading their context
    role       >= (steps * (overhead + sync) + max(arithmetic, memory)) / n

since the sum of maxima is at least the maximum of sums. A chain's calls come one after another, so the makespan is also
at least the longest chain's calls, each alone in an engine. The bound is the largest of these: Graham's two bounds of
list scheduling (1969), for engines whose work shrinks when it is batched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from a1_trt.simulate.fleet import EnginePlan
from a1_trt.simulate.fleet_call import FleetCall
from a1_trt.types import Role


@dataclass(slots=True)
class _Sums:
    steps: int = 0
    arithmetic_s: float = 0.0
    reading_s: float = 0.0
    sync_s: float = 0.0


@dataclass(slots=True)
class LowerBound:
    """Adds up the calls of a run; problems come at `arrivals`, seconds."""

    plans: Mapping[Role, EnginePlan]
    arrivals: Mapping[int, float] = field(default_factory=dict)
    optimistic: bool = False
    _sums: dict[Role, _Sums] = field(default_factory=dict)
    _chains: dict[tuple[int, int, Role | None], float] = field(default_factory=dict)

    def add(self, call: FleetCall) -> None:
        """Take in a call that is over."""
        plan = self.plans[call.role]
        costs, sums = plan.costs, self._sums.setdefault(call.role, _Sums())
        # A generated token is fed back but for the last; of the prompt one token is computed in any case.
        fed, context = max(0, call.steps - 1), call.n_before * (call.steps - 1) + call.steps * (call.steps - 1) // 2
        prefill = 1 + call.n_scored
        arithmetic_s = (
            costs.prefill_s_per_token * prefill
            + (costs.decode_s_per_token_sequence + costs.s_per_logit_row) * fed
            + costs.s_per_pair * max(0, context)
            + costs.s_per_logit_row * max(1, call.n_scored)
        )
        reading_s = costs.kv_s_per_context_token * max(0, context)
        sync_s = costs.sync_s_per_token * (prefill + fed)
        sums.steps += fed + 1
        sums.arithmetic_s += arithmetic_s
        sums.reading_s += reading_s
        sums.sync_s += sync_s
        alone_s = (fed + 1) * (costs.overhead_s + costs.sync_s) + sync_s
        alone_s += max(arithmetic_s, (fed + 1) * costs.weights_s + reading_s)
        key = (call.problem, call.sample, call.role if self.optimistic else None)
        self._chains[key] = self._chains.get(key, 0.0) + alone_s

    def role_s(self, role: Role) -> float:
        """Least seconds that a role's engines need for its calls."""
        if role not in self._sums:
            return 0.0
        plan, sums = self.plans[role], self._sums[role]
        batch = min(plan.limits.max_sequences * plan.n_engines, plan.max_in_flight) / plan.n_engines
        steps = sums.steps / max(batch, 1e-9)
        fixed_s = steps * (plan.costs.overhead_s + plan.costs.sync_s) + sums.sync_s
        return (fixed_s + max(sums.arithmetic_s, steps * plan.costs.weights_s + sums.reading_s)) / plan.n_engines

    def chain_s(self) -> float:
        """The longest chain alone, after its arrival, seconds."""
        ends: Iterable[float] = (self.arrivals.get(key[0], 0.0) + alone_s for key, alone_s in self._chains.items())
        return max(ends, default=0.0)

    def value_s(self) -> float:
        return max(self.chain_s(), *(self.role_s(role) for role in self.plans))
