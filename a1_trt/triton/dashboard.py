"""A Grafana dashboard over the metrics of a1, of its engines and of Triton."""

from __future__ import annotations

from typing import Any

_WIDTH, _HEIGHT = 12, 8
_PANELS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("Rejection rate: share of scored segments taken over", "percentunit", {"since start": "a1_rejection_rate",
     "last 5 min": "rate(a1_takeovers_total[5m]) / rate(a1_scored_total[5m])"}),
    ("Problems a second", "ops", {"solved": "rate(a1_problems_total[5m])"}),
    ("Tokens a second", "ops", {"{{role}} {{kind}}": "rate(a1_tokens_total[5m])"}),
    ("Calls in flight", "short", {"{{role}}": "a1_calls_in_flight", "{{role}} waiting": "a1_calls_waiting"}),
    ("Calibration set: scores", "short", {"size": "a1_calibration_size"}),
    ("Segments without a score, a second", "ops", {"{{reason}}": "rate(a1_unscored_total[5m])"}),
    ("Samples stopped early, a second", "ops", {"stopped": "rate(a1_stopped_samples_total[5m])"}),
    ("Triton: time in the queue, ms a request", "ms", {"{{model}}":
     "rate(nv_inference_queue_duration_us[5m]) / rate(nv_inference_request_success[5m]) / 1000"}),
    ("Triton: time in the model, ms a request", "ms", {"{{model}}":
     "rate(nv_inference_compute_infer_duration_us[5m]) / rate(nv_inference_request_success[5m]) / 1000"}),
    ("Triton: failed requests a second", "ops", {"{{model}}": "rate(nv_inference_request_failure[5m])"}),
    ("Compiled engines: KV cache blocks", "short", {"{{model}} {{kv_cache_block_type}}":
     'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=~"used|free|max"}'}),
    ("Compiled engines: requests", "short", {"{{model}} {{request_type}}": "nv_trt_llm_request_metrics"}),
    ("GPU memory, bytes", "bytes", {"{{gpu_uuid}}": "nv_gpu_memory_used_bytes"}),
)  # fmt: skip


def dashboard(name: str) -> dict[str, Any]:
    """A dashboard to import into Grafana.

    Args:
        name: The pair's name.

    Example:
        >>> dashboard("mine")["title"]
        'a1_trt: mine'
    """
    source = {"type": "prometheus", "uid": "${source}"}
    panels = [
        {
            "id": index + 1,
            "type": "timeseries",
            "title": title,
            "datasource": source,
            "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
            "gridPos": {"x": _WIDTH * (index % 2), "y": _HEIGHT * (index // 2), "w": _WIDTH, "h": _HEIGHT},
            "targets": [
                {"refId": chr(65 + number), "datasource": source, "expr": expression, "legendFormat": legend}
                for number, (legend, expression) in enumerate(lines.items())
            ],
        }
        for index, (title, unit, lines) in enumerate(_PANELS)
    ]
    return {
        "title": f"a1_trt: {name}",
        "tags": ["a1_trt"],
        "schemaVersion": 39,
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "10s",
        "templating": {"list": [{"name": "source", "type": "datasource", "query": "prometheus"}]},
        "panels": panels,
    }
