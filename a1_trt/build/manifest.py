"""What was built, with what and for what: the record that makes a directory of engines complete."""

import hashlib
import importlib.metadata
import json
import platform
import re
from pathlib import Path
from typing import Any

import a1_trt
from a1_trt.build.plan import BuildPlan
from a1_trt.errors import BuildError
from a1_trt.files import write_whole
from a1_trt.types import ROLES

MANIFEST = "manifest.json"
IDENTITY = ".build.json"
"""Written when a build begins: what the directory is for, so that nothing else is ever mixed into it."""
SCHEMA = 1
_MAX_BYTES = 16 * 2**20
_AGAIN = "build again into an empty directory"


def write_json(path: Path, document: dict[str, Any]) -> None:
    write_whole(path, json.dumps(document, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object, or None where there is no file; BuildError where it is damaged."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise BuildError(f"{path} is larger than any that a build writes", field=path.name, remedy=_AGAIN)
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise BuildError(f"{path.parent} is not a directory", field="directory", remedy="give a directory") from None
    except (OSError, ValueError) as error:
        raise BuildError(f"{path} cannot be read ({error})", field=path.name, remedy=_AGAIN) from None
    if not isinstance(document, dict):
        raise BuildError(f"{path} is not a JSON object", field=path.name, remedy=_AGAIN)
    return document


def read_manifest(directory: Path) -> dict[str, Any]:
    """The record of a finished build; BuildError where it is missing, foreign, damaged or not finished."""
    manifest = read_json(directory / MANIFEST)
    if manifest is None:
        if (directory / IDENTITY).is_file():
            message = f"the build in {directory} has not ended: it has no {MANIFEST}"
            remedy = "run the same 'a1-trt engine build' again; it goes on where it stopped"
            raise BuildError(message, field="manifest", remedy=remedy)
        what = "does not exist" if not directory.exists() else "was not made by 'a1-trt engine build --profile'"
        raise BuildError(f"{directory} {what}", field="directory", remedy="build the pair's engines first")
    if manifest.get("schema") != SCHEMA or not {"pair", "profile", "gpu", "files", "settings"} <= set(manifest):
        message = f"{directory / MANIFEST} is not a record of GPU engines of this version"
        raise BuildError(message, field="manifest", remedy="build the pair's engines again")
    return manifest


def installed_version(package: str = "tensorrt_llm") -> str | None:
    """The version of a package in this environment, without importing it."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def in_range(version: str, at_least: str, at_most: str) -> bool:
    """Whether a version is one of those that a profile is for; any patch of `at_most`, if that names a line.

    Example:
        >>> in_range("1.3.0rc11", "1.2.0", "1.3"), in_range("1.3.0", "1.1.0", "1.2.1")
        (True, False)
    """
    numbers, low, high = _numbers(version), _numbers(at_least), _numbers(at_most)
    return bool(numbers) and low <= numbers and numbers[: len(high)] <= high


def _numbers(version: str) -> tuple[int, ...]:
    start = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in start.group().split(".")) if start else ()


def identity(plan: BuildPlan, version: str) -> dict[str, Any]:
    """What a directory of engines is for; engines of another identity are never mixed into it."""
    gpu = plan.gpu.gpu
    return {
        "schema": SCHEMA,
        "pair": plan.pair,
        "fingerprint": plan.fingerprint,
        "profile": plan.profile,
        "gpu": {"name": gpu.name, "sm": gpu.sm, "count": plan.gpu.count},
        "tensorrt_llm": version,
    }


def differences(known: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    return [key for key in wanted if known.get(key) != wanted[key]]


def make_manifest(
    plan: BuildPlan, version: str, steps: list[dict[str, Any]], started: str, seconds: float
) -> dict[str, Any]:
    """The record of a finished build; hashes every file of draft/ and target/."""
    return {
        **identity(plan, version),
        "gpu_memory_gib": plan.gpu.gpu.memory_gib,
        "versions": {"a1_trt": a1_trt.__version__, "python": platform.python_version(), "tensorrt_llm": version},
        "placement": {role: [list(gpus) for gpus in place.replicas] for role, place in plan.placement.items()},
        "quantization": dict(plan.quantization),
        "settings": plan.settings,
        "runtime": plan.runtime,
        "kv_tokens": dict(plan.kv_tokens),
        "scoring": plan.sizes["target"].scoring,
        "max_scoring_requests": plan.max_scoring_requests,
        "steps": steps,
        "started": started,
        "seconds": round(seconds, 1),
        "files": {
            path.relative_to(plan.output).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)}
            for role in ROLES
            for path in sorted((plan.output / role).rglob("*"))
            if path.is_file()
        },
    }


def sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
