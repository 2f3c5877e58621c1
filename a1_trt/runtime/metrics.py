"""Counters folded from what happens; no exporter here."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from a1_trt.types import (
    ROLES,
    Event,
    ProblemFinished,
    Role,
    SampleEnd,
    SampleFinished,
    SegmentScored,
    SegmentUnscored,
    SegmentWritten,
)

N_BINS = 10
LIMITS = ("debt", "budget", "cap")
REASONS = ("context_length", "empty_segment", "engine", "engine_timeout", "engine_unavailable", "score_shape")
"""The usual reasons why a segment has no score: they are counted from the start, others when they come."""


@dataclass(slots=True)
class Metrics:
    """Totals since the start, over all problems.

    Args:
        segments: Segments written per role; likewise `tokens`.
        forced: Decisions per hard limit that overruled the controller; likewise `unscored` and `ends` per reason.
        p_values: Scored segments per tenth of the p-value, int[10]; flat when the scores are exchangeable.

    Example:
        >>> metrics = Metrics()
        >>> metrics.fold(SegmentScored(sample=0, turn=0, score=1.5, p_value=0.07, takeover=True))
        >>> metrics.rejection_rate, metrics.p_values[0]
        (1.0, 1)
    """

    segments: Counter[Role] = field(default_factory=Counter)
    tokens: Counter[Role] = field(default_factory=Counter)
    scored_tokens: int = 0
    scored: int = 0
    takeovers: int = 0
    problems: int = 0
    forced: Counter[str] = field(default_factory=Counter)
    unscored: Counter[str] = field(default_factory=Counter)
    ends: Counter[SampleEnd] = field(default_factory=Counter)
    p_values: list[int] = field(default_factory=lambda: [0] * N_BINS)

    @property
    def rejection_rate(self) -> float | None:
        """Share of scored segments that the target took over; None when none was scored."""
        return self.takeovers / self.scored if self.scored else None

    def fold(self, event: Event) -> None:
        if isinstance(event, SegmentWritten):
            self.segments[event.segment.role] += 1
            self.tokens[event.segment.role] += event.segment.n_tokens
        elif isinstance(event, SegmentScored):
            self.scored += 1
            self.takeovers += event.takeover
            if event.forced:
                self.forced[event.forced] += 1
            self.p_values[min(int(event.p_value * N_BINS), N_BINS - 1)] += 1
        elif isinstance(event, SegmentUnscored):
            self.unscored[event.reason] += 1
        elif isinstance(event, SampleFinished):
            self.ends[event.end] += 1
        elif isinstance(event, ProblemFinished):
            self.problems += 1
            self.scored_tokens += event.result.usage.scored_tokens

    def snapshot(self) -> dict[str, Any]:
        """The totals as plain numbers, for an exporter."""
        return {
            "segments": {role: self.segments[role] for role in ROLES},
            "tokens": {role: self.tokens[role] for role in ROLES},
            "scored": self.scored,
            "takeovers": self.takeovers,
            "forced": {limit: self.forced[limit] for limit in LIMITS},
            "unscored": {reason: self.unscored[reason] for reason in (*REASONS, *self.unscored)},
            "scored_tokens": self.scored_tokens,
            "problems": self.problems,
            "samples": {end.value: self.ends[end] for end in SampleEnd},
            "rejection_rate": self.rejection_rate,
            "p_value_counts": list(self.p_values),
        }
