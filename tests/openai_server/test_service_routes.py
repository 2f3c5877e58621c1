"""Health, version and metrics: what operators and AIPerf ask on the same port."""

from __future__ import annotations

import re
import time

import a1_trt
from a1_trt.errors import EngineError
from a1_trt.openai_server.backend import LocalBackend
from a1_trt.types import SegmentScored

SAMPLE = re.compile(r'([a-z_0-9]+)(\{(?:[a-z_]+="[^"]*",?)*\})? (-?[0-9.e+-]+|[+-]Inf|NaN)')


def metrics(endpoint) -> dict[str, float]:
    """Metric with its labels -> value; every line of the text is understood, and none comes twice."""
    with endpoint.http() as client:
        answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    types = [line.split()[2] for line in answer.text.splitlines() if line.startswith("# TYPE")]
    assert len(types) == len(set(types))
    found: dict[str, float] = {}
    for line in answer.text.splitlines():
        if not line.startswith("#"):
            name, labels, value = SAMPLE.fullmatch(line).groups()
            assert name in types or name.rpartition("_")[0] in types
            key = name + (labels or "")
            assert key not in found
            found[key] = float(value)
    return found


def test_it_is_alive_and_ready(reference) -> None:
    with reference.http() as client:
        assert client.get("/health").status_code == 200
        assert client.get("/v2/health/live").status_code == 200
        deadline = time.monotonic() + 120  # the first score loads the scorer
        while (ready := client.get("/v2/health/ready")).status_code != 200 and time.monotonic() < deadline:
            assert ready.json()["draft"] == ready.json()["target"] == "ok", ready.text
        assert ready.status_code == 200, ready.text
        assert {"draft": "ok", "target": "ok", "scorer": "ok"}.items() <= ready.json().items()
        assert client.get("/version").json()["version"] == a1_trt.__version__


def test_asking_whether_it_is_ready_leaves_no_score(simulated) -> None:
    endpoint = simulated()
    with endpoint.http() as client:
        assert client.get("/v2/health/ready").status_code == 200
    assert endpoint.session.snapshot()["calibration_size"] == endpoint.session.snapshot()["scored"] == 0


def test_engines_that_fail_or_hang_are_not_ready(simulated) -> None:
    endpoint = simulated(faults=lambda number, verb: "hang")
    with endpoint.http() as client:
        answer = client.get("/v2/health/ready")
        assert answer.status_code == 503
        assert answer.json()["draft"] != "ok"
        assert client.get("/v2/health/live").status_code == 200


def test_generators_and_scorer_are_told_apart(simulated) -> None:
    endpoint = simulated(faults=lambda number, verb: EngineError("dead") if verb == "score" else None)
    with endpoint.http() as client:
        answer = client.get("/v2/health/ready")
    assert answer.status_code == 503
    assert answer.json() == {**answer.json(), "ready": False, "draft": "ok", "target": "ok", "scorer": "dead"}


def test_a_score_says_nothing_of_the_targets_generator(simulated) -> None:
    dead = EngineError("dead")
    endpoint = simulated(faults=lambda number, verb: dead if verb == "generate" else None)
    backend = LocalBackend(endpoint.session)
    backend.saw(SegmentScored(0, 0, 1.5, 0.2, takeover=False))
    with endpoint.http() as client:
        assert client.get("/v2/health/ready").json()["target"] == "dead"


def test_a_dead_scorer_is_not_ready_until_scores_come_again(simulated, ask) -> None:
    dead = [True]
    endpoint = simulated(
        faults=lambda number, verb: EngineError("dead", role="target") if dead[0] and verb == "score" else None,
        score_answers=True,
        n_samples=8,
    )

    def solve(client, n: int):
        body = ask(messages=[{"role": "user", "content": f"What is {n}?"}])
        return client.post("/v1/chat/completions", json={**body, "model": "simulated"})

    with endpoint.http() as client:
        assert client.get("/v2/health/ready").status_code == 503
        answers = [solve(client, n) for n in range(8)]
        assert {answer.status_code for answer in answers} == {503}
        assert {answer.json()["error"]["code"] for answer in answers} == {"scoring_unavailable"}
        assert not endpoint.session.is_scoring
        assert "too many" in client.get("/v2/health/ready").json()["scorer"]
        counted = metrics(endpoint)
        assert counted['a1_unscored_total{reason="engine"}'] >= 20
        assert counted["a1_scoring_available"] == 0
        dead[0] = False
        end_s = time.monotonic() + 10
        while client.get("/v2/health/ready").status_code != 200:
            assert time.monotonic() < end_s, "it does not come back"
        assert metrics(endpoint)["a1_scoring_available"] == 1
        done = solve(client, 9)
        assert done.status_code == 200
        assert done.json()["a1"]["usage"]["n_unscored"] == 0
    assert metrics(endpoint)["a1_scored_total"] == done.json()["a1"]["usage"]["n_scored"]


def test_metrics_count_what_was_done(simulated, ask) -> None:
    endpoint = simulated()
    before = metrics(endpoint)
    done = endpoint.openai().chat.completions.create(**{**ask(), "model": "simulated"}).model_extra["a1"]
    after = metrics(endpoint)

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    usage = done["usage"]
    label = '{model_name="simulated"}'
    assert grown(f"a1_request_success_total{label}") == 1
    assert grown(f"a1_e2e_request_latency_seconds_count{label}") == 1
    assert grown("a1_problems_total") == 1
    assert grown("a1_scored_total") == usage["n_scored"] == after["a1_calibration_size"]
    assert grown('a1_tokens_total{kind="generated",role="draft"}') == usage["draft"]["generated_tokens"]
    assert after[f"a1_alpha_target{label}"] == endpoint.session.pair.conformal.alpha
    assert after[f"a1_num_requests_running{label}"] == 0


def test_a_stream_is_timed_to_its_first_token_and_answer(simulated, ask) -> None:
    endpoint = simulated()
    list(endpoint.openai().chat.completions.create(**{**ask(), "model": "simulated"}, stream=True))
    after = metrics(endpoint)
    for what in ("token", "answer"):
        assert after[f'a1_time_to_first_{what}_seconds_count{{model_name="simulated"}}'] == 1
        assert (
            0
            < after[f'a1_time_to_first_{what}_seconds_sum{{model_name="simulated"}}']
            <= after['a1_e2e_request_latency_seconds_sum{model_name="simulated"}']
        )


def test_errors_are_counted_by_code(simulated, ask) -> None:
    endpoint = simulated()
    with endpoint.http() as client:
        assert client.post("/v1/chat/completions", json=ask()).status_code == 404
    errors = [key for key, value in metrics(endpoint).items() if key.startswith("a1_request_errors_total") and value]
    assert len(errors) == 1
    assert "model_not_found" in errors[0]
