"""A rendered directory on disk: written whole or not at all, and nothing in it that is not ours is lost."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from a1_trt.errors import DeployError
from a1_trt.files import write_whole
from a1_trt.triton.pbtxt import HEADER

MANIFEST = "rendered.json"
_MOST_BYTES = 1 << 22


def write(files: Mapping[str, str], output: Path, *, about: Mapping[str, Any], force: bool = False) -> list[Path]:
    """Write files, path in the directory -> text, and a manifest of them with what is `about` them; the paths written.

    A directory that is not there appears complete at once. In one that is, each file is replaced at once, and files of
    an earlier rendering that are not wanted any more are removed. Files that are not of an earlier rendering, or were
    changed since, are a DeployError without `force`.
    """
    digests = {name: _digest(text.encode()) for name, text in sorted(files.items())}
    manifest = json.dumps({**about, "files": digests}, indent=2) + "\n"
    texts = {**files, MANIFEST: manifest}
    try:
        if output.exists() and not (output.is_dir() and not any(output.iterdir())):
            _update(texts, output, force=force)
        else:
            _create(texts, output)
    except OSError as error:
        message = f"{output} cannot be written: {error.strerror}"
        raise DeployError(message, field="output", remedy="choose another directory") from None
    return [output / name for name in texts]


def read_manifest(output: Path) -> dict[str, Any]:
    """What was written about a directory; empty where there is no readable manifest."""
    try:
        raw = (output / MANIFEST).read_bytes()
        manifest = json.loads(raw) if len(raw) <= _MOST_BYTES else {}
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) and isinstance(manifest.get("files"), dict) else {}


def _create(texts: Mapping[str, str], output: Path) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        for name, text in texts.items():
            _write_one(beside / name, text)
        beside.chmod(0o755)
        if output.exists():
            output.rmdir()
        beside.rename(output)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def _update(texts: Mapping[str, str], output: Path, *, force: bool) -> None:
    before: dict[str, str] = read_manifest(output).get("files", {})
    if not force:
        if not before and (output / MANIFEST).exists():
            raise _foreign(output / MANIFEST)
        for name, text in texts.items():
            if name != MANIFEST and not _is_ours(output / name, before.get(name), text):
                raise _foreign(output / name)
    for name, text in texts.items():
        _write_one(output / name, text)
    for name in before.keys() - texts.keys():
        inside = not Path(name).is_absolute() and ".." not in Path(name).parts
        if inside and _on_disk(output / name) == before[name]:
            (output / name).unlink()
            _remove_empty((output / name).parent, output)


def _is_ours(path: Path, rendered: str | None, text: str) -> bool:
    """Whether a file may be replaced: it is not there, the same, or as it was rendered."""
    current = _on_disk(path)
    if current is None or current in (rendered, _digest(text.encode())):
        return True
    # A rendering from before there were manifests says so in the configuration.
    config = path if path.name == "config.pbtxt" else path.parent.parent / "config.pbtxt"
    known = path.name in ("config.pbtxt", "model.py") and config.is_file()
    return rendered is None and known and config.read_text(encoding="utf-8", errors="replace").startswith(HEADER)


def _foreign(path: Path) -> DeployError:
    message = f"{path} was not written by 'a1-trt deploy render', or was changed since"
    return DeployError(message, field="output", remedy="choose another directory, or replace it with --force")


def _write_one(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)


def _remove_empty(directory: Path, root: Path) -> None:
    while directory != root and not any(directory.iterdir()):
        directory.rmdir()
        directory = directory.parent


def _on_disk(path: Path) -> str | None:
    try:
        return _digest(path.read_bytes())
    except OSError:
        return None


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
