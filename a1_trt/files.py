"""Files that are whole or not there at all."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


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
