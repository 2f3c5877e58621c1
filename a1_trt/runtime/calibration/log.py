"""The calibration state on disk: the log of the decisions that made it.

A file of JSON lines. The first says what the scores belong to, each of the others holds a batch of decisions; the state
of any controller is what it becomes by being told them in order. Lines are only ever appended, so ``kill -9`` loses at
most what was not flushed, and a torn last line is dropped. Two replicas' logs merge by taking every decision of either
once. ``docs/statistics.md`` has the format.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from a1_trt.core.conformal import Candidate, Controller, Decision
from a1_trt.errors import CalibrationError
from a1_trt.files import reading, write_whole, writing
from a1_trt.types import Problem

_T = TypeVar("_T")

FORMAT = "a1_trt calibration"
VERSION = 2
MAX_FILE_BYTES = 4 << 30

_AGAIN = "calibrate again with 'a1-trt calibrate run'"


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a score belongs to: scores of another provenance cannot be ranked with it.

    Args:
        fingerprint: `Pair.fingerprint`: models, prompts, kind of score, segment length.
        score: Name of the nonconformity score.
        category: How scores are put into categories: "none", "turn" or "problem".
        engine: The target's engine, its version and arithmetic: the same model scores differently on another one.
    """

    fingerprint: str
    score: str
    category: str
    engine: str


Row = tuple[str, str, Annotated[float, Field(allow_inf_nan=False)], Annotated[float, Field(gt=0, lt=1)], bool]
_ROW = ("category", "problem", "score", "alpha", "takeover")


@dataclass(frozen=True, slots=True)
class Batch:
    """Decisions of one writer that were flushed together, oldest first.

    Args:
        writer: Name of the process that made them, unique among all writers of one pair.
        first: Number of that writer's decisions before these.
        at_s: When they were flushed, seconds since 1970.
    """

    writer: str
    first: Annotated[int, Field(ge=0)]
    at_s: float
    decisions: tuple[Row, ...]

    @property
    def end(self) -> int:
        """Number of the writer's decisions up to and with these."""
        return self.first + len(self.decisions)

    def after(self, known: int) -> Batch:
        """The part of it that comes after the writer's first `known` decisions."""
        skipped = min(max(0, known - self.first), len(self.decisions))
        return replace(self, first=self.first + skipped, decisions=self.decisions[skipped:])


_HEADER, _PROVENANCE, _BATCH = TypeAdapter(dict[str, Any]), TypeAdapter(Provenance), TypeAdapter(Batch)


@dataclass(frozen=True, slots=True)
class CalibrationLog:
    """A calibration state as a value: what the scores belong to, and the decisions, oldest first.

    Args:
        n_bytes: Length of the whole lines of the file it was read from; what follows is torn.

    Example:
        >>> log = CalibrationLog(Provenance("f00d", "perplexity", "turn", "openvino"), ())
        >>> len(log), log.problems
        (0, frozenset())
    """

    provenance: Provenance
    batches: tuple[Batch, ...]
    n_bytes: int = 0

    def __len__(self) -> int:
        return sum(len(batch.decisions) for batch in self.batches)

    @property
    def problems(self) -> frozenset[str]:
        """Keys of the problems it was made from: nothing must be measured on these."""
        return frozenset(problem for batch in self.batches for _, problem, *_ in batch.decisions)

    def restore(self, controller: Controller) -> None:
        """Tell a new controller all decisions, in order."""
        for batch in self.batches:
            for category, problem, score, alpha, takeover in batch.decisions:
                candidate = Candidate(score=score, category=category, problem=problem, alpha=alpha, u=0.5)
                controller.update(candidate, Decision(p_value=0.5, level=alpha, takeover=takeover))

    def check(self, provenance: Provenance) -> None:
        """Refuse a state of another pair, score, category or engine; the message names which."""
        for key, stored in asdict(self.provenance).items():
            wanted = getattr(provenance, key)
            if stored != wanted:
                raise CalibrationError(
                    f"the calibration has {key} {stored!r}, the pair has {wanted!r}",
                    field=key,
                    remedy=f"{_AGAIN}: scores of other models, prompts, engines or segment lengths cannot be compared",
                )

    def used(self, problems: Sequence[Problem]) -> list[Problem]:
        known = self.problems
        return [problem for problem in problems if problem.key in known]

    def check_unused(self, problems: Sequence[Problem]) -> None:
        """Refuse to measure on problems that this state was made from."""
        if used := self.used(problems):
            raise CalibrationError(
                f"{len(used)} of {len(problems)} problems calibrated this state, {used[0].id!r} among them",
                field="problems",
                remedy="measure on other problems; --allow-calibration-problems goes on, and the figures then flatter",
            )


