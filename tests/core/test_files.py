"""Files: appended to whole or not at all, with typed errors."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from a1_trt.errors import CalibrationError, ConfigError, InvalidRequestError
from a1_trt.files import AppendLog, read_document, reading, write_text, writing


def test_a_full_disk_takes_back_what_it_let_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, write = tmp_path / "log", os.write
    with AppendLog(path) as log:
        log.append(b"first\n")
        room = [3]

        def full(handle: int, data: bytes) -> int:
            if not room:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(handle, data[: room.pop()])

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            log.append(b"second\n")
        monkeypatch.undo()
        assert path.read_bytes() == b"first\n"
        log.append(b"third\n")
    assert path.read_bytes() == b"first\nthird\n"


def test_one_process_at_a_time_holds_a_log(tmp_path: Path) -> None:
    with AppendLog(tmp_path / "log"), pytest.raises(BlockingIOError):
        AppendLog(tmp_path / "log")
    with AppendLog(tmp_path / "log") as log:
        assert log.size == 0
        log.close()


@pytest.mark.parametrize("error", [InvalidRequestError, ConfigError, CalibrationError])
def test_an_error_of_the_disk_becomes_the_typed_error_that_is_wanted(tmp_path: Path, error: type) -> None:
    path = tmp_path / "absent" / "file"
    with pytest.raises(error, match="cannot be read: No such file") as caught, reading(path, field="x", error=error):
        path.read_bytes()
    assert caught.value.field == "x"
    with pytest.raises(error, match="cannot be written: No such file"), writing(path, error=error):
        path.write_bytes(b"")
    if error is ConfigError:
        assert caught.value.path == str(path)


def test_a_document_that_is_not_json_or_not_there_names_its_field(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_bytes(b"\xff{")
    for name, words in (("bad.json", "not valid JSON"), ("absent.json", "cannot be read")):
        with pytest.raises(InvalidRequestError, match=words) as caught:
            read_document(tmp_path / name, "engines")
        assert caught.value.field == "engines"
    with pytest.raises(InvalidRequestError, match="cannot be written") as caught:
        write_text(tmp_path / "absent" / "out.txt", "text")
    assert caught.value.field == "output"
