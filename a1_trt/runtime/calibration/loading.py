"""What a pair starts with: its stored decisions, and a controller that has been told them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from importlib import metadata

from a1_trt.config import Pair
from a1_trt.core.conformal import Controller, make_controller
from a1_trt.runtime.calibration.log import CalibrationLog, Provenance, read_log
from a1_trt.types import Problem

_PACKAGES = {"openvino": "openvino-genai", "tensorrt_llm": "tensorrt_llm"}


def provenance_of(pair: Pair) -> Provenance:
    package = _PACKAGES[pair.target.engine]
    engine = f"{package} {_version(package)} {pair.target.precision}"
    return Provenance(pair.fingerprint(), pair.conformal.score, pair.conformal.category, engine)


def stored_log(pair: Pair) -> CalibrationLog | None:
    """The decisions in the pair's calibration file, if it names one.

    A missing file is a `CalibrationError`, unless the pair keeps its decisions in it.
    """
    path = pair.calibration_path()
    if path is None or (pair.conformal.keep and not path.exists()):
        return None
    log = read_log(path)
    log.check(provenance_of(pair))
    return log


def check_held_out(pair: Pair, problems: Sequence[Problem], *, allow: bool = False) -> int:
    """How many of the problems the pair's stored decisions were made on.

    Raises:
        CalibrationError: There are some, and that is not allowed: figures measured on them flatter.
    """
    log = stored_log(pair)
    if log is None:
        return 0
    if not allow:
        log.check_unused(problems)
    return len(log.used(problems))


def controller_of(pair: Pair, log: CalibrationLog | None = None) -> Controller:
    """The pair's controller, in the state that the decisions of a log have left it in.

    Example:
        >>> from a1_trt.config import make_pair
        >>> len(controller_of(make_pair({"name": "p", "draft": {"model": "d"}, "target": {"model": "t"}})))
        0
    """
    conformal = pair.conformal
    scores: dict[str, list[float]] = defaultdict(list)
    for batch in log.batches if log else ():
        for category, _, score, _, _ in batch.decisions:
            scores[category].append(score)
    settings = conformal.settings(pair.scheduler.n_samples)
    controller = make_controller(conformal.controller, settings, calibration_scores=scores)
    if log is not None:
        log.restore(controller)
    return controller


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "?"
