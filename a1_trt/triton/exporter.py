"""A session's counters as metric families, and on Triton's /metrics as custom metrics of its Python backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from a1_trt.runtime.metrics import N_BINS, Metrics

ROLES = ("draft", "target")
_NO_CALLS = dict.fromkeys(ROLES, 0)
_START = {
    **Metrics().snapshot(),
    "calls_in_flight": _NO_CALLS,
    "calls_waiting": _NO_CALLS,
    "calibration_size": 0,
    "scoring_available": True,
}

Snapshot = Mapping[str, Any]
"""What `a1_trt.runtime.session.Session.snapshot` returns."""
Reading = tuple[dict[str, str], float]
"""Labels, and the value that has them."""


@dataclass(frozen=True, slots=True)
class Family:
    """The metrics of one name.

    Args:
        name: Its name.
        kind: "counter" or "gauge".
        description: What it is.
        read: Its metrics in a snapshot; a pair of labels and value for each.
    """

    name: str
    kind: Literal["counter", "gauge"]
    description: str
    read: Callable[[Snapshot], Iterable[Reading]]


def _by_role(key: str) -> Callable[[Snapshot], Iterable[Reading]]:
    return lambda snapshot: [({"role": role}, snapshot[key][role]) for role in ROLES]


def _one(key: str) -> Callable[[Snapshot], Iterable[Reading]]:
    return lambda snapshot: [({}, snapshot[key])] if snapshot[key] is not None else []


def _tokens(snapshot: Snapshot) -> Iterable[Reading]:
    yield from (({"role": role, "kind": "generated"}, snapshot["tokens"][role]) for role in ROLES)
    yield {"role": "target", "kind": "scored"}, snapshot["scored_tokens"]


FAMILIES = (
    Family("a1_segments_total", "counter", "Segments written, by role", _by_role("segments")),
    Family("a1_tokens_total", "counter", "Tokens, by role and kind: generated or scored", _tokens),
    Family("a1_scored_total", "counter", "Segments scored by the target", _one("scored")),
    Family("a1_takeovers_total", "counter", "Scored segments that the target took over", _one("takeovers")),
    Family(
        "a1_forced_total",
        "counter",
        "Decisions in which a hard limit overruled the controller, by limit",
        lambda snapshot: [({"limit": limit}, count) for limit, count in snapshot["forced"].items()],
    ),
    Family(
        "a1_unscored_total",
        "counter",
        "Segments that could not be scored and were dropped, by reason",
        lambda snapshot: [({"reason": reason}, count) for reason, count in snapshot["unscored"].items()],
    ),
    Family(
        "a1_stopped_samples_total",
        "counter",
        "Samples stopped because the vote could not change any more",
        lambda snapshot: [({}, snapshot["samples"]["stopped"])],
    ),
    Family("a1_problems_total", "counter", "Problems solved", _one("problems")),
    Family("a1_rejection_rate", "gauge", "Share of scored segments that the target took over", _one("rejection_rate")),
    Family("a1_calls_in_flight", "gauge", "Calls in flight, by role", _by_role("calls_in_flight")),
    Family("a1_calls_waiting", "gauge", "Calls that wait for a free place, by role", _by_role("calls_waiting")),
    Family("a1_calibration_size", "gauge", "Scores in the calibration set", _one("calibration_size")),
    Family(
        "a1_scoring_available",
        "gauge",
        "0 while too many segments go unscored for problems to be solved, else 1",
        lambda snapshot: [({}, float(snapshot["scoring_available"]))],
    ),
)
P_VALUE = "a1_p_value"
P_VALUE_DESCRIPTION = "P-values of scored segments, each counted in the middle of its tenth"
P_VALUE_BOUNDS = [(index + 1) / N_BINS for index in range(N_BINS)]
"""Upper bounds of the buckets, without the last one, up to infinity."""


class Exporter:
    """Writes snapshots of a session to Triton's /metrics.

    Args:
        pb: Triton's module `triton_python_backend_utils`.
    """

    def __init__(self, pb: Any) -> None:
        make = pb.MetricFamily
        kinds = {"counter": make.COUNTER, "gauge": make.GAUGE}
        self._families = {
            family.name: make(name=family.name, description=family.description, kind=kinds[family.kind])
            for family in FAMILIES
        }
        self._histogram = make(name=P_VALUE, description=P_VALUE_DESCRIPTION, kind=make.HISTOGRAM)
        self._p_values = self._histogram.Metric(labels={}, buckets=P_VALUE_BOUNDS)
        self._metrics: dict[tuple[str, tuple[tuple[str, str], ...]], Any] = {}
        self._values: dict[Any, float] = {}
        self._seen = [0] * N_BINS
        self.update(_START)

    def update(self, snapshot: Snapshot) -> None:
        """Bring the metrics to a snapshot."""
        for family in FAMILIES:
            for labels, value in family.read(snapshot):
                self._update_one(family, labels, value)
        for index, count in enumerate(snapshot["p_value_counts"]):
            for _ in range(count - self._seen[index]):
                self._p_values.observe((index + 0.5) / N_BINS)
        self._seen = list(snapshot["p_value_counts"])

    def _update_one(self, family: Family, labels: dict[str, str], value: float) -> None:
        key = (family.name, tuple(labels.items()))
        if key not in self._metrics:
            self._metrics[key] = self._families[family.name].Metric(labels=labels)
        elif self._values[key] == value:
            return  # each update costs a message between two processes
        if family.kind == "counter":  # Triton's only go up by a difference
            self._metrics[key].increment(value - self._values.get(key, 0.0))
        else:
            self._metrics[key].set(value)
        self._values[key] = value
