"""Recorded scores through a controller, one after the other, as if they came from engines."""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from a1_trt.benchmarks.statistics import Booleans, Floats, Integers
from a1_trt.core.conformal import CONTROLLERS, Candidate, Controller, ControllerSettings, category_of, make_controller
from a1_trt.core.conformal.controllers.registry import CALIBRATED
from a1_trt.errors import CalibrationError, InvalidRequestError
from a1_trt.offline.recording import Recording, in_served_order, interleaved, permuted, shuffled

Order = Literal["served", "permuted", "interleaved", "shuffled"]
"""- served: problem by problem as recorded;
- permuted: the same with the problems in random order;
- interleaved: 16 problems at once, a segment of each in turn;
- shuffled: all segments in random order, which makes them exchangeable."""

_PART = 65_536  # decisions that are held as objects at once
FIRST_TURN = category_of("turn", 0, "")


@dataclass(frozen=True)
class Replay:
    """What a controller decided on a recording's segments, which are in the order of the decisions."""

    recording: Recording
    controller: str
    alpha: float
    order: Order
    seed: int
    settings: ControllerSettings
    p_values: Floats  # arrays are of n decisions
    takeovers: Booleans
    buckets: tuple[str, ...]  # names of the categories, in order of their turns
    bucket: Integers  # category of each decision
    forced: dict[str, int] = field(default_factory=dict)  # how often each hard limit overruled the controller
    seconds_per_decision: float = 0.0  # of `decide` and `update`


def replay(
    recording: Recording,
    controller: str,
    alpha: float,
    *,
    order: Order = "served",
    seed: int = 0,
    settings: ControllerSettings | None = None,
) -> Replay:
    """Let a controller of `a1_trt.core.conformal.CONTROLLERS` decide on every recorded score.

    A replay leaves the scores as they are: a takeover does not change what comes later in its sample. The seed is that
    of the order and of the draws that break ties. CalibrationError: there are none of the scores that it calibrates by.
    """
    check_request(controller, alpha, order, seed)
    settings = settings or ControllerSettings()
    ordered = in_order(recording, order, seed)
    buckets, bucket = turn_buckets(ordered.turn)
    deciding = prepared(controller, settings, ordered)
    p_values, takeovers, forced, seconds = _decide(deciding, ordered, [buckets[code] for code in bucket], alpha, seed)
    asked = (ordered, controller, alpha, order, seed, settings)
    return Replay(*asked, p_values, takeovers, buckets, bucket, forced, seconds / len(ordered))


def check_request(controller: str, alpha: float, order: str, seed: int) -> None:
    if controller not in CONTROLLERS:
        message = f"there is no controller {controller!r}"
        raise InvalidRequestError(message, field="controller", remedy=f"choose from {', '.join(CONTROLLERS)}")
    if not 0.0 < alpha < 1.0:
        raise InvalidRequestError(f"alpha is {alpha}", field="alpha", remedy="choose a rate in (0, 1), such as 0.4")
    if order not in get_args(Order):
        message = f"order is {order!r}"
        raise InvalidRequestError(message, field="order", remedy=f"choose from {', '.join(get_args(Order))}")
    if not 0 <= seed < 2**63:
        raise InvalidRequestError(f"seed is {seed}", field="seed", remedy="give a whole number from 0 to 2^63 - 1")


def in_order(recording: Recording, order: Order, seed: int) -> Recording:
    if order in ("shuffled", "permuted"):
        return (shuffled if order == "shuffled" else permuted)(recording, seed)
    return interleaved(recording) if order == "interleaved" else in_served_order(recording)


def turn_buckets(turn: Integers) -> tuple[tuple[str, ...], Integers]:
    turns, inverse = np.unique(turn, return_inverse=True)
    of_turn = [category_of("turn", int(value), "") for value in turns]
    names = tuple(dict.fromkeys(of_turn))
    codes = np.asarray([names.index(name) for name in of_turn], dtype=np.int64)
    return names, codes[inverse]


def prepared(controller: str, settings: ControllerSettings, recording: Recording) -> Controller:
    needs = controller in CALIBRATED
    scores = recording.calibration_scores if needs else None
    if needs and scores is None:
        raise CalibrationError(
            f"{recording.name} has no calibration scores (calibration_ppl), which {controller} decides by",
            field="calibration_ppl",
            remedy="choose a controller that calibrates itself, such as two-level",
        )
    by_category = None if scores is None else {FIRST_TURN: scores.tolist()}
    return make_controller(controller, settings, calibration_scores=by_category)


def draws(n: int, seed: int) -> list[float]:
    """Uniform draws in (0, 1), both ends excluded."""
    us: list[float] = np.clip(np.random.default_rng([seed, 2]).random(n), 2.0**-54, None).tolist()
    return us


def _decide(
    controller: Controller, recording: Recording, categories: list[str], alpha: float, seed: int
) -> tuple[Floats, Booleans, dict[str, int], float]:
    """p-values, takeovers, forced decisions by limit, and the seconds that the controller took."""
    n = len(recording)
    p_values, takeovers, forced, seconds = np.zeros(n), np.zeros(n, dtype=np.bool_), Counter[str](), 0.0
    us = draws(n, seed)
    for start in range(0, n, _PART):
        part = slice(start, start + _PART)
        names = [recording.problems[code] for code in recording.problem[part]]
        rows = zip(recording.scores[part].tolist(), categories[part], names, us[part], strict=True)
        candidates = [Candidate(score, category, name, alpha, u) for score, category, name, u in rows]
        decisions = []
        began = time.perf_counter()
        for candidate in candidates:
            decision = controller.decide(candidate)
            controller.update(candidate, decision)
            decisions.append(decision)
        seconds += time.perf_counter() - began
        p_values[part] = [decision.p_value for decision in decisions]
        takeovers[part] = [decision.takeover for decision in decisions]
        forced.update(decision.forced for decision in decisions if decision.forced)
    return p_values, takeovers, dict(forced), seconds
