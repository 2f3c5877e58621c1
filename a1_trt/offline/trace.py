"""Reading the published traces: arrays in an .npz archive."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from a1_trt.benchmarks.statistics import Booleans, Floats, Integers
from a1_trt.offline.recording import MAX_BYTES, MAX_SEGMENTS, Recording, Samples, bad

TAKEOVER_PERCENTILE = 0.6
"""The published rule: the target takes over from this percentile of the score on."""

_REQUIRED = ("question", "sample", "turn", "ppl")
_OF_SAMPLES = ("sample_question", "sample_index", "sample_answer")
_OPTIONAL = ("percentile", "calibration_ppl", *_OF_SAMPLES)

# The published code writes this where it found no boxed answer.
_NO_ANSWER = ("", "invalid")

_Arrays: TypeAlias = Mapping[str, np.ndarray[Any, Any]]


def read_trace(path: Path) -> Recording:
    """The scored segments of a trace, in the order of the file.

    Args:
        path: The archive. It must hold `question`, `sample`, `turn` and `ppl`; `percentile`, `calibration_ppl`,
            `sample_question`, `sample_index` and `sample_answer` are used where they are there.

    Raises:
        InvalidRequestError: It is no such archive, or an array is missing, of the wrong kind or length, or holds a
            score that is infinite or negative. NaN is a segment that was never scored.
    """
    arrays = _checked(path, _load(path))
    codes, names = _in_order_of_appearance(arrays["question"])
    ppl = arrays["ppl"].astype(np.float64)
    scored = np.flatnonzero(~np.isnan(ppl))
    if not len(scored):
        raise bad(path, "holds no score", field="ppl")
    percentile = arrays.get("percentile")
    whole = Recording(
        name=path.name,
        problems=names,
        problem=codes,
        sample=arrays["sample"].astype(np.int64),
        turn=arrays["turn"].astype(np.int64),
        scores=ppl,
        n_unscored=len(ppl) - len(scored),
        samples=_samples(arrays, names),
        **_decisions(percentile),
        **_calibration(path, arrays, len(names)),
    )
    return whole.reordered(scored.astype(np.int64))


def _load(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays, none of them pickled, and no more of them than memory holds."""
    try:
        with zipfile.ZipFile(path) as archive:
            wanted = {f"{name}.npy" for name in (*_REQUIRED, *_OPTIONAL)}
            sizes = {info.filename: info.file_size for info in archive.infolist() if info.filename in wanted}
            if sum(sizes.values()) > MAX_BYTES:
                raise bad(path, f"unpacks to more than {MAX_BYTES} bytes", remedy="give a part of it")
        with np.load(path, allow_pickle=False) as stored:
            return {name[:-4]: stored[name[:-4]] for name in sizes}
    except (ValueError, EOFError, OSError, KeyError, MemoryError, zlib.error, zipfile.BadZipFile) as error:
        raise bad(path, f"is no readable .npz archive: {str(error) or type(error).__name__}") from None


def _checked(path: Path, arrays: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    missing = [name for name in _REQUIRED if name not in arrays]
    if missing:
        raise bad(path, f"lacks the array {missing[0]}", field=missing[0])
    kinds = {"question": "iuU", "sample_question": "iuU", "sample_answer": "USiuf"}
    kinds |= dict.fromkeys(("sample", "turn", "sample_index"), "iu")
    for name, array in arrays.items():
        if array.ndim != 1 or array.dtype.kind not in kinds.get(name, "fiu"):
            raise bad(path, f"has {name} of type {array.dtype} and shape {array.shape}", field=name)
    for names in ((*_REQUIRED, "percentile"), _OF_SAMPLES):
        lengths = {name: len(arrays[name]) for name in names if name in arrays}
        if len(set(lengths.values())) > 1:
            raise bad(path, f"has arrays of different lengths: {lengths}", field=names[0])
    if not 0 < len(arrays["ppl"]) <= MAX_SEGMENTS:
        raise bad(path, f"has {len(arrays['ppl'])} segments; wanted are 1 to {MAX_SEGMENTS}", field="ppl")
    if int(arrays["turn"].min()) < 0:
        raise bad(path, "has a turn below 0", field="turn")
    for name in ("ppl", "calibration_ppl"):
        if name in arrays:
            _check_scores(path, name, arrays[name], missing_allowed=name == "ppl")
    return arrays


def _check_scores(path: Path, name: str, scores: np.ndarray[Any, Any], *, missing_allowed: bool) -> None:
    wrong = np.isinf(scores) | (scores < 0) | (np.isnan(scores) & (not missing_allowed))
    if wrong.any():
        place = int(np.argmax(wrong))
        raise bad(
            path,
            f"has {name}[{place}] = {scores[place]}, which is no perplexity",
            field=name,
            remedy="give finite numbers of at least 0; NaN in ppl is a segment without a score",
        )


def _in_order_of_appearance(questions: np.ndarray[Any, Any]) -> tuple[Integers, tuple[str, ...]]:
    values, first, inverse = np.unique(questions, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(values), dtype=np.int64)
    rank[order] = np.arange(len(values))
    return rank[inverse], tuple(str(value) for value in values[order])


def _decisions(percentile: np.ndarray[Any, Any] | None) -> dict[str, Any]:
    """One minus the percentile is p, so p <= 0.4 is the published rule."""
    if percentile is None:
        return {}
    # The bound in the file's own precision: a stored 0.6 is a takeover in single precision, too.
    bound = float(percentile.dtype.type(TAKEOVER_PERCENTILE)) if percentile.dtype.kind == "f" else TAKEOVER_PERCENTILE
    ranks: Floats = percentile.astype(np.float64)
    takeovers: Booleans = ranks >= bound
    return {"p_values": 1.0 - ranks, "takeovers": takeovers, "margins": bound - ranks}


def _calibration(path: Path, arrays: _Arrays, n_problems: int) -> dict[str, Any]:
    """The calibration scores; they come problem by problem, as many of each."""
    scores = arrays.get("calibration_ppl")
    if scores is None:
        return {}
    if not len(scores):
        raise bad(path, "has an empty calibration_ppl", field="calibration_ppl")
    each, rest = divmod(len(scores), n_problems)
    problem = None if rest or not each else np.repeat(np.arange(n_problems), each)
    return {"calibration_scores": scores.astype(np.float64), "calibration_problem": problem}


def _samples(arrays: _Arrays, names: tuple[str, ...]) -> Samples | None:
    if any(name not in arrays for name in _OF_SAMPLES):
        return None
    number = {name: code for code, name in enumerate(names)}
    problem = np.asarray([number.get(str(question), -1) for question in arrays["sample_question"]], dtype=np.int64)
    known = np.flatnonzero(problem >= 0)
    texts = (str(text) for text in arrays["sample_answer"][known])
    answers = tuple(None if text in _NO_ANSWER else text for text in texts)
    return Samples(problem[known], arrays["sample_index"][known].astype(np.int64), answers)
