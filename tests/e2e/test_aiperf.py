"""NVIDIA's AIPerf, unchanged, against the endpoint: by the command of docs/openai.md."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.places import COMMAND, PROBLEMS

pytestmark = pytest.mark.long
N_REQUESTS = 40


@pytest.fixture(scope="module")
def aiperf() -> str:
    found = os.environ.get("A1_TRT_AIPERF") or shutil.which("aiperf")
    if not found:
        pytest.skip("AIPerf is not installed; it is looked for at A1_TRT_AIPERF and on PATH")
    return found


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The reference pair's endpoint."""
    command = [COMMAND, "serve", "reference", "--openai-only", "--openai-port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield str(json.loads(process.stdout.readline())["openai_url"]).removesuffix("/v1")
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    """A tokenizer with one token a byte: AIPerf's own ones come from the network."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    named = [*map(chr, kept), *(chr(256 + index) for index in range(256 - len(kept)))]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    model = {"type": "BPE", "vocab": {name: index for index, name in enumerate(named)}, "merges": []}
    document = {"version": "1.0", "added_tokens": [], "pre_tokenizer": level, "decoder": level, "model": model}
    path = tmp_path / "tokenizer"
    path.mkdir()
    (path / "tokenizer.json").write_text(json.dumps(document))
    (path / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    return path


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    """Problems in AIPerf's format."""
    path = tmp_path / "problems.jsonl"
    lines = [json.loads(line)["problem"] for line in PROBLEMS.read_text().splitlines()[:16]]
    path.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
    return path


def metric(url: str, key: str) -> float:
    lines = httpx.get(f"{url}/metrics", trust_env=False).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(key))


def wait_until_idle(url: str) -> None:
    deadline_s = time.monotonic() + 60.0
    while metric(url, "a1_calls_in_flight") + metric(url, "a1_calls_waiting"):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


@pytest.mark.parametrize("options", [[], ["--request-cancellation-rate", "50", "--request-cancellation-delay", "0.2"]])
def test_it_is_measured(aiperf, url, tokenizer, problems, tmp_path, options: list[str]) -> None:
    before = metric(url, "a1_request_success_total")
    done = subprocess.run(
        [
            *(aiperf, "profile", "-m", "reference", "--endpoint-type", "chat", "--streaming"),
            *("--url", url.removeprefix("http://"), "--tokenizer", tokenizer, "--use-server-token-count"),
            *("--input-file", problems, "--custom-dataset-type", "single_turn", "--ui", "none"),
            *("--concurrency", "8", "--request-count", str(N_REQUESTS), "--no-gpu-telemetry"),
            *("--output-artifact-dir", tmp_path / "artifacts", *options),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    said = json.loads((tmp_path / "artifacts" / "profile_export_aiperf.json").read_text())
    n_good, n_bad = (count(said, name) for name in ("request_count", "error_request_count"))
    assert n_good + n_bad == N_REQUESTS
    assert {each["error_details"]["type"] for each in said["error_summary"]} <= (
        {"RequestCancellationError"} if options else set()
    )
    # A client may cancel what has just been answered.
    n_answered = metric(url, "a1_request_success_total") - before
    assert 0 < n_good <= n_answered <= (N_REQUESTS if options else n_good)
    wait_until_idle(url)  # nothing is left of what was cancelled
    assert said["total_usage_completion_tokens"]["avg"] > 0
    assert said["time_to_first_token"]["avg"] <= said["request_latency"]["avg"]
    scraped = json.loads((tmp_path / "artifacts" / "server_metrics_export.json").read_text())
    assert {"a1_request_success", "a1_takeovers", "a1_time_to_first_token_seconds"} <= scraped["metrics"].keys()


def count(said: dict[str, Any], name: str) -> float:
    return float(said.get(name, {"avg": 0})["avg"])
