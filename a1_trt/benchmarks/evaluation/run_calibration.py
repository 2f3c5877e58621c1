"""The online calibration of an evaluation, kept in its folder, so that a second start goes on with it."""

import time
from collections.abc import Set
from pathlib import Path

from a1_trt.config import Pair
from a1_trt.core.conformal.controllers.registry import CALIBRATED
from a1_trt.runtime.calibration import Batch, CalibrationLog, provenance_of, read_log, stored_log, write_log

FILE = "calibration.jsonl"


def with_own_past(pair: Pair, folder: Path, done: Set[str]) -> Pair:
    """The pair, with a calibration file of its own in the folder; the pair's own file is read and never written.

    Decisions of problems that were in flight when the last start stopped (whose keys are not in `done`) are left out:
    those problems are solved again, and no score may be ranked among its own.
    """
    if pair.conformal.controller in CALIBRATED:  # these decide by what was stored before, and learn nothing
        return pair.model_copy(update={"conformal": pair.conformal.model_copy(update={"keep": False})})
    path = (folder / FILE).absolute()
    stored = stored_log(pair)
    decisions = [row for batch in stored.batches for row in batch.decisions] if stored else []
    if _is_whole(path):
        kept = done | (stored.problems if stored else frozenset())
        decisions = [row for batch in read_log(path).batches for row in batch.decisions if row[1] in kept]
    batches = (Batch("restored", 0, time.time(), tuple(decisions)),) if decisions else ()
    write_log(path, CalibrationLog(provenance_of(pair), batches))
    own = pair.conformal.model_copy(update={"calibration": str(path), "keep": True})
    return pair.model_copy(update={"conformal": own})


def _is_whole(path: Path) -> bool:
    if not path.exists():
        return False
    with path.open("rb") as file:
        return file.readline().endswith(b"\n")
