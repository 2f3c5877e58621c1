"""Stamps: which steps of a build are done, and with what, so that a second try does only what is missing."""

import hashlib
import json
from pathlib import Path
from typing import Any

from a1_trt.build.manifest import read_json, sha256, write_json
from a1_trt.build.steps import Step
from a1_trt.errors import BuildError

FOLDER = ".steps"
_HASHED_BYTES = 16 * 2**20
"""Larger files are known by their size and time of change: hashing a checkpoint at every try would take minutes."""


def key(step: Step, identity: dict[str, Any]) -> str:
    """Identifies what a step would do: its command, its files, and the contents of the directories that it reads."""
    document = {
        "identity": identity,
        "argv": step.argv,
        "files": step.files,
        "inputs": [listing(path, hashed=True) for path in step.inputs],
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def listing(directory: Path, *, hashed: bool) -> list[list[str]]:
    return [
        [path.relative_to(directory).as_posix(), str(path.stat().st_size), *([_content(path)] if hashed else [])]
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(directory).parts)
    ]


def _content(path: Path) -> str:
    state = path.stat()
    return sha256(path) if state.st_size <= _HASHED_BYTES else str(state.st_mtime_ns)


def done(output: Path, step: Step, wanted: str) -> dict[str, Any] | None:
    """The stamp of a step that needs not be done again: same key, and its directory as it left it."""
    try:
        stamp = read_json(_path(output, step))
    except BuildError:  # damaged: the step is done again
        return None
    if stamp is None or stamp.get("key") != wanted or not step.output.is_dir():
        return None
    return stamp if stamp.get("made") == listing(step.output, hashed=False) else None


def put(output: Path, step: Step, stamp: dict[str, Any]) -> None:
    path = _path(output, step)
    path.parent.mkdir(exist_ok=True)
    write_json(path, {**stamp, "made": listing(step.output, hashed=False)})


def remove(output: Path, step: Step) -> None:
    _path(output, step).unlink(missing_ok=True)


def _path(output: Path, step: Step) -> Path:
    return output / FOLDER / f"{step.title}.json"
