"""What was recorded: the scores of a run in order, and what became of each sample."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from a1_trt.benchmarks.statistics import Booleans, Floats, Integers


@dataclass(frozen=True)
class Samples:
    """What became of each sample, int[n_samples] each; no answer is None, `correct` None where it is not recorded."""

    problem: Integers
    sample: Integers
    answers: tuple[str | None, ...]
    correct: Booleans | None = None


@dataclass(frozen=True)
class Recording:
    """Scored segments in the order in which they were served; arrays are of n segments."""

    name: str  # of the file
    problems: tuple[str, ...]  # names, in order of appearance
    problem: Integers  # number of each segment's problem
    sample: Integers
    turn: Integers  # from 0
    scores: Floats  # the score that decided, all finite
    n_unscored: int = 0  # segments that are left out: the draft wrote nothing
    p_values: Floats | None = None  # as recorded, like the takeovers
    takeovers: Booleans | None = None
    margins: Floats | None = None  # p-value minus the level it was compared with; at most 0 is a takeover
    other_scores: Mapping[str, Floats] = field(default_factory=dict)  # NaN where one is missing
    calibration_scores: Floats | None = None  # float[m], of first turns that were made before the run
    calibration_problem: Integers | None = None  # int[m]
    samples: Samples | None = None
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # such as {"level": (one a problem)}

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def samples_a_problem(self) -> float:
        """Samples of a problem that were scored, on average."""
        held = len(np.unique(self.problem))
        return len(np.unique(np.stack((self.problem, self.sample)), axis=1).T) / held

    def reordered(self, order: Integers) -> Self:
        names = ("problem", "sample", "turn", "scores", "p_values", "takeovers", "margins")
        arrays: dict[str, Any] = {name: getattr(self, name) for name in names}
        picked = {name: array[order] for name, array in arrays.items() if array is not None}
        others = {name: array[order] for name, array in self.other_scores.items()}
        return replace(self, **picked, other_scores=others)


def in_served_order(recording: Recording) -> Recording:
    """Problems in order of appearance, within a problem by turn and then by sample."""
    return recording.reordered(np.lexsort((recording.sample, recording.turn, recording.problem)).astype(np.int64))


def shuffled(recording: Recording, seed: int) -> Recording:
    """The segments in random order, which makes them exchangeable."""
    return recording.reordered(np.random.default_rng([seed, 1]).permutation(len(recording)).astype(np.int64))


def permuted(recording: Recording, seed: int) -> Recording:
    """Problems in random order, each of them served as a whole."""
    place = np.random.default_rng([seed, 5]).permutation(len(recording.problems))[recording.problem]
    return recording.reordered(np.lexsort((recording.sample, recording.turn, place)).astype(np.int64))


def interleaved(recording: Recording, n_in_flight: int = 16) -> Recording:
    """Several problems at once, a segment of each in turn; when one has no more, the next problem begins."""
    served = np.lexsort((recording.sample, recording.turn, recording.problem))
    ends = np.flatnonzero(np.diff(recording.problem[served])) + 1
    waiting = deque(deque(segments.tolist()) for segments in np.split(served, ends))
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
