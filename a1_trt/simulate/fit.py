"""The few constants of a pair's engines, fitted to the calls of real runs, and how well they predict the other runs.

Free are, for each role, the seconds of an iteration, of a generated token, of a prefilled token and of a call beside
its iterations, and, where both engines share one processor, the factor by which an iteration takes longer while the
other engine is busy. The fit replays the recorded calls in the simulator and makes these agree, as logarithms of
simulated over recorded:

    the makespan of every run, with weight 8, and mean durations, with weight 1, of halves of the calls of each kind:
    the shorter and the longer ones, and those that found few and many others in flight

by the search of `least_squares.py` over the logarithms of the constants. Large residuals count linearly instead of
squared, so that a run which something else on the machine has disturbed does not bend the others; a weak pull to the
starting values keeps constants at bay which the runs say nothing about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, count
from typing import Any

import numpy as np

from a1_trt.errors import InvalidRequestError
from a1_trt.simulate.call_log import RecordedRun
from a1_trt.simulate.call_replay import Coupling
from a1_trt.simulate.engines import engines_document
from a1_trt.simulate.least_squares import Vector, minimum, most_evaluations
from a1_trt.simulate.prediction import LONGEST_CALL_S, Constants, compared, plans_of, predict
from a1_trt.types import ROLES, Role

MAX_TRAINING_CALLS = 8_000
_PULL = 0.005
_SHARES = (0.5, 0.2)
"""Where the searches start: the share of a call's time that is its iterations' rather than its tokens'."""


@dataclass(frozen=True, slots=True)
class _Model:
    """Constants of both roles as one vector of logarithms, and back."""

    roles: tuple[Role, ...]
    shared: bool

    @property
    def n_constants(self) -> int:
        return (5 if self.shared else 4) * len(self.roles)

    def pack(self, constants: Mapping[Role, Constants]) -> Vector:
        values: list[float] = []
        for role in self.roles:
            role_constants = constants[role]
            values += [role_constants.overhead_s, role_constants.decode_s, role_constants.prefill_s]
            values += [max(role_constants.call_s, 1e-6)]
            values += [max(role_constants.slowdown - 1, 1e-3)] if self.shared else []
        return np.log(values)

    def unpack(self, vector: Vector) -> dict[Role, Constants]:
        constants = {}
        for role, logarithms in zip(self.roles, np.split(vector, len(self.roles)), strict=True):
            overhead_s, decode_s, prefill_s, call_s, *extra = np.exp(np.clip(logarithms, -40.0, 5.0)).tolist()
            slowdown = 1 + sum(extra)
            constants[role] = Constants(overhead_s, decode_s, prefill_s, min(call_s, LONGEST_CALL_S), slowdown)
        return constants

    @property
    def coupling(self) -> Coupling:
        return "shared" if self.shared else "none"


@dataclass(frozen=True, slots=True)
class _Fitted:
    loss: float
    model: _Model
    constants: dict[Role, Constants]


def fit_runs(
    runs: Sequence[RecordedRun],
    *,
    holdout: Sequence[str] = (),
    shared: bool | None = None,
    on_step: Callable[[int, int], object] = lambda *_: None,
) -> dict[str, Any]:
    """Fit the constants to some runs and predict the others.

    Args:
        runs: Recorded runs.
        holdout: Strategies to hold out. When none is named: every other run of each, so that a machine which slows
            down or speeds up meanwhile bends neither half; where each has one alone, the calls of every other problem.
        shared: Whether the engines share one processor; the better one of both when None.
        on_step: Told how many simulations are done, and how many there will be at most.

    Returns:
        ``engines`` (for ``--engines``), ``runs`` with their errors, ``ratios`` between strategies, the largest errors
        on runs that were and were not seen, how far the recorded runs of a strategy lie apart, and ``calls``, where
        calls were held out.
    """
    seen, unseen = _divided(runs, holdout)
    training = _trimmed(seen)
    roles = tuple(role for role in ROLES if any(call.role == role for run in training for call in run.calls))
    models = [_Model(roles, option) for option in ([False, True] if shared is None else [shared])]
    n_most = len(training) * len(_SHARES) * sum(most_evaluations(model.n_constants) for model in models)
    numbers = count(1)

    def step() -> None:
        on_step(next(numbers), n_most)

    fits = [_fit(training, model, step, parity=None if unseen else 0) for model in models]
    on_step(n_most, n_most)
    return _document(min(fits, key=lambda fitted: fitted.loss), seen, unseen, sum(len(run.calls) for run in training))


