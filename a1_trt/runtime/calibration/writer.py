"""Keeping a calibration state on disk while it grows."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from a1_trt.core.conformal import Candidate, Controller, Decision
from a1_trt.errors import CalibrationError
from a1_trt.files import AppendLog, writing
from a1_trt.runtime.calibration.log import Batch, CalibrationLog, Provenance, batch_line, header_line, read_log

_LOG = logging.getLogger(__name__)

FLUSH_S = 2.0
"""Longest time a decision waits for the disk, seconds: what ``kill -9`` can lose."""


class CalibrationWriter:
    """Appends decisions to a file, from a thread of its own, so that nobody waits for the disk.

    Args:
        path: The file; it is made if it is not there. One writer at a time: replicas have files of their own, which
            `merge` joins.
        provenance: What the scores belong to.
        flush_s: Longest time a decision waits, seconds.
    """

    def __init__(self, path: Path, provenance: Provenance, *, flush_s: float = FLUSH_S) -> None:
        self.path = path
        self._name = uuid.uuid4().hex[:16]
        self._n_written = 0
        self._waiting: list[tuple[str, str, float, float, bool]] = []
        self._list = threading.Lock()
        self._disk = threading.Lock()
        self._closing = threading.Event()
        self._failed = False
        self._file = self._opened()
        try:
            self.log = self._continued(provenance)
        except BaseException:
            self._file.close()
            raise
        self._thread = threading.Thread(target=self._run, args=(flush_s,), name="calibration writer", daemon=True)
        self._thread.start()

    def append(self, candidate: Candidate, decision: Decision) -> None:
        """Keep a decision; it is on disk after the next flush."""
        row = (candidate.category, candidate.problem, candidate.score, candidate.alpha, decision.takeover)
        with self._list:
            self._waiting.append(row)

    def flush(self) -> None:
        """Write what waits, and return when it is on disk; where the disk refuses, it is kept for the next try."""
        with self._disk:
            with self._list:  # only ever held for a moment: `append` runs on an event loop
                rows, self._waiting = self._waiting, []
            if not rows:
                return
            try:
                with self._writing():
                    self._file.append(batch_line(Batch(self._name, self._n_written, time.time(), tuple(rows))))
            except CalibrationError:
                with self._list:
                    self._waiting = rows + self._waiting
                raise
            self._n_written += len(rows)

    def close(self) -> None:
        """Flush and free the file; a second call does nothing."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._thread.join()
        try:
            self.flush()
        finally:
            self._file.close()

    def _writing(self) -> AbstractContextManager[None]:
        remedy = "name a file that can be written"
        return writing(self.path, field="calibration", error=CalibrationError, remedy=remedy)

    def _opened(self) -> AppendLog:
        with self._writing():
            try:
                return AppendLog(self.path)
            except BlockingIOError:
                remedy = "give each replica a file of its own and join them with 'a1-trt calibrate merge'"
                message = f"{self.path} is in use by another process"
                raise CalibrationError(message, field="calibration", remedy=remedy) from None

    def _continued(self, provenance: Provenance) -> CalibrationLog:
        """Check what is there, and cut off a torn end."""
        # Without a whole first line a process died while it made the file: nothing is lost by starting anew.
        with self._writing(), self.path.open("rb") as file:
            is_new = b"\n" not in file.read(1 << 16)
        if is_new:
            self._file.truncate(0)
            with self._writing():
                self._file.append(header_line(provenance))
            return CalibrationLog(provenance, ())
        log = read_log(self.path)
        log.check(provenance)
        self._file.truncate(log.n_bytes)
        return log

    def _run(self, flush_s: float) -> None:
        while not self._closing.wait(flush_s):
            try:
                self.flush()
            except CalibrationError as error:
                if not self._failed:  # said once; solving goes on, and every flush tries again
                    _LOG.warning("%s", error)
                self._failed = True


class Recorded:
    """A controller whose decisions go to a listener, too, such as `CalibrationWriter.append`."""

    def __init__(self, controller: Controller, on_decision: Callable[[Candidate, Decision], object]) -> None:
        self._controller = controller
        self._on_decision = on_decision

    def __len__(self) -> int:
        return len(self._controller)

    def decide(self, candidate: Candidate) -> Decision:
        return self._controller.decide(candidate)

    def update(self, candidate: Candidate, decision: Decision) -> None:
        self._controller.update(candidate, decision)
        self._on_decision(candidate, decision)

    def sizes(self) -> dict[str, int]:
        return self._controller.sizes()
