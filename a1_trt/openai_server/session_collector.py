"""A session's counters for prometheus_client, under the names that they have on Triton's /metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from a1_trt.triton.exporter import FAMILIES, P_VALUE, P_VALUE_BOUNDS, P_VALUE_DESCRIPTION, Snapshot


class SessionCollector(Collector):
    """Reads a session when it is scraped.

    Args:
        snapshot: `a1_trt.runtime.session.Session.snapshot`.
    """

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """All metrics of the session."""
        snapshot = self._snapshot()
        for family in FAMILIES:
            readings = list(family.read(snapshot))
            names = list(readings[0][0]) if readings else []
            kind = CounterMetricFamily if family.is_counter else GaugeMetricFamily
            metric = kind(family.name, family.description, labels=names)
            for labels, value in readings:
                metric.add_metric(list(labels.values()), value)
            yield metric
        counts = snapshot["p_value_counts"]
        bounds = [*map(str, P_VALUE_BOUNDS), "+Inf"]
        # Each is counted in the middle of its bucket.
        total = sum(
            count * (bound - P_VALUE_BOUNDS[0] / 2) for count, bound in zip(counts, P_VALUE_BOUNDS, strict=True)
        )
        buckets = list(zip(bounds, [*accumulate(counts), sum(counts)], strict=True))
        yield HistogramMetricFamily(P_VALUE, P_VALUE_DESCRIPTION, buckets=buckets, sum_value=total)