def _document(
    fitted: _Fitted, seen: Sequence[RecordedRun], unseen: Sequence[RecordedRun], n_training_calls: int
) -> dict[str, Any]:
    runs, model, constants = [*seen, *unseen], fitted.model, fitted.constants
    documents = [predict(run, constants, model.coupling).document(held_out=run in unseen) for run in runs]
    in_flight: dict[Role, int] = {role: max(run.in_flight(role) for run in runs) for role in ROLES}
    ratios = _ratios(documents, [run.strategy for run in unseen])
    return {
        "recorded_spread": _spread(runs),
        "engines": engines_document(plans_of(constants, in_flight), model.shared),
        "constants": {role: asdict(role_constants) for role, role_constants in constants.items()},
        "shared_processor": model.shared,
        "loss": fitted.loss,
        "n_training_calls": n_training_calls,
        "runs": documents,
        "calls": [] if unseen else [_held_out_calls(run, fitted) for run in seen],
        "ratios": ratios,
        "largest_error": {
            "makespan_seen": _largest(documents, held_out=False),
            "makespan_held_out": _largest(documents, held_out=True),
            "ratio": max((abs(item["error"]) for item in ratios), default=None),
        },
    }


def _held_out_calls(run: RecordedRun, fitted: _Fitted) -> dict[str, Any]:
    """Mean durations of the calls of those problems that the fit did not look at."""
    prediction = predict(run, fitted.constants, fitted.model.coupling, parity=1)
    return {
        "strategy": run.strategy,
        "repeat": run.repeat,
        "held_out": "calls of odd problems",
        "call_s": prediction.document(held_out=True)["call_s"],
    }


def _divided(runs: Sequence[RecordedRun], holdout: Sequence[str]) -> tuple[list[RecordedRun], list[RecordedRun]]:
    known = {run.strategy for run in runs}
    for name in holdout:
        if name not in known:
            message = f"no run of {name!r} was recorded"
            raise InvalidRequestError(message, field="holdout", remedy=f"choose from {', '.join(sorted(known))}")
    unseen = [run for run in runs if (run.strategy in holdout if holdout else run.repeat % 2)]
    seen = [run for run in runs if run not in unseen]
    if not seen:
        raise InvalidRequestError("nothing is left to fit", field="holdout", remedy="hold out fewer strategies")
    return seen, unseen


def _trimmed(seen: Sequence[RecordedRun]) -> list[RecordedRun]:
    """At most so many calls, by whole runs, of every strategy in turn."""
    chosen: list[RecordedRun] = []
    n_calls = 0
    for run in sorted(seen, key=lambda run: (run.repeat, run.strategy)):
        new = run.strategy not in {other.strategy for other in chosen}
        if new or n_calls + len(run.calls) <= MAX_TRAINING_CALLS:
            chosen.append(run)
            n_calls += len(run.calls)
    return chosen


def _fit(runs: Sequence[RecordedRun], model: _Model, step: Callable[[], None], parity: int | None) -> _Fitted:
    starts = [model.pack(_first_guess(runs, model.roles, share)) for share in _SHARES]

    def residuals(vector: Vector) -> Vector:
        values: list[float] = []
        for run in runs:
            values += predict(run, model.unpack(vector), model.coupling, parity=parity).residuals()
            step()
        return np.array([*values, *_PULL * (vector - starts[0])])

    loss, best = min((minimum(start, residuals) for start in starts), key=lambda result: result[0])
    return _Fitted(loss, model, model.unpack(best))


def _first_guess(runs: Sequence[RecordedRun], roles: Sequence[Role], share: float) -> dict[Role, Constants]:
    """A share of the pace of a role's calls for the iteration, the rest for its tokens."""
    guesses = {}
    for role in roles:
        calls = [call for run in runs for call in run.calls if call.role == role]
        steps = sum(max(1, call.n_new_tokens) for call in calls)
        pace_s = max(1e-7, sum(call.duration_s for call in calls) / steps)
        crowd = max(1, sum(run.in_flight(role) for run in runs) // len(runs))
        guesses[role] = Constants(share * pace_s, (1 - share) * pace_s / crowd, pace_s / 8 / crowd, 1e-3, 1.5)
    return guesses


def _ratios(documents: Sequence[Mapping[str, Any]], held_out: Sequence[str]) -> list[dict[str, Any]]:
    """Mean makespans of each two strategies, over each other; of runs that were held out, where there are any."""
    means: dict[str, tuple[float, float]] = {}
    for name in dict.fromkeys(document["strategy"] for document in documents):
        chosen = [item for item in documents if item["strategy"] == name]
        chosen = [item for item in chosen if item["held_out"]] or chosen
        sums = [sum(item["makespan_s"][key] for item in chosen) / len(chosen) for key in ("recorded", "simulated")]
        means[name] = (sums[0], sums[1])
    return [
        {
            "strategies": [one, other],
            **compared(means[one][0] / means[other][0], means[one][1] / means[other][1]),
            "held_out": one in held_out or other in held_out,
        }
        for one, other in combinations(means, 2)
    ]


def _spread(runs: Sequence[RecordedRun]) -> dict[str, float]:
    """Largest over smallest recorded makespan of each strategy: no prediction is better than the machine's own."""
    makespans: dict[str, list[float]] = {}
    for run in runs:
        makespans.setdefault(run.strategy, []).append(run.makespan_s)
    return {name: max(values) / min(values) for name, values in makespans.items() if len(values) > 1}


def _largest(documents: Sequence[Mapping[str, Any]], *, held_out: bool) -> float | None:
    errors = [abs(item["makespan_s"]["error"]) for item in documents if item["held_out"] == held_out]
    return max(errors, default=None)
