"""What a comparison measures, and in which order."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, product
from typing import Literal, NamedTuple

from a1_trt.benchmarks.strategies import Arrivals, strategy_of
from a1_trt.errors import InvalidRequestError


class Cell(NamedTuple):
    """One strategy on one block of problems, in one setting and repeat."""

    strategy: str
    n_samples: int
    max_turns: int
    repeat: int
    block: int

    @property
    def group(self) -> tuple[int, int, int]:
        """Cells of a group share controllers."""
        return self.n_samples, self.max_turns, self.repeat


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured; InvalidRequestError for an unknown strategy, one named twice, or a number below 1."""

    strategies: tuple[str, ...]  # names out of `STRATEGIES`; the first is compared with each of the others
    n_samples: tuple[int, ...]  # every one is a setting of its own
    max_turns: tuple[int, ...]  # likewise
    repeats: int = 1  # each with the next seed and with fresh controllers
    blocks: int = 4  # parts that the problems are dealt out into; in each, strategies alternate
    seed: int = 0  # of the first repeat
    n_in_flight: int | None = 8  # closed loop: problems at work at once
    rate_per_s: float | None = None  # instead: arrivals a second
    keep_calls: Literal["first", "all", "none"] = "first"  # repeats whose calls stay in the file

    def __post_init__(self) -> None:
        for name in self.strategies:
            strategy_of(name)
        if not self.strategies or len(set(self.strategies)) < len(self.strategies):
            message = f"strategies are {', '.join(self.strategies)}"
            raise InvalidRequestError(message, field="strategies", remedy="name each one once")
        numbers = {"n_samples": self.n_samples, "max_turns": self.max_turns}
        for field, values in {**numbers, "repeats": (self.repeats,), "blocks": (self.blocks,)}.items():
            if not values or min(values) < 1:
                message = f"{field} is {getattr(self, field)}"
                raise InvalidRequestError(message, field=field, remedy="give whole numbers of at least 1")
        self.arrivals(0)

    def arrivals(self, repeat: int) -> Arrivals:
        return Arrivals(n_in_flight=self.n_in_flight, rate_per_s=self.rate_per_s, seed=self.seed + repeat)

    def keeps_calls(self, repeat: int) -> bool:
        return self.keep_calls == "all" or (self.keep_calls == "first" and repeat == 0)

    def cells(self) -> Iterator[Cell]:
        turns = count()
        for repeat in range(self.repeats):
            for (n_samples, max_turns), block in product(self.settings(), range(self.blocks)):
                for name in order_of(self.strategies, next(turns)):
                    yield Cell(name, n_samples, max_turns, repeat, block)

    def settings(self) -> list[tuple[int, int]]:
        return list(product(self.n_samples, self.max_turns))


def order_of(names: Sequence[str], turn: int) -> list[str]:
    """The order of the strategies in a block: every one leads as often as another, and two of them swap."""
    shift = turn % len(names)
    return [*names[shift:], *names[:shift]]


def blocks_for(n_problems: int, per_block: int = 25) -> int:
    """Blocks of about so many problems: fewer would mostly measure how a block begins and ends."""
    return max(1, math.ceil(n_problems / per_block))
