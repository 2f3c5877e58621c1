"""The arrays of a published trace (.npz): bounded in size, nothing pickled, checked against each other."""

import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, TypeAlias

import numpy as np

from a1_trt.errors import InvalidRequestError

_NPY: Any = np.lib.format  # numpy does not type it
Arrays: TypeAlias = Mapping[str, np.ndarray[Any, Any]]
TAKEOVER_PERCENTILE = 0.6  # the published rule: the target takes over from this percentile of the score on
MAX_BYTES = 1 << 30  # largest recording, bytes, unpacked
MAX_SEGMENTS = 10_000_000  # most segments of a recording
MAX_TEXT_BYTES = 1 << 16  # longest text in an array of texts, bytes: every entry takes as much memory as the longest
_SEGMENTS = ("question", "sample", "turn", "ppl", "percentile", "segment_chars", "continuation_chars")
_SAMPLES = ("sample_question", "sample_index", "sample_answer", "sample_turns", "sample_duration_s")
_KINDS = MappingProxyType(
    {"question": "iuU", "sample_question": "iuU", "sample_answer": "USiuf"}
    | dict.fromkeys(("sample", "turn", "segment_chars", "continuation_chars", "sample_index", "sample_turns"), "iu")
)
_FAULTS = (ValueError, EOFError, KeyError, MemoryError, zlib.error, zipfile.BadZipFile, NotImplementedError)


def read_arrays(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays of a trace: one entry a segment, or one a sample (`sample_...`), or one a calibration score.

    NaN is a segment that was never scored; infinite and negative scores are refused.
    """
    arrays = _load(path, {*required, *optional})
    for name in required:
        if name not in arrays:
            raise bad_trace(path, f"lacks the array {name}", field=name)
    for name, array in arrays.items():
        if array.ndim != 1 or array.dtype.kind not in _KINDS.get(name, "fiu"):
            raise bad_trace(path, f"has {name} of type {array.dtype} and shape {array.shape}", field=name)
    for names in (_SEGMENTS, _SAMPLES):
        lengths = {name: len(arrays[name]) for name in names if name in arrays}
        if len(set(lengths.values())) > 1:
            raise bad_trace(path, f"has arrays of different lengths: {lengths}", field=names[0])
    if not 0 < len(arrays["ppl"]) <= MAX_SEGMENTS:
        message = f"has {len(arrays['ppl'])} segments; the limits are 1 and {MAX_SEGMENTS}"
        raise bad_trace(path, message, field="ppl")
    if int(arrays["turn"].min()) < 0:
        raise bad_trace(path, "has a turn below 0", field="turn")
    for name in {"ppl", "calibration_ppl"} & arrays.keys():
        _check_scores(path, name, arrays[name], missing_allowed=name == "ppl")
    return arrays


def bad_trace(path: Path, what: str, *, field: str = "trace", remedy: str | None = None) -> InvalidRequestError:
    """The error that every fault of a trace or of records becomes."""
    remedy = remedy or "give a trace (.npz) or records of 'a1-trt eval' (JSON lines)"
    return InvalidRequestError(f"{path} {what}", field=field, remedy=remedy)


def _load(path: Path, names: set[str]) -> dict[str, np.ndarray[Any, Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename[:-4]: info for info in archive.infolist() if info.filename[-4:] == ".npy"}
            members = {name: members[name] for name in members.keys() & names}
            if sum(info.file_size for info in members.values()) > MAX_BYTES:
                raise bad_trace(path, f"unpacks to more than {MAX_BYTES} bytes", remedy="give a part of it")
            arrays = {}
            for name, info in members.items():
                with archive.open(info) as stream:
                    _check_size(path, name, stream)
                with archive.open(info) as stream:
                    arrays[name] = _NPY.read_array(stream, allow_pickle=False)
            return arrays
    except InvalidRequestError:  # which is a ValueError, too
        raise
    except OSError as error:
        raise bad_trace(path, f"cannot be read: {error.strerror or error}") from None
    except _FAULTS as error:
        raise bad_trace(path, f"is not a readable .npz archive: {str(error) or type(error).__name__}") from None


def _check_size(path: Path, name: str, stream: IO[bytes]) -> None:
    version = _NPY.read_magic(stream)
    read_header = _NPY.read_array_header_1_0 if version == (1, 0) else _NPY.read_array_header_2_0
    shape, _, dtype = read_header(stream)
    n_array = math.prod(shape) * dtype.itemsize
    for what, n_bytes, limit in (("entries", dtype.itemsize, MAX_TEXT_BYTES), ("an array", n_array, MAX_BYTES)):
        if n_bytes > limit:
            raise bad_trace(path, f"has {name} with {what} of {n_bytes} bytes, more than {limit}", field=name)


def _check_scores(path: Path, name: str, scores: np.ndarray[Any, Any], *, missing_allowed: bool) -> None:
    wrong = np.isinf(scores) | (scores < 0) | (np.isnan(scores) & (not missing_allowed))
    if wrong.any():
        place = int(np.argmax(wrong))
        message = f"has {name}[{place}] = {scores[place]}, which is not a perplexity"
        remedy = "give finite numbers of at least 0; NaN in ppl is a segment without a score"
        raise bad_trace(path, message, field=name, remedy=remedy)
