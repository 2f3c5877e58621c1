"""Reading recordings: published traces (.npz), and the records that `a1-trt eval` writes (JSON lines)."""

from pathlib import Path
from typing import Any

import numpy as np

from a1_trt.benchmarks.statistics import Booleans, Floats, Integers
from a1_trt.benchmarks.traces import MAX_BYTES, TAKEOVER_PERCENTILE, Arrays, bad_trace, read_arrays
from a1_trt.offline.recording import Recording, Samples, in_served_order
from a1_trt.offline.records import read_records

_REQUIRED = ("question", "sample", "turn", "ppl")
_OF_SAMPLES = ("sample_question", "sample_index", "sample_answer")
_OPTIONAL = ("percentile", "calibration_ppl", *_OF_SAMPLES)

# The published code writes this where it found no boxed answer.
_NO_ANSWER = ("", "invalid")


def read_recording(path: Path) -> Recording:
    """A recording from its file, a trace (.npz) or records (JSON lines), checked from end to end, in served order."""
    try:
        with path.open("rb") as stream:
            head = stream.read(8)
        n_bytes = path.stat().st_size
    except OSError as error:
        raise bad_trace(path, f"cannot be read: {error.strerror}") from None
    if not head:
        raise bad_trace(path, "is empty")
    if n_bytes > MAX_BYTES:
        raise bad_trace(path, f"has {n_bytes} bytes, more than {MAX_BYTES}", remedy="give a part of it")
    if head[:2] == b"PK":
        return in_served_order(_read_trace(path))
    if head.lstrip()[:1] == b"{":
        return in_served_order(read_records(path))
    raise bad_trace(path, "is neither an .npz archive nor JSON lines")


def _read_trace(path: Path) -> Recording:
    arrays = read_arrays(path, _REQUIRED, _OPTIONAL)
    problem, names = _in_order_of_appearance(arrays["question"])
    scores = arrays["ppl"].astype(np.float64)
    scored = np.flatnonzero(~np.isnan(scores))
    if not len(scored):
        raise bad_trace(path, "holds no score", field="ppl")
    whole = Recording(
        name=path.name,
        problems=names,
        problem=problem,
        sample=arrays["sample"].astype(np.int64),
        turn=arrays["turn"].astype(np.int64),
        scores=scores,
        n_unscored=len(scores) - len(scored),
        samples=_samples(arrays, names),
        **_decisions(arrays),
        **_calibration(path, arrays, len(names)),
    )
    return whole.reordered(scored.astype(np.int64))


def _in_order_of_appearance(questions: np.ndarray[Any, Any]) -> tuple[Integers, tuple[str, ...]]:
    values, first, inverse = np.unique(questions, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(values), dtype=np.int64)
    rank[order] = np.arange(len(values))
    return rank[inverse], tuple(str(value) for value in values[order])


def _decisions(arrays: Arrays) -> dict[str, Any]:
    """One minus the percentile is p, so p <= 0.4 is the published rule."""
    percentile = arrays.get("percentile")
    if percentile is None:
        return {}
    # The bound in the file's own precision: a stored 0.6 is a takeover in single precision, too.
    bound = float(percentile.dtype.type(TAKEOVER_PERCENTILE)) if percentile.dtype.kind == "f" else TAKEOVER_PERCENTILE
    ranks: Floats = percentile.astype(np.float64)
    takeovers: Booleans = ranks >= bound
    return {"p_values": 1.0 - ranks, "takeovers": takeovers, "margins": bound - ranks}


def _calibration(path: Path, arrays: Arrays, n_problems: int) -> dict[str, Any]:
    """The calibration scores; they come problem by problem, as many of each."""
    scores = arrays.get("calibration_ppl")
    if scores is None:
        return {}
    if not len(scores):
        raise bad_trace(path, "has an empty calibration_ppl", field="calibration_ppl")
    n_each, rest = divmod(len(scores), n_problems)
    problem = None if rest or not n_each else np.repeat(np.arange(n_problems), n_each)
    return {"calibration_scores": scores.astype(np.float64), "calibration_problem": problem}


def _samples(arrays: Arrays, names: tuple[str, ...]) -> Samples | None:
    if any(name not in arrays for name in _OF_SAMPLES):
        return None
    number = {name: code for code, name in enumerate(names)}
    problem = np.asarray([number.get(str(question), -1) for question in arrays["sample_question"]], dtype=np.int64)
    known = np.flatnonzero(problem >= 0)
    texts = (str(text) for text in arrays["sample_answer"][known])
    answers = tuple(None if text in _NO_ANSWER else text for text in texts)
    return Samples(problem[known], arrays["sample_index"][known].astype(np.int64), answers)
