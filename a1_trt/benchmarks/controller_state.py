"""The controllers of the strategies in a comparison, each with its own past, and that past as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Any

from a1_trt.benchmarks.strategies import fresh_controller
from a1_trt.config import Pair
from a1_trt.core.conformal import Candidate, Controller, Decision
from a1_trt.runtime.calibration import Recorded


class Pasts:
    """A controller a strategy, made when it is first asked for.

    Args:
        pair: The pair.
    """

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._controllers: dict[str, Controller] = {}
        self._decisions: dict[str, list[tuple[Any, ...]]] = {}

    def controller(self, name: str) -> Controller:
        """The controller of a strategy, with what it has seen so far."""
        if name not in self._controllers:
            kept = self._decisions.setdefault(name, [])

            def keep(candidate: Candidate, decision: Decision) -> None:
                kept.append((astuple(candidate), astuple(decision)))

            self._controllers[name] = Recorded(fresh_controller(name, self._pair), keep)
        return self._controllers[name]

    def forget(self) -> None:
        """Start anew: a repeat is another run."""
        self._controllers.clear()
        self._decisions.clear()

    def to_document(self) -> dict[str, Any]:
        """Every decision of every strategy, ready for JSON."""
        return {name: [list(each) for each in kept] for name, kept in self._decisions.items()}

    def restore(self, document: Mapping[str, Sequence[Sequence[Sequence[Any]]]]) -> None:
        """Let every controller live through what `to_document` wrote."""
        for name, kept in document.items():
            controller = self.controller(name)
            for candidate, decision in kept:
                score, category, problem, alpha, u, quota = candidate
                seen = Candidate(score, category, problem, alpha, u, quota and tuple(quota))
                controller.update(seen, Decision(*decision))
