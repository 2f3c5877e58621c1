"""Metrics as Prometheus' text.

The interface is that of the metrics of Triton's Python backend, so that `a1_trt.triton.exporter` writes here, too, and
a metric has one name wherever it is read.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]


class Metric:
    """A counter or a gauge with its labels."""

    def __init__(self) -> None:
        self.value = 0.0

    def increment(self, by: float) -> None:
        """Add to it."""
        self.value += by

    def set(self, value: float) -> None:
        """Replace it."""
        self.value = value

    def lines(self, name: str, labels: Mapping[str, str]) -> Iterator[str]:
        """Its line."""
        yield f"{name}{_labels(labels)} {_number(self.value)}"


class Histogram:
    """Observations counted by size.

    Args:
        buckets: Upper bounds, ascending; the last bucket, up to infinity, is implied.
    """

    def __init__(self, buckets: Sequence[float]) -> None:
        self._bounds = list(buckets)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    @property
    def mean(self) -> float:
        """Mean of the observations; 0 where there are none."""
        return self._sum / max(1, sum(self._counts))

    def observe(self, value: float) -> None:
        """Count one observation."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str, labels: Mapping[str, str]) -> Iterator[str]:
        """Its cumulative buckets, sum and count."""
        total = 0
        for bound, count in zip([*self._bounds, math.inf], self._counts, strict=True):
            total += count
            yield f"{name}_bucket{_labels({**labels, 'le': _number(bound)})} {total}"
        yield f"{name}_sum{_labels(labels)} {_number(self._sum)}"
        yield f"{name}_count{_labels(labels)} {total}"


class Family:
    """All metrics of one name.

    Args:
        name: The name.
        description: What it is.
        kind: Its type.
    """

    def __init__(self, name: str, description: str, kind: Kind) -> None:
        self.name = name
        self._description = description
        self._kind = kind
        self._metrics: list[tuple[dict[str, str], Metric | Histogram]] = []

    def Metric(  # noqa: N802  Triton's spelling
        self, labels: Mapping[str, str] | None = None, buckets: Sequence[float] | None = None
    ) -> Metric | Histogram:
        """A new metric of the family."""
        metric = Histogram(buckets or ()) if self._kind == "histogram" else Metric()
        self._metrics.append((dict(labels or {}), metric))
        return metric

    def lines(self) -> Iterator[str]:
        """The family's text."""
        yield f"# HELP {self.name} {self._description}"
        yield f"# TYPE {self.name} {self._kind}"
        for labels, metric in self._metrics:
            yield from metric.lines(self.name, labels)


class _Kinds:
    """Makes families of one registry; stands where Triton has its class MetricFamily."""

    COUNTER: Kind = "counter"
    GAUGE: Kind = "gauge"
    HISTOGRAM: Kind = "histogram"

    def __init__(self, families: dict[str, Family]) -> None:
        self._families = families

    def __call__(self, name: str, description: str, kind: Kind) -> Family:
        return self._families.setdefault(name, Family(name, description, kind))


class Registry:
    """All metrics of a process.

    Example:
        >>> registry = Registry()
        >>> family = registry.MetricFamily("a1_problems_total", "Problems solved", registry.MetricFamily.COUNTER)
        >>> family.Metric(labels={"model_name": "reference"}).increment(2)
        >>> print(registry.text().splitlines()[-1])
        a1_problems_total{model_name="reference"} 2
    """

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}
        self.MetricFamily = _Kinds(self._families)

    def text(self) -> str:
        """Everything in Prometheus' text format, version 0.0.4."""
        return "".join(f"{line}\n" for family in self._families.values() for line in family.lines())


def _labels(labels: Mapping[str, str]) -> str:
    said = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{said}}}" if said else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) else repr(value)
