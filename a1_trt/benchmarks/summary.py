"""The figures of a run from the records of its problems. Intervals are 95 %, with problems as independent units."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from a1_trt.benchmarks.records import ProblemRecord
from a1_trt.benchmarks.statistics import pass_at_k, percentiles, rate_interval, wilson_interval
from a1_trt.types import Usage


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate of n observations, of n_problems problems, and its interval; None where there are too few for one."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    n_hits: int
    n_problems: int

    @property
    def ci95(self) -> list[float] | None:
        return None if self.low is None or self.high is None else [self.low, self.high]


@dataclass(frozen=True, slots=True)
class Summary:
    """What is reported of some records, whichever command made them.

    `accuracy` is the share whose vote is right, `any_right` that with any right sample, `pass_at_k` the chance that one
    of k samples is right, mean over problems; `rejections` is the share of scored segments that the target took over,
    None where none was scored; `usage` has sums by the names of `Usage`. Latencies are percentiles.
    """

    n_records: int
    n_failed: int
    accuracy: Rate
    any_right: Rate
    pass_at_k: Mapping[int, Rate]
    rejections: Rate | None
    rejections_by_turn: Mapping[int, Rate]
    usage: Mapping[str, int]
    n_failed_samples: int
    latency_s: Mapping[str, float | None]
    sample_latency_s: Mapping[str, float | None]
    first_answer_s: Mapping[str, float | None]


def summarise(records: Sequence[ProblemRecord]) -> Summary:
    """The figures of records; those of one problem, from several repeats, are one unit of every interval."""
    solved = [record for record in records if record.error is None]
    most = min((record.n_finished for record in solved), default=0)
    turns = sorted({turn for record in records for turn in record.scored_by_turn})
    return Summary(
        n_records=len(records),
        n_failed=len(records) - len(solved),
        accuracy=_share([record.correct for record in records]),
        any_right=_share([record.n_right > 0 for record in records]),
        pass_at_k={k: _pass_at(records, k) for k in _powers(max(1, most))} if records else {},
        rejections=rejections(records, turns),
        rejections_by_turn={turn: rate for turn in turns if (rate := rejections(records, [turn]))},
        usage={f.name: sum(getattr(record.usage, f.name) for record in records) for f in fields(Usage)},
        n_failed_samples=sum(record.n_failed_samples for record in records),
        latency_s=percentiles([record.latency_s for record in records if record.latency_s is not None]),
        sample_latency_s=percentiles([time_s for record in records for time_s in record.sample_latencies_s]),
        first_answer_s=percentiles([r.first_answer_s for r in records if r.first_answer_s is not None]),
    )


def _share(hits: Sequence[bool]) -> Rate:
    n, n_hits = len(hits), sum(hits)
    low, high = wilson_interval(n_hits, n)
    return Rate(n_hits / n if n else None, low, high, n, n_hits, n)


def _pass_at(records: Sequence[ProblemRecord], k: int) -> Rate:
    """Mean over problems; samples that did not run to their end leave a problem with fewer than k without a chance."""
    by_problem: dict[int, list[float]] = defaultdict(list)
    for record in records:
        enough = record.n_finished >= k
        by_problem[record.problem].append(pass_at_k(record.n_finished, record.n_right, k) if enough else 0.0)
    chances = np.asarray([np.mean(repeats) for repeats in by_problem.values()])
    low, high = rate_interval(chances, np.ones(len(chances)), seed=0)
    n_hits = sum(record.n_right for record in records)
    return Rate(float(chances.mean()), low, high, sum(r.n_finished for r in records), n_hits, len(chances))


def rejections(records: Sequence[ProblemRecord], turns: Collection[int]) -> Rate | None:
    """Share of the scored segments of these turns that the target took over; None where none was scored."""
    by_problem: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for record in records:
        for turn, (n_scored, n_takeovers) in record.scored_by_turn.items():
            if turn in turns:
                by_problem[record.problem][0] += n_scored
                by_problem[record.problem][1] += n_takeovers
    counts = np.asarray(list(by_problem.values()), dtype=np.float64).reshape(-1, 2)
    n, n_takeovers = map(int, counts.sum(axis=0))
    if not n:
        return None
    low, high = rate_interval(counts[:, 1], counts[:, 0], seed=0)
    return Rate(n_takeovers / n, low, high, n, n_takeovers, int((counts[:, 0] > 0).sum()))


def _powers(most: int) -> list[int]:
    """1, 2, 4 and so on, and `most` itself."""
    return sorted({*(2**power for power in range(most.bit_length())), most})
