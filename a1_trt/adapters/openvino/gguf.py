"""What a .gguf file says about itself: the metadata at its start, read without loading any weights."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MOST_BYTES = 1 << 28
"""A longer string or array than this is damage, not metadata."""


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata of a .gguf file, key -> value; strings are bytes.

    Raises:
        ValueError: The file is no GGUF, or is damaged or cut off within its metadata.
    """
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ValueError("it does not start with 'GGUF'")
        _version, _n_tensors, n_keys = struct.unpack("<IQQ", _read(file, 20))
        metadata = {}
        for _ in range(n_keys):
            key = _string(file).decode("utf-8", "replace")
            (kind,) = struct.unpack("<I", _read(file, 4))
            metadata[key] = _value(file, kind)
        return metadata


def _read(file: BinaryIO, n_bytes: int) -> bytes:
    data = file.read(n_bytes) if 0 <= n_bytes <= _MOST_BYTES else b""
    if len(data) != n_bytes:
        raise ValueError("its metadata is cut off")
    return data


def _string(file: BinaryIO) -> bytes:
    (length,) = struct.unpack("<Q", _read(file, 8))
    return _read(file, length)


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _string(file)
    if kind == _ARRAY:
        kind, length = struct.unpack("<IQ", _read(file, 12))
        if kind in _SCALARS:
            code = _SCALARS[kind]
            return struct.unpack(f"<{length}{code}", _read(file, length * struct.calcsize(code)))
        return [_value(file, kind) for _ in range(length)]
    if kind not in _SCALARS:
        raise ValueError(f"it holds a value of unknown type {kind}")
    code = _SCALARS[kind]
    return struct.unpack(f"<{code}", _read(file, struct.calcsize(code)))[0]
