"""What a .gguf file says about itself: the metadata at its start, read without loading any weights."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MOST_BYTES = 1 << 28
"""A longer string or array than this is damage, not metadata."""
_BLOCKS = {0: (1, 4), 1: (1, 2), 30: (1, 2)}
_BLOCKS |= {2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36)}
_BLOCKS |= {10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292)}
"""Tensor type -> values in a block, bytes of a block."""


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata of a .gguf file, key -> value; strings are bytes. A ValueError for damage, also of the weights."""
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ValueError("it does not start with 'GGUF'")
        _version, n_tensors, n_keys = struct.unpack("<IQQ", _read(file, 20))
        metadata = {}
        for _ in range(n_keys):
            key = _string(file).decode("utf-8", "replace")
            metadata[key] = _value(file, _number(file, "I"))
        length = max((_tensor_end(file) for _ in range(n_tensors)), default=0)
        alignment = metadata.get("general.alignment", 32)
        start = -(-file.tell() // alignment) * alignment
    # The runtime maps the file and reads beyond its end without asking, which ends the process.
    if start + length > path.stat().st_size:
        raise ValueError(f"it is cut off: {path.stat().st_size} bytes of {start + length}")
    return metadata


def _tensor_end(file: BinaryIO) -> int:
    """Where a tensor ends, in bytes from the start of the weights."""
    _string(file)
    n_values = 1
    for _ in range(min(_number(file, "I"), 8)):
        n_values *= _number(file, "Q")
    kind, offset = _number(file, "I"), _number(file, "Q")
    values, size = _BLOCKS.get(kind, (1, 0))
    return int(offset + n_values // values * size)


def _read(file: BinaryIO, n_bytes: int) -> bytes:
    data = file.read(n_bytes) if 0 <= n_bytes <= _MOST_BYTES else b""
    if len(data) != n_bytes:
        raise ValueError("its metadata is cut off")
    return data


def _number(file: BinaryIO, code: str) -> Any:
    return struct.unpack(f"<{code}", _read(file, struct.calcsize(code)))[0]


def _string(file: BinaryIO) -> bytes:
    return _read(file, _number(file, "Q"))


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _string(file)
    if kind == _ARRAY:
        kind, length = _number(file, "I"), _number(file, "Q")
        if kind in _SCALARS:
            code = _SCALARS[kind]
            return struct.unpack(f"<{length}{code}", _read(file, length * struct.calcsize(code)))
        return [_value(file, kind) for _ in range(length)]
    if kind not in _SCALARS:
        raise ValueError(f"it holds a value of unknown type {kind}")
    return _number(file, _SCALARS[kind])
