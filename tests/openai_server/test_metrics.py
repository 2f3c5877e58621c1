"""The metrics' names, types and labels are an interface: dashboards and load generators read them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from a1_trt.openai_server.backend import SessionCollector
from a1_trt.openai_server.request_metrics import RequestMetrics
from a1_trt.runtime.metrics import Metrics
from a1_trt.triton.exporter import Exporter
from a1_trt.types import SegmentScored

SESSION = {
    ("a1_segments", "counter", ("role",)),
    ("a1_tokens", "counter", ("kind", "role")),
    ("a1_scored", "counter", ()),
    ("a1_takeovers", "counter", ()),
    ("a1_forced", "counter", ("limit",)),
    ("a1_unscored", "counter", ("reason",)),
    ("a1_scoring_available", "gauge", ()),
    ("a1_stopped_samples", "counter", ()),
    ("a1_problems", "counter", ()),
    ("a1_rejection_rate", "gauge", ()),
    ("a1_calls_in_flight", "gauge", ("role",)),
    ("a1_calls_waiting", "gauge", ("role",)),
    ("a1_calibration_size", "gauge", ()),
    ("a1_p_value", "histogram", ()),
}
REQUESTS = {
    ("a1_request_errors", "counter", ("code", "model_name")),
    ("a1_request_success", "counter", ("model_name",)),
    ("a1_cancelled_samples", "counter", ("model_name", "reason")),
    ("a1_num_requests_running", "gauge", ("model_name",)),
    ("a1_alpha_target", "gauge", ("model_name",)),
    ("a1_e2e_request_latency_seconds", "histogram", ("model_name",)),
    ("a1_time_to_first_token_seconds", "histogram", ("model_name",)),
    ("a1_time_to_first_answer_seconds", "histogram", ("model_name",)),
}


def snapshot():
    metrics = Metrics()
    for p_value in (0.07, 0.55, 1.0):
        metrics.fold(SegmentScored(sample=0, turn=0, score=1.5, p_value=p_value, takeover=p_value < 0.1))
    calls = {"draft": 1, "target": 2}
    return {
        **metrics.snapshot(),
        "calls_in_flight": calls,
        "calls_waiting": calls,
        "calibration_size": 3,
        "scoring_available": False,
    }


def session_text():
    registry = CollectorRegistry()
    registry.register(SessionCollector(snapshot))
    return generate_latest(registry).decode()


def shapes(text):
    """Name, type and names of labels; every counter's sample ends in _total, which the parser takes off."""
    families = list(text_string_to_metric_families(text))
    for family in families:
        assert family.type != "counter" or all(sample.name.endswith("_total") for sample in family.samples)
    return {
        (family.name, family.type, tuple(sorted(sample.labels.keys() - {"le"})))
        for family in families
        for sample in family.samples
    }


def test_the_session_has_these_metrics():
    assert shapes(session_text()) == SESSION


def test_requests_have_these_metrics():
    metrics = RequestMetrics("m", 0.4)
    metrics.failed(ValueError())
    assert shapes(metrics.text()) == REQUESTS


def test_p_values_are_counted_in_their_tenths():
    (family,) = (each for each in text_string_to_metric_families(session_text()) if each.name == "a1_p_value")
    buckets = {sample.labels["le"]: sample.value for sample in family.samples if sample.name.endswith("_bucket")}
    assert [buckets[bound] for bound in ("0.1", "0.5", "0.6", "0.9", "1.0", "+Inf")] == [1, 1, 2, 2, 3, 3]
    values = {sample.name: sample.value for sample in family.samples}
    assert values["a1_p_value_count"] == 3
    assert abs(values["a1_p_value_sum"] - (0.05 + 0.55 + 0.95)) < 1e-9


def test_triton_has_the_same_metrics_with_the_same_values():
    """The exporter tells Triton differences, so it is updated twice."""
    pb = Pb()
    exporter = Exporter(pb)
    exporter.update(snapshot())
    exporter.update(snapshot())
    assert {(name.removesuffix("_total"), kind) for name, kind in pb.kinds.items()} == {each[:2] for each in SESSION}
    families = list(text_string_to_metric_families(session_text()))
    wanted = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
        if family.type != "histogram"
    }
    assert pb.values == wanted
    assert pb.observed == [0.05, 0.55, 0.95]


class Pb:
    """Triton's module, as far as metrics go."""

    def __init__(self):
        self.kinds, self.values, self.observed = {}, {}, []
        pb = self

        class MetricFamily:
            COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"

            def __init__(self, name, description, kind):
                assert description
                self.name = name
                pb.kinds[name] = kind

            def Metric(self, labels, buckets=None):  # noqa: N802  Triton's spelling
                return Metric((self.name, tuple(sorted(labels.items()))), buckets)

        class Metric:
            def __init__(self, key, buckets):
                self.key = key
                if buckets is None:
                    pb.values[key] = 0.0

            def increment(self, by):
                pb.values[self.key] += by

            def set(self, value):
                pb.values[self.key] = value

            def observe(self, value):
                pb.observed.append(round(value, 9))

        self.MetricFamily = MetricFamily
