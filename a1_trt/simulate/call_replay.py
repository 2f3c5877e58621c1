"""Recorded calls again, in the simulator.

Replaying keeps what each call waited for: the call before it in its chain; under a barrier all calls of its problem's
earlier phases; and a problem for its turn, where the record never had more than so many at work, or for its arrival,
where they came by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from a1_trt.simulate.call_log import RecordedRun
from a1_trt.simulate.fleet import EnginePlan, Fleet
from a1_trt.simulate.fleet_call import FleetCall
from a1_trt.types import Role

Coupling = Literal["none", "shared"]
_PHASE = {"draft": 0, "score": 1, "takeover": 2}


class Replay:
    """Carries out recorded calls on a fleet; "shared": the engines of both roles share one processor."""

    def __init__(self, run: RecordedRun, plans: Mapping[Role, EnginePlan], coupling: Coupling = "none") -> None:
        self._fleet = Fleet(plans, coupling=coupling)
        self._run = run
        self._concurrency = run.concurrency
        # A text shorter than the longest one ended by itself: its end-of-text token took an iteration, too.
        self._longest = {kind: max((c.n_new_tokens for c in run.calls if c.kind == kind), default=0) for kind in _PHASE}
        self.durations_s: dict[int, float] = {}
        """Seconds in the engine of each recorded call, by its index."""
        self._chains: dict[tuple[int, ...], list[int]] = {}
        self._prompts: dict[tuple[Role, int], int] = {}
        self._arrived_s: dict[int, float] = {}
        for index, call in enumerate(run.calls):
            key: tuple[int, ...] = (call.problem,) if run.has_barrier else (call.problem, call.sample)
            self._chains.setdefault(key, []).append(index)
            prompt = self._prompts.get((call.role, call.problem), call.n_prompt_tokens)
            self._prompts[call.role, call.problem] = min(prompt, call.n_prompt_tokens)
            self._arrived_s[call.problem] = min(self._arrived_s.get(call.problem, call.wanted_s), call.wanted_s)
        self._waiting = sorted(self._arrived_s, key=lambda problem: (self._arrived_s[problem], problem))
        self._left: dict[int, int] = {}
        self._keys: dict[int, list[tuple[int, ...]]] = {}
        for key in self._chains:
            self._keys.setdefault(key[0], []).append(key)
        self._steps: dict[tuple[int, ...], list[list[int]]] = {key: self._phases(key) for key in self._chains}

    def makespan_s(self) -> float:
        """Simulate; returns the end of the last call, seconds."""
        if self._run.is_open:
            for problem in self._waiting:
                self._fleet.at(self._arrived_s[problem], lambda problem=problem: self._open(problem))  # type: ignore[misc]
        else:
            self._admit()
        return self._fleet.run()

    def _phases(self, key: tuple[int, ...]) -> list[list[int]]:
        """What waits for what: each group is asked for when the one before it is over."""
        if not self._run.has_barrier:
            return [[index] for index in self._chains[key]]
        groups: dict[tuple[int, int], list[int]] = {}
        for index in self._chains[key]:
            call = self._run.calls[index]
            groups.setdefault((call.turn, _PHASE[call.kind]), []).append(index)
        return [groups[phase] for phase in sorted(groups)]

    def _admit(self) -> None:
        while self._waiting and len(self._left) < self._concurrency:
            self._open(self._waiting.pop(0))

    def _open(self, problem: int) -> None:
        self._left[problem] = len(self._keys[problem])
        for key in self._keys[problem]:
            self._next(key, 0)

    def _next(self, key: tuple[int, ...], step: int) -> None:
        steps = self._steps[key]
        if step == len(steps):
            self._left[key[0]] -= 1
            if not self._left[key[0]]:
                del self._left[key[0]]
                if not self._run.is_open:
                    self._admit()
            return
        remaining = [len(steps[step])]

        def over(index: int, call: FleetCall) -> None:
            self.durations_s[index] = call.ended_s - call.started_s
            remaining[0] -= 1
            if not remaining[0]:
                self._next(key, step + 1)

        for index in steps[step]:
            self._fleet.ask(self._fleet_call(index, over))

    def _fleet_call(self, index: int, over: Callable[[int, FleetCall], None]) -> FleetCall:
        record = self._run.calls[index]
        n_new = max(1, record.n_new_tokens) if record.kind != "score" else 0
        return FleetCall(
            record.role,
            record.kind,
            record.problem,
            record.sample,
            record.turn,
            max(1, self._prompts[record.role, record.problem]),
            max(1, record.n_prompt_tokens),
            n_new=n_new,
            steps=n_new + (0 < n_new < self._longest[record.kind]),
            max_tokens=n_new + 1,
            n_scored=max(1, record.n_scored_tokens) if record.kind == "score" else 0,
            on_end=lambda call: over(index, call),
        )
