"""Files that are whole or not there at all, and JSON files that people hand in."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from a1_trt.errors import InvalidRequestError

_MAX_BYTES = 1 << 30


def write_whole(path: Path, content: str | Iterable[bytes]) -> None:
    """Write a file in one step: a reader sees the old one or the new one, also after a crash.

    Args:
        path: The file; its directory must exist.
        content: Text, written as UTF-8, or the parts of the file in order.

    Raises:
        OSError: It cannot be written; the old file is untouched, and nothing is left beside it.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "note.txt"
        >>> write_whole(path, "whole")
        >>> path.read_text()
        'whole'
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        with unfinished.open("wb") as stream:
            stream.writelines([content.encode()] if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(path)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    """Make the new name last; without it a crash may bring the old file back."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_document(path: Path, field: str) -> Any:
    """What a JSON file holds.

    Raises:
        InvalidRequestError: It cannot be read, is too large or no JSON.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InvalidRequestError(f"{path} has more than {_MAX_BYTES} bytes", field=field)
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidRequestError(
            f"{path} cannot be read: {error.strerror}", field=field, remedy="give a JSON file"
        ) from None
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"{path} is no JSON: {error}", field=field, remedy="give a JSON file") from None


def first_mistake(error: ValidationError) -> str:
    """The first value that a pydantic model refused, in one line: where it stands, what is wrong, what was given."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"])) or "document"
    return f"{place}: {first['msg']}" + ("" if first["type"] == "missing" else f", given {str(first['input'])[:60]!r}")


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON file that is whole or not there at all.

    Raises:
        InvalidRequestError: It cannot be written.
    """
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file that is whole or not there at all.

    Raises:
        InvalidRequestError: It cannot be written.
    """
    try:
        write_whole(path, text)
    except OSError as error:
        raise InvalidRequestError(
            f"{path} cannot be written: {error.strerror}", field="output", remedy="choose another place"
        ) from None
