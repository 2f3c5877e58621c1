"""A session's counters as metric families, and on Triton's /metrics as custom metrics of its Python backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from a1_trt.runtime.metrics import N_BINS, Metrics

_NO_CALLS = {name: {"draft": 0, "target": 0} for name in ("calls_in_flight", "calls_waiting")}
_START = {**Metrics().snapshot(), **_NO_CALLS, "calibration_size": 0, "scoring_available": True}
_AVAILABLE = "0 while too many segments go unscored for problems to be solved, else 1"

Snapshot = Mapping[str, Any]
Reading = tuple[dict[str, str], float]


@dataclass(frozen=True, slots=True)
class Family:
    """The metrics of one name: a counter where that ends in _total, else a gauge."""

    name: str
    read: Callable[[Snapshot], Iterable[Reading]]
    description: str

    @property
    def is_counter(self) -> bool:
        return self.name.endswith("_total")


def _one(key: str) -> Callable[[Snapshot], Iterable[Reading]]:
    return lambda snapshot: [({}, float(snapshot[key]))] if snapshot[key] is not None else []


def _by(label: str, key: str) -> Callable[[Snapshot], Iterable[Reading]]:
    return lambda snapshot: [({label: name}, value) for name, value in snapshot[key].items()]


def _tokens(snapshot: Snapshot) -> Iterable[Reading]:
    yield from (({"role": role, "kind": "generated"}, count) for role, count in snapshot["tokens"].items())
    yield {"role": "target", "kind": "scored"}, snapshot["scored_tokens"]


def _stopped(snapshot: Snapshot) -> Iterable[Reading]:
    yield {}, snapshot["samples"]["stopped"]


FAMILIES = (
    Family("a1_segments_total", _by("role", "segments"), "Segments written, by role"),
    Family("a1_tokens_total", _tokens, "Tokens, by role and kind: generated or scored"),
    Family("a1_scored_total", _one("scored"), "Segments scored by the target"),
    Family("a1_takeovers_total", _one("takeovers"), "Scored segments that the target took over"),
    Family(
        "a1_forced_total", _by("limit", "forced"), "Decisions in which a hard limit overruled the controller, by limit"
    ),
    Family(
        "a1_unscored_total", _by("reason", "unscored"), "Segments that could not be scored and were dropped, by reason"
    ),
    Family("a1_stopped_samples_total", _stopped, "Samples stopped because the vote could not change any more"),
    Family("a1_problems_total", _one("problems"), "Problems solved"),
    Family("a1_rejection_rate", _one("rejection_rate"), "Share of scored segments that the target took over"),
    Family("a1_calls_in_flight", _by("role", "calls_in_flight"), "Calls in flight, by role"),
    Family("a1_calls_waiting", _by("role", "calls_waiting"), "Calls that wait for a free place, by role"),
    Family("a1_calibration_size", _one("calibration_size"), "Scores in the calibration set"),
    Family("a1_scoring_available", _one("scoring_available"), _AVAILABLE),
)
P_VALUE = "a1_p_value"
P_VALUE_DESCRIPTION = "P-values of scored segments, each counted in the middle of its tenth"
P_VALUE_BOUNDS = [(index + 1) / N_BINS for index in range(N_BINS)]


class Exporter:
    """Writes snapshots of a session to Triton's /metrics; `pb` is Triton's module `triton_python_backend_utils`."""

    def __init__(self, pb: Any) -> None:
        make = pb.MetricFamily
        self._families: dict[str, Any] = {}
        for family in FAMILIES:
            kind = make.COUNTER if family.is_counter else make.GAUGE
            self._families[family.name] = make(name=family.name, description=family.description, kind=kind)
        self._histogram = make(name=P_VALUE, description=P_VALUE_DESCRIPTION, kind=make.HISTOGRAM)
        self._p_values = self._histogram.Metric(labels={}, buckets=P_VALUE_BOUNDS)
        self._metrics: dict[tuple[str, tuple[tuple[str, str], ...]], Any] = {}
        self._values: dict[Any, float] = {}
        self._seen = [0] * N_BINS
        self.update(_START)

    def update(self, snapshot: Snapshot) -> None:
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
        if family.is_counter:  # Triton's only go up by a difference
            self._metrics[key].increment(value - self._values.get(key, 0.0))
        else:
            self._metrics[key].set(value)
        self._values[key] = value
