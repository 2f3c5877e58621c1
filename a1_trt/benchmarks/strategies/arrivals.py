"""When problems arrive: in a closed loop, or by chance."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import accumulate

from a1_trt.errors import InvalidRequestError


@dataclass(frozen=True, slots=True)
class Arrivals:
    """A closed loop of `n_in_flight` problems, or an open one in which problems arrive at `rate_per_s` by chance.

    Args:
        n_in_flight: Closed loop: problems at work at once; the next one arrives when one is done.
        rate_per_s: Open loop: arrivals a second of a Poisson process, whoever is still at work.
        seed: Seed of the open loop's gaps.

    Example:
        >>> Arrivals(n_in_flight=4).times_s(3) is None
        True
        >>> [round(time, 2) for time in Arrivals(rate_per_s=2.0, seed=1).times_s(3)]
        [0.07, 1.01, 1.73]
    """

    n_in_flight: int | None = None
    rate_per_s: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        n_in_flight, rate = self.n_in_flight, self.rate_per_s
        if (n_in_flight is None) == (rate is None):
            message = "arrivals need either n_in_flight or rate_per_s"
            raise InvalidRequestError(message, field="arrivals", remedy="give one of the two")
        if n_in_flight is not None and n_in_flight < 1:
            raise InvalidRequestError(f"n_in_flight is {n_in_flight}", field="n_in_flight", remedy="choose at least 1")
        if rate is not None and not 0.0 < rate < 1e9:
            raise InvalidRequestError(f"rate_per_s is {rate}", field="rate_per_s", remedy="choose a rate above 0")

    def times_s(self, n_problems: int) -> list[float] | None:
        """When each problem arrives, seconds from the start, float64[n_problems]; None in a closed loop."""
        return None if self.rate_per_s is None else poisson(n_problems, self.rate_per_s, self.seed)


def poisson(n_problems: int, rate_per_s: float, seed: int | str) -> list[float]:
    """Arrival times of a Poisson process, seconds, float64[n_problems]."""
    chance = random.Random(seed)  # noqa: S311  reproducible on purpose
    return list(accumulate(chance.expovariate(rate_per_s) for _ in range(n_problems)))
