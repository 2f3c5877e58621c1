"""Carry out a plan, step by step; what is done already is not done again.

A step writes into ``NAME.partial``, which becomes ``NAME`` when the step has succeeded. The manifest is written last.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from a1_trt.build import stamps
from a1_trt.build.hardware import GpuSpec
from a1_trt.build.manifest import IDENTITY, MANIFEST, identity, make_manifest, read_json, write_json
from a1_trt.build.plan import BuildPlan
from a1_trt.build.ready import check_directory, check_machine, check_sources
from a1_trt.build.steps import Step
from a1_trt.errors import BuildError

LOGS = "logs"
_GRACE_S = 10.0
_TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Progress:
    """How many steps are done; whether `step` begins, was done before, or is done now; and its log file."""

    n_done: int
    n_steps: int
    step: Step
    state: Literal["started", "skipped", "done"]
    log: Path


def run(
    plan: BuildPlan, here: GpuSpec, version: str | None, listen: Callable[[Progress], None] = lambda _: None
) -> dict[str, Any]:
    """Build the engines of a plan with the GPUs and the TensorRT-LLM (None: there is none) of this machine.

    Returns the manifest, also written to ``manifest.json``. BuildError: the machine does not suit the plan, the
    directory holds something else, or a step failed; ConfigError: a checkpoint is missing.
    """
    version = check_machine(plan, here, version)
    check_sources(plan)
    who = identity(plan, version)
    check_directory(plan.output, who)
    try:
        plan.output.mkdir(parents=True, exist_ok=True)
        with _locked(plan.output):
            return _run(plan, version, who, listen)
    except OSError as error:
        message = f"{error.filename or plan.output} cannot be written ({error.strerror})"
        remedy = "choose an --output that you may write to, with room for the checkpoints"
        raise BuildError(message, field="output", remedy=remedy) from None


def _run(plan: BuildPlan, version: str, who: dict[str, Any], listen: Callable[[Progress], None]) -> dict[str, Any]:
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    keys: list[dict[str, Any]] = []
    complete = read_json(plan.output / MANIFEST) if (plan.output / MANIFEST).is_file() else None
    if not (plan.output / IDENTITY).is_file():
        write_json(plan.output / IDENTITY, who)
    for index, step in enumerate(plan.steps):
        log = plan.output / LOGS / f"{step.title}.log"
        wanted = stamps.key(step, who)
        stamp = stamps.done(plan.output, step, wanted)
        if stamp is not None:
            listen(Progress(index + 1, len(plan.steps), step, "skipped", log))
        else:
            (plan.output / MANIFEST).unlink(missing_ok=True)
            complete = None
            listen(Progress(index, len(plan.steps), step, "started", log))
            stamp = _do(plan, step, log, wanted)
            listen(Progress(index + 1, len(plan.steps), step, "done", log))
        keys.append({"step": step.title, "argv": list(step.argv), **{k: stamp[k] for k in ("started", "seconds")}})
    if complete is not None:
        return complete
    manifest = make_manifest(plan, version, keys, started, time.monotonic() - clock)
    write_json(plan.output / MANIFEST, manifest)
    return manifest


def _do(plan: BuildPlan, step: Step, log: Path, wanted: str) -> dict[str, Any]:
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    stamps.remove(plan.output, step)
    partial = step.output.with_name(f"{step.output.name}.partial")
    if not step.keeps_partial:
        shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(exist_ok=True)
    try:
        if step.argv:
            _command(plan, step, partial, log)
        else:
            partial.mkdir()
            for name, text in step.files.items():
                (partial / name).write_text(text, encoding="utf-8")
        _check_output(step, partial, log)
        shutil.rmtree(step.output, ignore_errors=True)
        partial.rename(step.output)
    finally:
        if not step.keeps_partial:
            shutil.rmtree(partial, ignore_errors=True)
    stamp = {"key": wanted, "started": started, "seconds": round(time.monotonic() - clock, 1)}
    stamps.put(plan.output, step, stamp)
    return stamp


def _command(plan: BuildPlan, step: Step, partial: Path, log: Path) -> None:
    argv = [str(partial) if part == str(step.output) else part for part in step.argv]
    if argv[0] == "python3":  # the Python that has this package has TensorRT-LLM, too
        argv[0] = sys.executable
    try:
        with log.open("ab") as stream:
            stream.write(f"\n$ {step.line}\n".encode())
            stream.flush()
            # In its own session, so that Ctrl-C reaches it through us only, and its children end with it.
            process = subprocess.Popen(  # noqa: S603 - an argument list, never a shell
                argv,
                cwd=plan.output,
                env=_environment(step),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        message = f"{step.title}: {argv[0]} cannot be started ({error.strerror})"
        remedy = "build in NVIDIA's container, which has it (docs/gpu.md)"
        raise BuildError(message, command=step.line, log=str(log), field="tools", remedy=remedy) from None
    try:
        status = process.wait()
    except BaseException:
        _end(process)
        raise
    if status != 0:
        message = f"{step.title} failed with status {status}: {_last_line(log)}"
        remedy = f"read {log}; the next 'a1-trt engine build' goes on from this step"
        raise BuildError(message, command=step.line, log=str(log), field=step.title, remedy=remedy)


def _environment(step: Step) -> dict[str, str]:
    if not step.gpus:
        return dict(os.environ)
    seen = [part for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if part.strip()]
    names = [seen[gpu] if gpu < len(seen) else str(gpu) for gpu in step.gpus]
    return {**os.environ, "CUDA_VISIBLE_DEVICES": ",".join(names)}


def _end(process: subprocess.Popen[bytes]) -> None:
    for kind in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, kind)
            process.wait(_GRACE_S)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _check_output(step: Step, partial: Path, log: Path) -> None:
    """A command may end well and leave nothing, or half an engine."""
    files = {path.name for path in partial.rglob("*") if path.is_file()} if partial.is_dir() else set()
    present = {"anything": bool(files)}
    if step.name == "build":
        present |= {"config.json": "config.json" in files, "an engine": any(name.endswith(".engine") for name in files)}
    missing = [name for name, is_there in present.items() if not is_there]
    if missing:
        message = f"{step.title} ended well without making {missing[0]}"
        raise BuildError(message, command=step.line, log=str(log), field=step.title, remedy=f"read {log}")


def _last_line(log: Path) -> str:
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        lines = [line.strip() for line in stream.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines and not lines[-1].startswith("$ ") else "its log is empty"


@contextmanager
def _locked(output: Path) -> Iterator[None]:
    with (output / ".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            message = f"another build is running in {output}"
            raise BuildError(message, field="output", remedy="wait for it, or choose another --output") from None
        yield
