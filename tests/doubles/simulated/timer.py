"""What drives a batch on an event loop: callbacks of the running loop, and no task to look after."""

from __future__ import annotations

import asyncio

from a1_trt.simulate.engine_model.batch import Batch
from a1_trt.simulate.engine_model.sequences import Sequence


class Clockwork:
    """Comes back to a batch at each of its boundaries.

    Args:
        batch: The batch.
    """

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        batch.on_cut = self._wind
        self._timer: asyncio.TimerHandle | None = None

    async def carry_out(self, sequence: Sequence) -> None:
        """Queue a request and wait until the batch is through with it; cancelling frees its slot and blocks at once."""
        loop = asyncio.get_running_loop()
        finished: asyncio.Future[None] = loop.create_future()
        sequence.owner = finished
        self._batch.submit(sequence, loop.time())
        try:
            await finished
        finally:
            self._batch.withdraw(sequence, loop.time())

    def abort(self, error: Exception) -> None:
        """End every request with `error` and stop."""
        for sequence in self._batch.clear():
            if not sequence.owner.done():
                sequence.owner.set_exception(error)
        self._wind()

    def _wind(self) -> None:
        """Set the timer to the batch's next boundary."""
        due_s = self._batch.due_s
        if self._timer:
            if self._timer.when() == due_s:
                return
            self._timer.cancel()
        self._timer = None if due_s is None else asyncio.get_running_loop().call_at(due_s, self._boundary)

    def _boundary(self) -> None:
        self._timer = None
        due_s = self._batch.due_s
        for sequence in self._batch.book():
            if not sequence.owner.done():
                sequence.owner.set_result(None)
        if due_s is not None:
            self._batch.launch(due_s)
        self._wind()
