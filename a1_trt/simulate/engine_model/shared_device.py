"""A processor that several simulated engines share, as draft and target do on one CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from a1_trt.simulate.engine_model.batch import Batch


class Processor:
    """Knows which engines are busy, so that each can slow down while another one is (`EngineCosts.shared_slowdown`).

    An iteration keeps the speed with which it starts; when another engine becomes busy or idle, the next one has
    another speed: processor sharing in steps of one iteration. With two equal engines that could each use the whole
    machine the slowdown is 2, with as many cores as threads and bandwidth enough it is 1.
    """

    def __init__(self) -> None:
        self._batches: list[Batch] = []

    def join(self, batch: Batch) -> None:
        self._batches.append(batch)

    def is_shared(self, batch: object) -> bool:
        """Whether another engine than that of `batch` is busy."""
        return any(other.is_busy for other in self._batches if other is not batch)

    def tell(self, batch: object, now_s: float) -> None:
        """A batch became busy or idle: have the others go on at their new speed."""
        for other in self._batches:
            if other is not batch and other.is_busy:
                other.cut(now_s)
