"""Simulated changes of what is scored, in the middle of a recorded run: how soon is the rate back?

Everything here is simulated: recorded scores up to the change, recorded scores moved by a rule after it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from a1_trt.benchmarks.statistics import Booleans, Floats
from a1_trt.core.conformal import Candidate, ControllerSettings
from a1_trt.errors import InvalidRequestError
from a1_trt.offline.rates import WINDOW, rolling_rate
from a1_trt.offline.recording import Recording
from a1_trt.offline.run import Order, check_request, draws, in_order, prepared, turn_buckets

GRACE = 100  # decisions after the change that do not count
MIN_SEGMENTS = 2 * (GRACE + WINDOW)  # fewest segments of a recording that can be changed in its middle


@dataclass(frozen=True, slots=True)
class Shift:
    """What changes: scores in standard deviations (from the quartiles, so that outliers do not count)."""

    move: float = 0.0  # added to every later score
    spread: float = 1.0  # by which a later score's distance from the median grows
    category: str | None = None  # that all later segments belong to, if they form a new one
    feedback: float = 0.0  # added to the scores of a sample after a takeover of its segment before


SHIFTS: Mapping[str, Shift] = MappingProxyType(
    {
        "harder by 1 sd": Shift(move=1.0),
        "easier by 1 sd": Shift(move=-1.0),
        "spread doubled": Shift(spread=2.0),
        "new category, harder by 1 sd": Shift(move=1.0, category="new task"),
        "takeovers lower later scores by 1 sd": Shift(feedback=-1.0),
        "takeovers raise later scores by 1 sd": Shift(feedback=1.0),
    }
)


@dataclass(frozen=True, slots=True)
class Shifted:
    """A run with a change in its middle: takeovers, bool[n], and the place of the first changed score."""

    takeovers: Booleans
    start: int
    alpha: float

    @property
    def rate_after(self) -> float:
        """The rate over the 200 decisions that follow the first 100 changed ones."""
        first = self.start + GRACE
        return float(self.takeovers[first : first + WINDOW].mean())

    @property
    def error_after(self) -> float:
        return abs(self.rate_after - self.alpha)

    @property
    def worst_after(self) -> float:
        """The worst deviation of any 200 consecutive decisions from there on."""
        rates = rolling_rate(self.takeovers[self.start + GRACE :].astype(np.float64))
        return float(np.abs(rates - self.alpha).max())


def replay_shifted(
    recording: Recording,
    controller: str,
    alpha: float,
    shift: Shift,
    *,
    order: Order = "shuffled",
    seed: int = 0,
    settings: ControllerSettings | None = None,
) -> Shifted:
    """Replay a recording of at least 600 segments, whose scores change in the middle; arguments as of `replay`.

    In the order "shuffled" the change is the only one; in others it comes on top of those between problems.
    """
    check_request(controller, alpha, order, seed)
    n = len(recording)
    if n < MIN_SEGMENTS:
        message = f"{recording.name} has {n} scores, too few to change in the middle"
        raise InvalidRequestError(message, field="trace", remedy=f"give at least {MIN_SEGMENTS}")
    ordered = in_order(recording, order, seed)
    deciding = prepared(controller, settings or ControllerSettings(), ordered)
    names, bucket = turn_buckets(ordered.turn)
    middle, deviation = _robust(ordered.scores)
    offsets: dict[tuple[int, int], float] = {}
    takeovers = np.zeros(n, dtype=np.bool_)
    samples = list(zip(ordered.problem.tolist(), ordered.sample.tolist(), strict=True))
    start = n // 2
    for place, (score, u) in enumerate(zip(ordered.scores.tolist(), draws(n, seed), strict=True)):
        category = names[bucket[place]]
        if place >= start:
            score = middle + shift.spread * (score - middle)
            score += deviation * (shift.move + offsets.get(samples[place], 0.0))
            category = shift.category or category
        candidate = Candidate(score, category, ordered.problems[samples[place][0]], alpha, u)
        decision = deciding.decide(candidate)
        deciding.update(candidate, decision)
        takeovers[place] = decision.takeover
        if place >= start:
            offsets[samples[place]] = shift.feedback * decision.takeover
    return Shifted(takeovers, start, alpha)


def _robust(scores: Floats) -> tuple[float, float]:
    """Median, and the standard deviation that a normal law with these quartiles has."""
    low, middle, high = np.quantile(scores, (0.25, 0.5, 0.75))
    return float(middle), float(high - low) / 1.349
