"""What was recorded: the scores of a run in order, and what became of each sample.

Two kinds of file hold recordings: the published traces (.npz) and the records that `a1-trt eval` writes (JSON lines).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from a1_trt.benchmarks.statistics import Booleans, Floats, Integers
from a1_trt.errors import InvalidRequestError

MAX_BYTES = 1 << 30
"""Largest recording, bytes, unpacked."""

GROUPS = ("level", "task", "subject")
"""Groups of problems whose rates are reported by themselves."""

MAX_SEGMENTS = 10_000_000
"""Most segments of a recording."""


@dataclass(frozen=True)
class Samples:
    """What became of each sample.

    Args:
        problem: Number of its problem, int[n_samples].
        sample: Its number within the problem, int[n_samples].
        answers: Its answer; None where it gave none.
        correct: Whether that is right, bool[n_samples]; None where the recording does not say.
    """

    problem: Integers
    sample: Integers
    answers: tuple[str | None, ...]
    correct: Booleans | None = None


@dataclass(frozen=True)
class Recording:
    """Scored segments in the order in which they were served.

    Args:
        name: Name of the file.
        problems: Names of the problems, in order of appearance.
        problem: Number of each segment's problem, int[n].
        sample: Number of its sample, int[n].
        turn: Turn of the sample, from 0, int[n].
        scores: The score that decided, float[n], all finite.
        n_unscored: Segments without a score, which are left out: the draft wrote nothing.
        p_values: p-values that were recorded, float[n].
        takeovers: Decisions that were recorded, bool[n].
        margins: Recorded p-value minus the level it was compared with, float[n]; at most 0 is a takeover.
        other_scores: Further scores of the same segments, float[n] each; NaN where one is missing.
        calibration_scores: Scores of first turns that were made before the run, float[m].
        calibration_problem: Number of each calibration score's problem, where it is known, int[m].
        samples: What became of the samples, where it was recorded.
        groups: Names of groups of problems, such as {"level": (one a problem)}.
    """

    name: str
    problems: tuple[str, ...]
    problem: Integers
    sample: Integers
    turn: Integers
    scores: Floats
    n_unscored: int = 0
    p_values: Floats | None = None
    takeovers: Booleans | None = None
    margins: Floats | None = None
    other_scores: Mapping[str, Floats] = field(default_factory=dict)
    calibration_scores: Floats | None = None
    calibration_problem: Integers | None = None
    samples: Samples | None = None
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def samples_a_problem(self) -> float:
        """Samples of a problem that were scored, on average."""
        held = len(np.unique(self.problem))
        return len(np.unique(np.stack((self.problem, self.sample)), axis=1).T) / held

    def reordered(self, order: Integers) -> Recording:
        """The segments `order` picks, in that order."""
        picked = {
            name: None if array is None else array[order]
            for name, array in (
                ("p_values", self.p_values),
                ("takeovers", self.takeovers),
                ("margins", self.margins),
            )
        }
        return replace(
            self,
            problem=self.problem[order],
            sample=self.sample[order],
            turn=self.turn[order],
            scores=self.scores[order],
            other_scores={name: array[order] for name, array in self.other_scores.items()},
            **picked,  # type: ignore[arg-type]  # the names are those of the fields
        )


def in_served_order(recording: Recording) -> Recording:
    """Problems in order of appearance, within a problem by turn and then by sample.

    Example:
        >>> segments = {"problem": np.array([0, 0, 0]), "sample": np.array([0, 0, 1]), "turn": np.array([0, 1, 0])}
        >>> recorded = Recording("run", ("p1",), scores=np.array([1.0, 2.0, 3.0]), **segments)
        >>> in_served_order(recorded).scores.tolist()
        [1.0, 3.0, 2.0]
    """
    return recording.reordered(np.lexsort((recording.sample, recording.turn, recording.problem)).astype(np.int64))


def shuffled(recording: Recording, seed: int) -> Recording:
    """The segments in random order, which makes them exchangeable.

    Example:
        >>> segments = {"problem": np.zeros(3, int), "sample": np.arange(3), "turn": np.zeros(3, int)}
        >>> recorded = Recording("run", ("p1",), scores=np.array([1.0, 2.0, 3.0]), **segments)
        >>> sorted(shuffled(recorded, seed=1).scores.tolist())
        [1.0, 2.0, 3.0]
    """
    return recording.reordered(np.random.default_rng([seed, 1]).permutation(len(recording)).astype(np.int64))


def permuted(recording: Recording, seed: int) -> Recording:
    """Problems in random order, each of them served as a whole.

    Example:
        >>> segments = {"problem": np.array([0, 0, 1]), "sample": np.zeros(3, int), "turn": np.array([0, 1, 0])}
        >>> recorded = Recording("run", ("p1", "p2"), scores=np.array([1.0, 2.0, 3.0]), **segments)
        >>> permuted(recorded, seed=0).scores.tolist()
        [3.0, 1.0, 2.0]
    """
    place = np.random.default_rng([seed, 5]).permutation(len(recording.problems))[recording.problem]
    return recording.reordered(np.lexsort((recording.sample, recording.turn, place)).astype(np.int64))


def interleaved(recording: Recording, n_in_flight: int = 16) -> Recording:
    """Several problems at once, a segment of each in turn; when one has no more, the next problem begins.

    Example:
        >>> segments = {"problem": np.array([0, 0, 1, 2]), "sample": np.zeros(4, int), "turn": np.array([0, 1, 0, 0])}
        >>> recorded = Recording("run", ("p1", "p2", "p3"), scores=np.array([1.0, 2.0, 3.0, 4.0]), **segments)
        >>> interleaved(recorded, 2).scores.tolist()
        [1.0, 3.0, 2.0, 4.0]
    """
    served = np.lexsort((recording.sample, recording.turn, recording.problem))
    ends = np.flatnonzero(np.diff(recording.problem[served])) + 1
    waiting = deque(deque(each.tolist()) for each in np.split(served, ends))
    active = deque(waiting.popleft() for _ in range(min(n_in_flight, len(waiting))))
    order = []
    while active:
        segments = active.popleft()
        order.append(segments.popleft())
        if segments:
            active.append(segments)
        elif waiting:
            active.append(waiting.popleft())
    return recording.reordered(np.asarray(order, dtype=np.int64))


def read_recording(path: Path) -> Recording:
    """A recording from its file, checked from end to end, in served order.

    Args:
        path: A trace (.npz) or records (JSON lines); the content tells which.

    Raises:
        InvalidRequestError: It cannot be read, is neither, is too large, or holds something that is no score.

    Example:
        >>> len(read_recording(Path("math.npz")))  # doctest: +SKIP
        4066
    """
    from a1_trt.offline.records import read_records
    from a1_trt.offline.trace import read_trace

    try:
        with path.open("rb") as stream:
            head = stream.read(8)
        n_bytes = path.stat().st_size
    except OSError as error:
        raise bad(path, f"cannot be read: {error.strerror}") from None
    if not head:
        raise bad(path, "is empty")
    if n_bytes > MAX_BYTES:
        raise bad(path, f"has {n_bytes} bytes, more than {MAX_BYTES}", remedy="give a part of it")
    if head[:2] == b"PK":
        return in_served_order(read_trace(path))
    if head.lstrip()[:1] == b"{":
        return in_served_order(read_records(path))
    raise bad(path, "is neither an .npz archive nor JSON lines")


def bad(path: Path, what: str, *, field: str = "trace", remedy: str | None = None) -> InvalidRequestError:
    """The error that every fault of a recording becomes."""
    return InvalidRequestError(
        f"{path} {what}", field=field, remedy=remedy or "give a trace (.npz) or records of 'a1-trt eval' (JSON lines)"
    )
