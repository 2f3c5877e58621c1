"""When problems arrive: in a closed loop, or by chance."""

from __future__ import annotations

import random
from dataclasses import dataclass

from a1_trt.errors import InvalidRequestError


@dataclass(frozen=True, slots=True)
class Arrivals:
    """A closed loop of `n_in_flight` problems, or an open one in which problems arrive at `rate_per_s` by chance.

    Args:
        n_in_flight: Closed loop: problems at work at once; the next one arrives when one is done.
        rate_per_s: Open loop: arrivals a second of a Poisson process, whoever is still at work.
        seed: Seed of the open loop's gaps.

    Raises:
        InvalidRequestError: Neither or both are given, or one is not above 0.

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
        if (self.n_in_flight is None) == (self.rate_per_s is None):
            raise InvalidRequestError(
                "arrivals need either n_in_flight or rate_per_s", field="arrivals", remedy="give one of the two"
            )
        if self.n_in_flight is not None and self.n_in_flight < 1:
            raise InvalidRequestError(
                f"n_in_flight is {self.n_in_flight}", field="n_in_flight", remedy="choose at least 1"
            )
        if self.rate_per_s is not None and not 0.0 < self.rate_per_s < 1e9:
            raise InvalidRequestError(
                f"rate_per_s is {self.rate_per_s}", field="rate_per_s", remedy="choose a rate above 0"
            )

    def times_s(self, n_problems: int) -> list[float] | None:
        """When each problem arrives, seconds from the start, float64[n_problems]; None in a closed loop."""
        if self.rate_per_s is None:
            return None
        chance = random.Random(self.seed)  # noqa: S311  reproducible on purpose
        now_s, times_s = 0.0, []
        for _ in range(n_problems):
            now_s += chance.expovariate(self.rate_per_s)
            times_s.append(now_s)
        return times_s
