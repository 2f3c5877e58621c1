"""What the endpoint measures of its requests."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from a1_trt.errors import DeadlineExceeded
from a1_trt.openai_server.failures import failure_of
from a1_trt.openai_server.registry import Registry
from a1_trt.types import Event, SampleFinished

_BOUNDS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
_REASONS = ("disconnect", "deadline")
_MOST_RETRY_S = 60
_TIMES = {
    "a1_e2e_request_latency_seconds": "Time from a request to its whole response",
    "a1_time_to_first_token_seconds": "Time from a streamed request to its first reasoning or content",
    "a1_time_to_first_answer_seconds": "Time from a request to the first sample with an answer",
}


class Watch:
    """Counts requests, and times them.

    Args:
        model: The model's name, a label of every metric.
        alpha: The pair's rejection rate, which a request may change.
    """

    def __init__(self, model: str, alpha: float) -> None:
        self._registry = Registry()
        self._label = {"model_name": model}
        kinds = self._registry.MetricFamily
        self._errors_of = kinds("a1_request_errors_total", "Requests that failed, by code", kinds.COUNTER)
        self._errors: dict[str, Any] = {}
        self._success = self._one("a1_request_success_total", "Requests answered", kinds.COUNTER)
        cancelled = kinds("a1_cancelled_samples_total", "Samples asked for and given up, by reason", kinds.COUNTER)
        self._cancelled: dict[str, Any] = {
            reason: cancelled.Metric(labels={**self._label, "reason": reason}) for reason in _REASONS
        }
        self._running = self._one("a1_num_requests_running", "Requests at work", kinds.GAUGE)
        self._one("a1_alpha_target", "Rejection rate of the pair", kinds.GAUGE).set(alpha)
        self._times: dict[str, Any] = {
            name: kinds(name, said, kinds.HISTOGRAM).Metric(labels=self._label, buckets=_BOUNDS_S)
            for name, said in _TIMES.items()
        }

    def _one(self, name: str, said: str, kind: Any) -> Any:
        return self._registry.MetricFamily(name, said, kind).Metric(labels=self._label)

    @property
    def retry_after_s(self) -> int:
        """When to come back: after the mean time of a request, but within a minute, seconds."""
        mean_s: float = self._times["a1_e2e_request_latency_seconds"].mean
        return max(1, min(_MOST_RETRY_S, math.ceil(mean_s)))

    @contextmanager
    def request(self, n_samples: int) -> Iterator[Stopwatch]:
        """Watch one request for that many samples; what leaves the block says how it ended."""
        stopwatch = Stopwatch(self._times)
        self._running.increment(1)
        try:
            yield stopwatch
        except Exception as error:
            self.failed(error)
            if isinstance(error, DeadlineExceeded):
                self._cancelled["deadline"].increment(n_samples)
            raise
        except BaseException:  # cancelled, or a generator closed: its caller has gone
            self._cancelled["disconnect"].increment(n_samples)
            raise
        else:
            self._success.increment(1)
            stopwatch.done()
        finally:
            self._running.increment(-1)

    def failed(self, error: Exception) -> None:
        """Count a request that failed."""
        code = failure_of(error).code
        if code not in self._errors:
            self._errors[code] = self._errors_of.Metric(labels={**self._label, "code": code})
        self._errors[code].increment(1)

    def text(self) -> str:
        """The metrics as Prometheus' text."""
        return self._registry.text()


class Stopwatch:
    """The times of one request."""

    def __init__(self, times: dict[str, Any]) -> None:
        self._times = dict(times)
        self._started_s = time.monotonic()

    def first_token(self) -> None:
        """Something readable goes out; only the first one counts."""
        self._stop("a1_time_to_first_token_seconds")

    def saw(self, event: Event) -> None:
        """Something happened."""
        if isinstance(event, SampleFinished) and event.answer is not None:
            self._stop("a1_time_to_first_answer_seconds")

    def done(self) -> None:
        """The response is complete."""
        self._stop("a1_e2e_request_latency_seconds")

    def _stop(self, name: str) -> None:
        metric = self._times.pop(name, None)
        if metric is not None:
            metric.observe(time.monotonic() - self._started_s)
