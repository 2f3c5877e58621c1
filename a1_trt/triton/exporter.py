"""The session's counters as custom metrics of Triton's Python backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from a1_trt.runtime.metrics import N_BINS, Metrics

_NO_CALLS = {"draft": 0, "target": 0}
_START = {
    **Metrics().snapshot(),
    "calls_in_flight": _NO_CALLS,
    "calls_waiting": _NO_CALLS,
    "calibration_size": 0,
    "scoring_available": True,
}

_COUNTERS = {
    "a1_segments_total": "Segments written, by role",
    "a1_tokens_total": "Tokens, by role and kind: generated or scored",
    "a1_scored_total": "Segments scored by the target",
    "a1_takeovers_total": "Scored segments that the target took over",
    "a1_forced_total": "Decisions in which a hard limit overruled the controller, by limit",
    "a1_unscored_total": "Segments that could not be scored and were dropped, by reason",
    "a1_stopped_samples_total": "Samples stopped because the vote could not change any more",
    "a1_problems_total": "Problems solved",
}
_GAUGES = {
    "a1_rejection_rate": "Share of scored segments that the target took over",
    "a1_calls_in_flight": "Calls in flight, by role",
    "a1_calls_waiting": "Calls that wait for a free place, by role",
    "a1_calibration_size": "Scores in the calibration set",
    "a1_scoring_available": "0 while too many segments go unscored for problems to be solved, else 1",
}
_P_VALUE = "P-values of scored segments, each counted in the middle of its tenth"


class Exporter:
    """Writes snapshots of a session to Triton's /metrics.

    Args:
        pb: Triton's module `triton_python_backend_utils`.
    """

    def __init__(self, pb: Any) -> None:
        kinds = pb.MetricFamily
        self._families = {
            name: pb.MetricFamily(name=name, description=said, kind=kind)
            for kind, names in ((kinds.COUNTER, _COUNTERS), (kinds.GAUGE, _GAUGES))
            for name, said in names.items()
        }
        self._histogram = pb.MetricFamily(name="a1_p_value", description=_P_VALUE, kind=kinds.HISTOGRAM)
        # The last bucket, up to infinity, is Triton's own.
        bounds = [(index + 1) / N_BINS for index in range(N_BINS)]
        self._p_values = self._histogram.Metric(labels={}, buckets=bounds)
        self._metrics: dict[tuple[str, tuple[tuple[str, str], ...]], Any] = {}
        self._values: dict[Any, float] = {}
        self._seen = [0] * N_BINS
        self.update(_START)

    def update(self, snapshot: Mapping[str, Any]) -> None:
        """Bring the metrics to a snapshot of `a1_trt.runtime.session.Session.snapshot`."""
        for role in ("draft", "target"):
            self._count("a1_segments_total", snapshot["segments"][role], role=role)
            self._count("a1_tokens_total", snapshot["tokens"][role], role=role, kind="generated")
            self._set("a1_calls_in_flight", snapshot["calls_in_flight"][role], role=role)
            self._set("a1_calls_waiting", snapshot["calls_waiting"][role], role=role)
        self._count("a1_tokens_total", snapshot["scored_tokens"], role="target", kind="scored")
        self._count("a1_scored_total", snapshot["scored"])
        self._count("a1_takeovers_total", snapshot["takeovers"])
        for limit, count in snapshot["forced"].items():
            self._count("a1_forced_total", count, limit=limit)
        for reason, count in snapshot["unscored"].items():
            self._count("a1_unscored_total", count, reason=reason)
        self._set("a1_scoring_available", float(snapshot["scoring_available"]))
        self._count("a1_stopped_samples_total", snapshot["samples"]["stopped"])
        self._count("a1_problems_total", snapshot["problems"])
        self._set("a1_calibration_size", snapshot["calibration_size"])
        if snapshot["rejection_rate"] is not None:
            self._set("a1_rejection_rate", snapshot["rejection_rate"])
        self._observe(snapshot["p_value_counts"])

    def _count(self, name: str, total: float, **labels: str) -> None:
        """Triton's counters only go up by a difference."""
        self._told(name, labels, total, lambda metric, before: metric.increment(total - before))

    def _set(self, name: str, value: float, **labels: str) -> None:
        self._told(name, labels, value, lambda metric, _: metric.set(value))

    def _told(self, name: str, labels: dict[str, str], value: float, tell: Callable[[Any, float], object]) -> None:
        """Tell Triton of a value, unless it knows it: each time costs a message between two processes."""
        key = (name, tuple(labels.items()))
        if key not in self._metrics:
            self._metrics[key] = self._families[name].Metric(labels=labels)
        elif self._values[key] == value:
            return
        tell(self._metrics[key], self._values.get(key, 0.0))
        self._values[key] = value

    def _observe(self, counts: list[int]) -> None:
        for index, count in enumerate(counts):
            for _ in range(count - self._seen[index]):
                self._p_values.observe((index + 0.5) / N_BINS)
        self._seen = list(counts)
