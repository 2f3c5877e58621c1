"""Counts and times of the requests to the endpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from a1_trt.errors import DeadlineExceeded
from a1_trt.openai_server.failures import failure_of
from a1_trt.types import Event, SampleFinished

_BOUNDS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
_MOST_RETRY_S = 60
_E2E = "a1_e2e_request_latency_seconds"
_FIRST_TOKEN = "a1_time_to_first_token_seconds"  # noqa: S105  not a password
_FIRST_ANSWER = "a1_time_to_first_answer_seconds"
_TIMES = {
    _E2E: "Time from a request to its whole response",
    _FIRST_TOKEN: "Time from a streamed request to its first reasoning or content",
    _FIRST_ANSWER: "Time from a request to the first sample with an answer",
}
disable_created_metrics()  # type: ignore[no-untyped-call]  # a second metric a counter, of no use


class RequestMetrics:
    """Counts requests, and times them; `alpha` is the pair's rejection rate, which a request may change."""

    def __init__(self, model: str, alpha: float) -> None:
        registry = CollectorRegistry()
        names = ("model_name",)
        self._registry = registry
        self._model = model
        by_code, by_reason = (*names, "code"), (*names, "reason")
        self._errors = Counter("a1_request_errors", "Requests that failed, by code", by_code, registry=registry)
        self._success = Counter("a1_request_success", "Requests answered", names, registry=registry).labels(model)
        description = "Samples asked for and given up, by reason"
        self._cancelled = Counter("a1_cancelled_samples", description, by_reason, registry=registry)
        for reason in ("disconnect", "deadline"):
            self._cancelled.labels(model, reason)
        self._running = Gauge("a1_num_requests_running", "Requests at work", names, registry=registry).labels(model)
        Gauge("a1_alpha_target", "Rejection rate of the pair", names, registry=registry).labels(model).set(alpha)
        self._times = {
            name: Histogram(name, description, names, buckets=_BOUNDS_S, registry=registry).labels(model)
            for name, description in _TIMES.items()
        }

    @property
    def retry_after_s(self) -> int:
        """When to come back: after the mean time of a request, but within a minute, seconds."""
        total_s, n_requests = (
            self._registry.get_sample_value(f"{_E2E}_{part}", {"model_name": self._model}) or 0.0
            for part in ("sum", "count")
        )
        return max(1, min(_MOST_RETRY_S, math.ceil(total_s / max(1, n_requests))))

    @contextmanager
    def request(self, n_samples: int) -> Iterator[Stopwatch]:
        """Watch one request for that many samples; what leaves the block says how it ended."""
        stopwatch = Stopwatch(self._times)
        with self._running.track_inprogress():
            try:
                yield stopwatch
            except Exception as error:
                self.failed(error)
                if isinstance(error, DeadlineExceeded):
                    self._cancelled.labels(self._model, "deadline").inc(n_samples)
                raise
            except BaseException:  # cancelled, or a generator closed: its caller has gone
                self._cancelled.labels(self._model, "disconnect").inc(n_samples)
                raise
            self._success.inc()
            stopwatch.done()

    def failed(self, error: Exception) -> None:
        self._errors.labels(self._model, failure_of(error).code).inc()

    def text(self) -> str:
        return generate_latest(self._registry).decode()


class Stopwatch:
    def __init__(self, times: dict[str, Histogram]) -> None:
        self._times = dict(times)
        self._started_s = time.monotonic()

    def first_token(self) -> None:
        """Something readable goes out; only the first one counts."""
        self._stop(_FIRST_TOKEN)

    def saw(self, event: Event) -> None:
        if isinstance(event, SampleFinished) and event.answer is not None:
            self._stop(_FIRST_ANSWER)

    def done(self) -> None:
        self._stop(_E2E)

    def _stop(self, name: str) -> None:
        metric = self._times.pop(name, None)
        if metric is not None:
            metric.observe(time.monotonic() - self._started_s)