def merge(logs: Sequence[CalibrationLog]) -> CalibrationLog:
    """One state of several: every decision of any of them once, in the order in which they were flushed.

    Merging is commutative, associative and idempotent, so replicas may be merged in any order and again.

    Raises:
        CalibrationError: They belong to different pairs, or decisions are missing in between.

    Example:
        >>> log = CalibrationLog(Provenance("f00d", "perplexity", "turn", "openvino"), ())
        >>> len(merge([log, log]))
        0
    """
    if not logs:
        raise CalibrationError("there is nothing to merge", field="files", remedy="name at least one file")
    for log in logs[1:]:
        log.check(logs[0].provenance)
    known: dict[str, int] = {}
    kept: list[Batch] = []
    for batch in sorted(
        (batch for log in logs for batch in log.batches), key=lambda batch: (batch.writer, batch.first)
    ):
        n_known = known.get(batch.writer, 0)
        new = batch.after(n_known)
        if new.first > n_known:
            raise _damaged(f"decisions {n_known} to {new.first} of writer {batch.writer} are missing")
        if new.decisions:
            kept.append(new)
            known[batch.writer] = new.end
    kept.sort(key=lambda batch: (batch.at_s, batch.writer, batch.first))
    return CalibrationLog(logs[0].provenance, tuple(kept))


def read_log(path: Path) -> CalibrationLog:
    """The state in a file, or a `CalibrationError`; a torn last line is left out."""
    with reading(path, field="calibration", error=CalibrationError, remedy="make it with 'a1-trt calibrate run'"):
        if path.stat().st_size > MAX_FILE_BYTES:
            raise CalibrationError(f"{path} is larger than {MAX_FILE_BYTES} bytes", field="calibration")
        data = path.read_bytes()
    n_bytes = data.rfind(b"\n") + 1
    lines = data[:n_bytes].splitlines()
    if not lines:
        raise _damaged(f"{path} holds no whole line")
    provenance = _provenance(lines[0])
    batches = tuple(_batch(line, number) for number, line in enumerate(lines[1:], 2))
    _check_order(batches)
    return CalibrationLog(provenance, batches, n_bytes)


def write_log(path: Path, log: CalibrationLog) -> None:
    """Write a file at once or not at all."""
    with writing(path, error=CalibrationError, remedy="name another file"):
        write_whole(path, [header_line(log.provenance), *map(batch_line, log.batches)])


def header_line(provenance: Provenance) -> bytes:
    return _line({"format": FORMAT, "version": VERSION, **asdict(provenance)})


def batch_line(batch: Batch) -> bytes:
    return _line(asdict(batch))


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _provenance(line: bytes) -> Provenance:
    header = _checked(partial(_HEADER.validate_json, line), 1)
    if header.get("format") != FORMAT or header.get("version") != VERSION:
        raise CalibrationError(
            f"the file has format {header.get('format')!r}, version {header.get('version')!r}; "
            f"this package reads {FORMAT!r}, version {VERSION}",
            field="version",
            remedy=_AGAIN,
        )
    named = {name: header.get(name) for name in Provenance.__dataclass_fields__}
    return _checked(partial(_PROVENANCE.validate_python, named), 1)


def _batch(line: bytes, number: int) -> Batch:
    return _checked(partial(_BATCH.validate_json, line, strict=True), number)


def _checked(validate: Callable[[], _T], number: int) -> _T:
    try:
        return validate()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = [str(part) for part in first["loc"]]
    if len(place) == 3:
        place[2] = _ROW[int(place[2])]
    raise _damaged(": ".join([f"line {number}", *place, first["msg"]]))


def _check_order(batches: Iterable[Batch]) -> None:
    """Every writer's decisions follow each other without a gap."""
    of_writer: dict[str, list[Batch]] = {}
    for batch in batches:
        of_writer.setdefault(batch.writer, []).append(batch)
    for writer, own in of_writer.items():
        starts = [own[0].first == 0, *(later.first == earlier.end for earlier, later in pairwise(own))]
        if not all(starts):
            raise _damaged(f"decisions of writer {writer} are missing or stand twice")


def _damaged(what: str) -> CalibrationError:
    return CalibrationError(f"the calibration is damaged: {what}", field="calibration", remedy=_AGAIN)
