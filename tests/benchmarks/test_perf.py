"""What perf_analyzer is told, and what is made of its results."""

import json
import stat

import pytest

from a1_trt.benchmarks.perf import Sweep, command, engine_inputs, find_perf_analyzer, measure
from a1_trt.errors import ConfigError, DeployError, EngineTimeout, InvalidRequestError


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"values": ()}, "concurrency"),
        ({"values": (0,)}, "concurrency"),
        ({"values": (1.5,)}, "concurrency"),
        ({"values": (-2.0,), "mode": "request_rate"}, "request_rate"),
        ({"model": "a1", "protocol": "http"}, "protocol"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused(wrong, field):
    with pytest.raises(InvalidRequestError) as caught:
        Sweep(**wrong)
    assert caught.value.field == field


def test_the_line_asks_for_streaming_only_where_the_model_is_decoupled(tmp_path):
    line = command(tmp_path / "pa", Sweep("a1", values=(4,)), 4, "localhost:8001", tmp_path / "in", tmp_path / "out")
    assert "--streaming" in line
    assert line[line.index("--concurrency-range") + 1] == "4:4:1"
    sweep = Sweep("draft", "http", "request_rate", (2.5,))
    line = command(tmp_path / "pa", sweep, 2.5, "localhost:8000", tmp_path / "in", tmp_path / "out")
    assert "--streaming" not in line
    assert line[line.index("--request-rate-range") + 1] == "2.5:2.5:1"


def test_prompts_of_different_length_carry_their_shape():
    (first, second) = engine_inputs([[1, 2, 3], [4]], max_tokens=5)["data"]
    assert first["input_ids"] == {"content": [1, 2, 3], "shape": [3]}
    assert second["input_lengths"] == [1]
    assert first["seed"] != second["seed"]


def test_a_program_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("A1_TRT_PERF_ANALYZER", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="none"):
        find_perf_analyzer()


def program(path, text):
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_a_failure_is_told_in_its_last_line(tmp_path):
    binary = program(tmp_path / "pa", "echo first; echo 'no server' >&2; exit 3")
    with pytest.raises(DeployError, match="status 3"):
        list(measure(binary, Sweep(values=(1,)), "localhost:1", {"data": []}))


def test_a_program_that_hangs_is_stopped(tmp_path):
    binary = program(tmp_path / "pa", "exec sleep 60")
    with pytest.raises(EngineTimeout, match=r"0\.1 s"):
        list(measure(binary, Sweep(values=(1,), timeout_s=0.1), "localhost:1", {"data": []}))


def test_latency_runs_to_the_last_response(tmp_path):
    requests = [
        {"timestamp": 0, "response_timestamps": [1_000_000, 4_000_000]},
        {"timestamp": 1_000_000, "response_timestamps": [3_000_000]},
        {"timestamp": 1_000_000, "response_timestamps": []},
    ]
    export = tmp_path / "export.json"
    export.write_text(json.dumps({"experiments": [{"requests": requests}]}))
    binary = program(tmp_path / "pa", f'while [ "$1" != --profile-export-file ]; do shift; done; cp {export} "$2"')
    (measured,) = measure(binary, Sweep(values=(1,)), "localhost:1", {"data": []})
    assert measured["n_requests"] == 2
    assert measured["latency_ms"]["p50"] == 3.0  # between the two, as in every report
    assert measured["latency_ms"]["p99"] == pytest.approx(3.98)
    assert measured["requests_per_s"] == pytest.approx(500.0)


def test_windows_that_do_not_agree_are_results_that_say_so(tmp_path):
    export = tmp_path / "export.json"
    requests = [{"timestamp": 0, "response_timestamps": [1_000_000]}]
    export.write_text(json.dumps({"experiments": [{"requests": requests}]}))
    copy = f'while [ "$1" != --profile-export-file ]; do shift; done; cp {export} "$2"'
    differ = "echo 'Failed to obtain stable measurement.' >&2; exit 2"
    for strict, stable in (("", True), (f'case "$*" in *"percentage 25"*) {differ};; esac; ', False)):
        binary = program(tmp_path / "pa", strict + copy)
        (measured,) = measure(binary, Sweep(values=(1,)), "localhost:1", {"data": []})
        assert measured["stable"] is stable
        assert ("999" in measured["command"]) is not stable


def test_windows_that_never_agree_are_an_error(tmp_path):
    binary = program(tmp_path / "pa", "echo 'Failed to obtain stable measurement.' >&2; exit 2")
    with pytest.raises(DeployError, match="no results"):
        list(measure(binary, Sweep(values=(1,)), "localhost:1", {"data": []}))


def test_no_answer_is_an_error(tmp_path):
    binary = program(tmp_path / "pa", "exit 0")
    with pytest.raises(DeployError, match="no results"):
        list(measure(binary, Sweep(values=(1,)), "localhost:1", {"data": []}))
