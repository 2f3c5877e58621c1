"""Whether a directory of engines is complete, unchanged, and right for this pair and this machine."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from a1_trt.build.hardware import Gpu, GpuSpec
from a1_trt.build.manifest import differences, identity, installed_version, read_manifest, sha256
from a1_trt.build.plan import make_plan
from a1_trt.config import Pair
from a1_trt.errors import A1Error, BuildError
from a1_trt.types import ROLES

_HASHED_BYTES = 64 * 2**20
"""Larger files are compared by size alone: a check at start-up must not read an engine of 60 GB."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a check: the directory's record, what is wrong, and what could not be looked at here."""

    manifest: dict[str, Any]
    problems: list[BuildError] = field(default_factory=list)
    not_compared: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems


def check(directory: Path, pair: Pair | None = None, gpu: GpuSpec | None = None) -> Checked:
    """Compare a built directory with its record, a pair where one is given, and `gpu` or the GPUs of this machine."""
    manifest = read_manifest(directory)
    result = Checked(manifest)
    result.problems.extend(_files(directory, manifest))
    if pair is None:
        result.not_compared.append("pair")
    else:
        result.problems.extend(_pair(directory, manifest, pair))
    try:
        here = gpu or GpuSpec.detect()
    except A1Error:
        result.not_compared.append("gpu")
    else:
        result.problems.extend(_gpu(manifest, here))
    version = installed_version()
    if version is None:
        result.not_compared.append("version")
    elif version != manifest["tensorrt_llm"]:
        message = f"built with TensorRT-LLM {manifest['tensorrt_llm']}, {version} is installed"
        remedy = "use the container that it was built in, or build again"
        result.problems.append(BuildError(message, field="version", remedy=remedy))
    return result


def _files(directory: Path, manifest: dict[str, Any]) -> Iterator[BuildError]:
    remedy = "build again; the steps that are still right are not repeated"
    for name, record in manifest["files"].items():
        path = directory / name
        if not path.resolve().is_relative_to(directory.resolve()):
            yield BuildError(f"the record names {name}, outside the directory", field=name, remedy=remedy)
        elif not path.is_file():
            yield BuildError(f"{name} is missing", field=name, remedy=remedy)
        elif path.stat().st_size != record["bytes"]:
            yield BuildError(f"{name} has changed its size since it was built", field=name, remedy=remedy)
        elif record["bytes"] <= _HASHED_BYTES and sha256(path) != record["sha256"]:
            yield BuildError(f"{name} has changed since it was built", field=name, remedy=remedy)
    for role in ROLES:
        for path in sorted((directory / role).rglob("*.engine")):
            name = path.relative_to(directory).as_posix()
            if name not in manifest["files"]:
                yield BuildError(f"{name} is not part of this build", field=name, remedy="remove it, or build again")


def _pair(directory: Path, manifest: dict[str, Any], pair: Pair) -> Iterator[BuildError]:
    """The same pair, and a pair file that would still give the same settings."""
    built = manifest["gpu"]
    gpu = Gpu(built["name"], manifest["gpu_memory_gib"], built["sm"])
    plan = make_plan(pair, manifest["profile"], GpuSpec(gpu, built["count"]), output=directory)
    differing = differences(manifest, identity(plan, manifest["tensorrt_llm"]))
    for key in differing:
        message = f"built for {key} {manifest.get(key)!r}, which is not that of {pair.path or pair.name}"
        yield BuildError(message, field=key, remedy="build this pair's engines, or name the pair that these are for")
    if differing:
        return
    for role, settings in plan.settings.items():
        built = manifest["settings"].get(role, {})
        changed = [key for key in settings if key != "model" and settings[key] != built.get(key)]
        if changed:
            message = f"the pair file has changed since: {role} {', '.join(changed)} would be different now"
            yield BuildError(message, field=f"{role}.{changed[0]}", remedy="build again, or undo the change")


def _gpu(manifest: dict[str, Any], here: GpuSpec) -> Iterator[BuildError]:
    built = manifest["gpu"]
    if (built["name"], built["sm"]) != (here.gpu.name, here.gpu.sm) or here.count < built["count"]:
        message = f"built for {built['count']} x {built['name']}, this machine has {here}"
        yield BuildError(message, field="gpu", remedy="run it on the GPUs that it was built for, or build again here")
