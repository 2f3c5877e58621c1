"""Engines in virtual time behind queues, driven from one heap, for millions of calls.

The calls of a role wait in one queue, first come first served, and at most so many are in flight, as in
`core.scheduler`. Each role has one or several equal engines; a chain stays with the one it started on, where its KV
cache is, and starts on the one with the fewest calls.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Literal

from a1_trt.simulate.engine_model.batch import Batch
from a1_trt.simulate.engine_model.chain_cache import Chain, ChainCache
from a1_trt.simulate.engine_model.costs import EngineCosts, EngineLimits
from a1_trt.simulate.engine_model.sequences import Sequence as Request
from a1_trt.simulate.engine_model.shared_device import Processor
from a1_trt.simulate.fleet_call import FleetCall, request_of
from a1_trt.types import Role


@dataclass(frozen=True, slots=True)
class EnginePlan:
    """One role's engines.

    Args:
        max_in_flight: Most calls of the role in flight, over all its engines.
        call_s: Seconds that a call takes beside the engine's iterations: passing it on, reading and writing text.
    """

    costs: EngineCosts = field(default_factory=EngineCosts)
    limits: EngineLimits = field(default_factory=EngineLimits)
    n_engines: int = 1
    max_in_flight: int = 16
    call_s: float = 0.0


@dataclass(slots=True)
class _Station:
    """One role: its queue and its engines, with their calls in flight and the engine of each chain."""

    plan: EnginePlan
    batches: list[Batch]
    caches: list[ChainCache]
    loads: list[int]
    queue: deque[FleetCall] = field(default_factory=deque)
    in_flight: int = 0
    homes: dict[tuple[int, int], int] = field(default_factory=dict)


class Fleet:
    """All engines of a simulated deployment; with the coupling "shared" those of all roles share one processor.

    Example:
        >>> fleet = Fleet({"draft": EnginePlan(), "target": EnginePlan()})
        >>> fleet.ask(FleetCall("target", "takeover", 0, 0, 0, 10, 10, n_new=3, steps=3, max_tokens=3))
        >>> round(fleet.run(), 4)
        0.0165
    """

    def __init__(
        self,
        plans: Mapping[Role, EnginePlan],
        *,
        coupling: Literal["none", "shared"] = "none",
        on_call: Callable[[FleetCall], None] | None = None,
    ) -> None:
        self.now_s = 0.0
        self.n_calls = self.n_boundaries = self._n_open = 0
        self._on_call = on_call
        self._heap: list[tuple[float, int, int]] = []
        self._batches: list[Batch] = []
        self._touched: dict[int, None] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        processor = Processor() if coupling == "shared" else None
        self._stations = {role: self._station(plan, processor) for role, plan in plans.items()}

    def _station(self, plan: EnginePlan, processor: Processor | None) -> _Station:
        limits, n_engines = plan.limits, plan.n_engines
        caches = [
            ChainCache(limits.kv_blocks, limits.block_tokens, reuse=limits.prefix_reuse) for _ in range(n_engines)
        ]
        batches = [Batch(plan.costs, limits, cache, processor=processor) for cache in caches]
        for index, batch in enumerate(batches, len(self._batches)):
            batch.on_cut = lambda index=index: self._touched.__setitem__(index, None)
        self._batches += batches
        return _Station(plan, batches, caches, [0] * n_engines)

    def batches(self, role: Role) -> Sequence[Batch]:
        return self._stations[role].batches

    def max_context_tokens(self, role: Role) -> int:
        return self._stations[role].plan.limits.max_context_tokens

    def at(self, time_s: float, act: Callable[[], None]) -> None:
        """Have something done at a time; for equal times in the order of asking."""
        heapq.heappush(self._timers, (time_s, next(self._numbers), act))

    def ask(self, call: FleetCall) -> None:
        call.wanted_s = self.now_s
        self._n_open += 1
        station = self._stations[call.role]
        station.queue.append(call)
        self._pump(station)

    def cancel(self, call: FleetCall) -> None:
        """Cut a call short, unless it is over already; told of only after what happens at this time anyway."""
        if call.end is not None:
            return
        call.end = "cancelled"
        station = self._stations[call.role]
        if call.request is None:
            station.queue.remove(call)
            call.n_new = 0
        else:
            call.n_new = station.batches[call.engine].withdraw(call.request, self.now_s)
        self.at(self.now_s, partial(self._end, call))

    def run(self) -> float:
        """Go on until nothing is left to do; returns the time, seconds.

        The end of an iteration whose requests have all been cancelled is not waited for.
        """
        self._schedule()
        while self._timers or (self._heap and self._n_open):
            due_s = self._heap[0][0] if self._heap else float("inf")
            timer_s = self._timers[0][0] if self._timers else float("inf")
            if timer_s <= due_s:
                self.now_s = timer_s
                heapq.heappop(self._timers)[2]()
            else:
                self._boundaries(due_s)
            self._schedule()
        return self.now_s

    def _boundaries(self, due_s: float) -> None:
        """Book every iteration that ends now, act on what that ended, and only then launch the next ones."""
        self.now_s = due_s
        ended: list[Request] = []
        while self._heap and self._heap[0][0] == due_s:
            index = heapq.heappop(self._heap)[2]
            batch = self._batches[index]
            if batch.due_s == due_s and index not in self._touched:
                self.n_boundaries += 1
                ended += batch.book()
                self._touched[index] = None
        for request in ended:
            request.owner.end = "done"
        for request in ended:
            self._end(request.owner)

    def _schedule(self) -> None:
        """Launch the engines that are at a boundary, and note when each wants to be seen again."""
        while self._touched:
            touched, self._touched = self._touched, {}
            for index in touched:
                batch = self._batches[index]
                if batch.due_s == self.now_s:
                    batch.launch(self.now_s)
            for index in touched:
                due_s = self._batches[index].due_s
                if due_s is not None:
                    heapq.heappush(self._heap, (due_s, self.n_boundaries, index))

    def _pump(self, station: _Station) -> None:
        plan = station.plan
        while station.queue and station.in_flight < plan.max_in_flight:
            call = station.queue.popleft()
            station.in_flight += 1
            call.started_s = self.now_s
            call.engine = self._home(station, call)
            station.loads[call.engine] += 1
            call.request = request_of(call)
            if plan.call_s:
                self.at(self.now_s + plan.call_s, partial(self._submit, station, call))
            else:
                self._submit(station, call)

    def _submit(self, station: _Station, call: FleetCall) -> None:
        if call.request is not None and call.end is None:
            station.batches[call.engine].submit(call.request, self.now_s)

    @staticmethod
    def _home(station: _Station, call: FleetCall) -> int:
        if len(station.batches) == 1:
            return 0
        return station.homes.setdefault((call.problem, call.sample), station.loads.index(min(station.loads)))

    def trim(self, chain: Chain) -> None:
        """A chain that no call is for has only these tokens: what comes behind them is not in any KV cache."""
        for station in self._stations.values():
            station.caches[station.homes.get((chain.problem, chain.sample), 0)].trim(chain)

    def forget(self, problem: int, sample: int) -> None:
        for station in self._stations.values():
            station.homes.pop((problem, sample), None)

    def _end(self, call: FleetCall) -> None:
        station = self._stations[call.role]
        call.ended_s = self.now_s
        if call.engine < 0:  # it was cancelled while it waited
            call.started_s = self.now_s
        else:
            station.in_flight -= 1
            station.loads[call.engine] -= 1
        self.n_calls += 1
        self._n_open -= 1
        if self._on_call:
            self._on_call(call)
        if call.on_end:
            call.on_end(call)
        self._pump(station)
