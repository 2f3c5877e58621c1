"""The folder of an evaluation: settings, finished problems, and nothing half-written.

A problem is done when its line in problems.jsonl is whole. That line is written after the lines of its samples in
records.jsonl, and says where those end; so whenever the process dies, what follows belongs to a problem that was in
flight, and the next start cuts it off.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from a1_trt.errors import ConfigError
from a1_trt.files import AppendLog, write_whole

SCHEMA = 2
KIND = "a1-trt eval"
_MAX_BYTES = 8 << 30


class Folder:
    """Appends problems to a folder; one process at a time.

    The folder is made if it is not there. `settings` determine the figures: a folder of other settings is refused, by
    ConfigError, like one in use, damaged, or not writable. `about` is what else is to be known of this start.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], about: Mapping[str, Any]) -> None:
        self.path = path
        self._files: list[AppendLog] = []
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._problems = self._open("problems.jsonl")
            self._records = self._open("records.jsonl")
            self.starts = self._check(json.loads(json.dumps(settings)), about)
            self.lines = self._whole_lines()
        except OSError as error:
            self.close()
            raise _unwritable(path, error) from None
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def done(self) -> set[str]:
        return {line["problem_id"] for line in self.lines}

    def append(self, problem: Mapping[str, Any], samples: Sequence[Mapping[str, Any]]) -> None:
        """Keep a problem; it is on disk when this returns."""
        try:
            self._records.append(b"".join(map(_line, samples)))
            line = {**problem, "start": len(self.starts) - 1, "records_end": self._records.size}
            self._problems.append(_line(line))
        except OSError as error:
            raise _unwritable(self.path, error) from None
        self.lines.append(line)

    def write(self, name: str, text: str) -> None:
        try:
            write_whole(self.path / name, text)
        except OSError as error:
            raise _unwritable(self.path, error) from None

    def close(self) -> None:
        while self._files:
            self._files.pop().close()

    def _open(self, name: str) -> AppendLog:
        try:
            self._files.append(AppendLog(self.path / name))
        except BlockingIOError:
            raise ConfigError(
                f"{self.path} is in use by another process",
                path=str(self.path),
                field="output",
                remedy="wait for it, or name another folder",
            ) from None
        return self._files[-1]

    def _check(self, settings: dict[str, Any], about: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Write or compare run.json; returns all starts, this one last."""
        path = self.path / "run.json"
        starts: list[dict[str, Any]] = []
        if path.exists():
            document = _read(path)
            starts = document["starts"]
            differing = differences(document["settings"], settings)
            if differing:
                raise ConfigError(
                    f"{self.path} holds an evaluation of other settings: {'; '.join(differing)}",
                    path=str(self.path),
                    field="output",
                    remedy="name another folder, or ask for the same settings",
                )
        elif self._problems.size:
            raise _damaged(self.path, "problems.jsonl is there and run.json is not")
        starts = [*starts, dict(about)]
        document = {"kind": KIND, "schema": SCHEMA, "settings": settings, "starts": starts}
        self.write("run.json", json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        return starts

    def _whole_lines(self) -> list[dict[str, Any]]:
        """The problems that are done; what is torn or belongs to no whole line is cut off both files."""
        data = (self.path / "problems.jsonl").read_bytes()
        n_bytes = data.rfind(b"\n") + 1
        lines = []
        for number, text in enumerate(data[:n_bytes].split(b"\n")[:-1], 1):
            try:
                line = json.loads(text)
                lines.append({**line, "problem_id": line["problem_id"], "records_end": int(line["records_end"])})
            except (ValueError, KeyError, TypeError):
                raise _damaged(self.path, f"problems.jsonl line {number} is not a problem") from None
        end = max((line["records_end"] for line in lines), default=0)
        if self._records.size < end:
            raise _damaged(self.path, "records.jsonl is shorter than problems.jsonl says")
        self._problems.truncate(n_bytes)
        self._records.truncate(end)
        return lines


def differences(before: Any, now: Any, name: str = "") -> list[str]:
    """Which settings differ, each as "name was X, is Y"."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            text
            for key in sorted(before.keys() | now.keys())
            for text in differences(before.get(key), now.get(key), f"{name}.{key}" if name else str(key))
        ]
    return [] if before == now else [f"{name} was {json.dumps(before)}, is {json.dumps(now)}"]


def _read(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _MAX_BYTES:
        raise _damaged(path.parent, "run.json is too large")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        document = None
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise _damaged(path.parent, f"run.json is not one of {KIND!r}")
    if document.get("schema") != SCHEMA:
        message = f"was written by another version: schema {document.get('schema')!r}, not {SCHEMA}"
        raise _refused(path.parent, message, "name another folder, or use the version that began this one")
    if not isinstance(document.get("settings"), dict) or not isinstance(document.get("starts"), list):
        raise _damaged(path.parent, "run.json lacks settings or starts")
    return document


def _line(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _damaged(path: Path, what: str) -> ConfigError:
    return _refused(path, f"is damaged: {what}")


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return _refused(path, f"cannot be written: {error.strerror}")


def _refused(path: Path, what: str, remedy: str = "name another folder") -> ConfigError:
    return ConfigError(f"{path} {what}", path=str(path), field="output", remedy=remedy)
