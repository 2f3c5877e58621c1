"""Past scores by category, and the p-value of a new one among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from a1_trt.core.conformal.calibration import CalibrationSet, p_value_of_counts
from a1_trt.core.conformal.controllers.lru import LRU, MAX_CATEGORIES
from a1_trt.core.conformal.stores import Store

ALL = "all"  # the category of a controller that has one pool for everything


class Pools:
    """One store per category; of very many categories, those that no score entered for longest are forgotten.

    Args:
        make: Makes an empty store.
        smoothed: Smoothed p-values, exactly uniform under exchangeability from the first score on; plain ones are never
            too small, and 1.0 as long as there is nothing to compare with.

    Example:
        >>> pools = Pools()
        >>> pools.p_value("turn 1", 1.5, u=0.3)
        0.3
        >>> pools.add("turn 1", 1.5)
        >>> pools.p_value("turn 1", 9.0, u=0.3), pools.sizes()
        (0.15, {'turn 1': 1})
    """

    def __init__(self, make: Callable[[], Store] = CalibrationSet, *, smoothed: bool = True) -> None:
        self._make = make
        self._smoothed = smoothed
        self._stores: LRU[str, Store] = LRU(MAX_CATEGORIES)
        self._nothing = make()

    def __len__(self) -> int:
        return sum(len(store) for store in self._stores.values())

    @property
    def stores(self) -> Mapping[str, Store]:
        return self._stores

    def sizes(self) -> dict[str, int]:
        """Number of scores by category, sorted by name."""
        return {name: len(self._stores[name]) for name in sorted(self._stores)}

    def p_value(self, category: str, score: float, u: float) -> float:
        """The p-value of a score among those of its category; it does not enter."""
        store = self._stores.get(category, self._nothing)
        return p_value_of_counts(*store.count(score), len(store), u=self.draw(u))

    def pooled_p_value(self, score: float, u: float) -> float:
        """The p-value among the scores of all categories: ranks add up, so this needs no store of its own."""
        counts = [store.count(score) for store in (*self._stores.values(), self._nothing)]
        return p_value_of_counts(sum(c[0] for c in counts), sum(c[1] for c in counts), len(self), u=self.draw(u))

    def draw(self, u: float) -> float | None:
        """The draw for a p-value, or None for the plain one."""
        return u if self._smoothed else None

    def add(self, category: str, score: float) -> None:
        store = self._stores.get(category)
        self._stores[category] = store = self._make() if store is None else store
        store.add(score)

    def remove(self, category: str, score: float) -> None:
        self._stores[category].remove(score)
