"""An evaluation on a real server keeps the same as one in this process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from a1_trt.cli import main
from a1_trt.triton.server import TritonServer
from tests.places import PROBLEMS


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_eval_on_a_server(server: TritonServer, scheme: str, tmp_path: Path) -> None:
    url = f"grpc://{server.grpc_url}" if scheme == "grpc" else server.http_url
    arguments = ["--data", str(PROBLEMS), "--output", str(tmp_path / "out"), "--limit", "3", "--samples", "4"]
    done = CliRunner().invoke(main, ["eval", "reference", *arguments, "--url", url, "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert (said["n_done"], said["n_failed"], said["n_samples"]) == (3, 0, 4)
    records = [json.loads(line) for line in (tmp_path / "out" / "records.jsonl").read_text().splitlines()]
    assert len(records) == 12
    assert {line["level"] for line in records} == {"easy"}
    assert sum(turn["takeover"] for line in records for turn in line["turns"]) == said["n_takeovers"]
    assert any(line["correct"] for line in records)
