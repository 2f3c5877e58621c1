"""Files: written whole or not at all, appended to, read and written with typed errors."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from a1_trt.errors import A1Error, ConfigError, InvalidRequestError

_MAX_BYTES = 1 << 30


def write_whole(path: Path, content: str | Iterable[bytes]) -> None:
    """Write a file in one step: a reader sees the old one or the new one, also after a crash.

    Where that fails, the old file is untouched, and nothing is left beside it.

    Args:
        path: The file; its directory must exist.
        content: Text, written as UTF-8, or the parts of the file in order.

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


class AppendLog:
    r"""A file that grows by whole appends, held by one process at a time; made if it is not there.

    A `BlockingIOError` where another process holds it.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "log.jsonl"
        >>> with AppendLog(path) as log:
        ...     log.append(b"one\n")
        ...     log.size
        4
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def size(self) -> int:
        """In bytes."""
        return os.fstat(self._file).st_size

    def append(self, data: bytes) -> None:
        """Append bytes whole; they are on disk on return. What a full disk let through is taken back."""
        before = self.size
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view) :]
            os.fsync(self._file)
        except OSError:
            self.truncate(before)
            raise

    def truncate(self, n_bytes: int) -> None:
        os.ftruncate(self._file, n_bytes)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


@contextmanager
def reading(
    path: Path, *, field: str, error: type[A1Error] = InvalidRequestError, remedy: str | None = None, verb: str = "read"
) -> Iterator[None]:
    """In the block, an `OSError` becomes a typed error that names the file, with its field and remedy.

    Example:
        >>> with reading(Path("/no/such"), field="problems", remedy="name a file"):
        ...     Path("/no/such").read_text()
        Traceback (most recent call last):
        ...
        a1_trt.errors.InvalidRequestError: /no/such cannot be read: No such file or directory; name a file
    """
    try:
        yield
    except OSError as cause:
        typed = error(f"{path} cannot be {verb}: {cause.strerror or cause}", field=field, remedy=remedy)
        if isinstance(typed, ConfigError):
            typed.path = str(path)
        raise typed from None


writing = partial(reading, verb="written", field="output", remedy="choose another place")
"""The same for a file that is written."""


def read_document(path: Path, field: str) -> Any:
    """What a JSON file holds."""
    with reading(path, field=field, remedy="give a JSON file"):
        if path.stat().st_size > _MAX_BYTES:
            raise InvalidRequestError(f"{path} has more than {_MAX_BYTES} bytes", field=field)
        data = path.read_bytes()
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(
            f"{path} is not valid JSON: {error}", field=field, remedy="give a JSON file"
        ) from None


def first_mistake(error: ValidationError) -> str:
    """The first value that a pydantic model refused, in one line: where it stands, what is wrong, what was given."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"])) or "document"
    return f"{place}: {first['msg']}" + ("" if first["type"] == "missing" else f", given {str(first['input'])[:60]!r}")


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON file that is whole or not there at all."""
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file that is whole or not there at all."""
    with writing(path):
        write_whole(path, text)
