"""The command on the reference pair: killed and gone on with, stopped, refused."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from a1_trt.benchmarks.problems import read_problems
from a1_trt.cli import main
from a1_trt.config import load_pair
from a1_trt.runtime.calibration import Batch, CalibrationLog, provenance_of, write_log
from tests.children import INTERRUPTIBLE
from tests.places import ROOT

pytestmark = pytest.mark.usefixtures("warm_engines")
COMMAND = "from a1_trt.cli import main; main(sys.argv[1:])"
SIMULATED = (
    "from a1_trt.backends.openvino import OpenVinoEngine; from tests.doubles.simulated import SimulatedEngine; "
    "OpenVinoEngine.for_pair = lambda pair, role: SimulatedEngine(role); "
)
"""What a command says first whose engines take no processor time: what matters are its files."""
SMALL = ("--samples", "4", "--max-turns", "2", "--seed", "3")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["eval", *arguments])


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few problems of the pair, of each level."""
    path = tmp_path_factory.mktemp("data") / "problems.jsonl"
    path.write_text("\n".join((ROOT / "engines/reference/problems.jsonl").read_text().splitlines()[::30][:8]))
    return path


def check_whole(output: Path, data: Path, n: int | None = None) -> None:
    """Every problem once, with all its samples once, and a summary of them."""
    wanted = sorted(row["id"] for row in read(data)[:n])
    problems, records = read(output / "problems.jsonl"), read(output / "records.jsonl")
    assert sorted(line["problem_id"] for line in problems) == wanted
    assert sorted((line["problem_id"], line["sample"]) for line in records) == [
        (name, sample) for name in wanted for sample in range(4)
    ]
    summary = json.loads((output / "summary.json").read_text())
    assert summary["n_done"] == len(wanted)
    assert summary["accuracy"]["n_correct"] == sum(line["correct"] for line in problems)


def started(*arguments: str, real: bool = False) -> subprocess.Popen[str]:
    program = f"{INTERRUPTIBLE}; import sys; {'' if real else SIMULATED}{COMMAND}"
    return subprocess.Popen(
        [sys.executable, "-c", program, "eval", *arguments],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def stop_when(process: subprocess.Popen[str], output: Path, n_bytes: int, sign: signal.Signals) -> str:
    """Send a signal as soon as so many bytes of records are there; whatever else happens at that moment."""
    records = output / "records.jsonl"
    while process.poll() is None and (not records.exists() or records.stat().st_size < n_bytes):
        time.sleep(0.002)
    if process.poll() is None:
        os.kill(process.pid, sign)
    _, said = process.communicate()
    return said


def test_a_run_keeps_everything(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    done = run("reference", "--data", str(data), "--output", str(output), "--limit", "4", *SMALL, "--json")
    assert done.exit_code == 0, done.output
    check_whole(output, data, 4)
    said = json.loads(done.stdout)
    assert said == json.loads((output / "summary.json").read_text())
    assert said["n_samples"] == 4
    assert set(said["groups"]["level"]) == {row["level"] for row in read(data)[:4]}
    for line in read(output / "records.jsonl"):
        assert line["level"]
        assert all(turn["score"] is None or 0 < turn["p_value"] <= 1 for turn in line["turns"])
        assert all(turn["draft_tokens"] + turn["target_tokens"] > 0 or not turn["text"] for turn in line["turns"])
    taken = sum(turn["takeover"] for line in read(output / "records.jsonl") for turn in line["turns"])
    assert taken == said["n_takeovers"]
    run_json = json.loads((output / "run.json").read_text())
    assert run_json["settings"]["parameters"]["seed"] == 3
    assert run_json["starts"][0]["machine"]["cores"] >= 1

    more = run("reference", "--data", str(data), "--output", str(output), "--limit", "5", *SMALL)
    assert more.exit_code == 0, more.output
    assert "4 problems are done already" in more.stderr
    assert "5 of 5 problems" in more.stdout
    check_whole(output, data, 5)
    other = run("reference", "--data", str(data), "--output", str(output), *SMALL, "--alpha", "0.1")
    assert other.exit_code == 2
    assert f"parameters.alpha was {load_pair('reference').conformal.alpha}, is 0.1" in other.stderr


def kill_until_done(
    data: Path, output: Path, n_kills: int, chance: random.Random, size: int, *, real: bool = False
) -> int:
    """Kill at random moments, then let it end; returns how many starts had something to go on with."""
    arguments = ("reference", "--data", str(data), "--output", str(output), *SMALL, "--concurrency", "3")
    resumed, before = 0, 0
    for _ in range(n_kills):
        stop_when(started(*arguments, real=real), output, before + chance.randrange(1, size), signal.SIGKILL)
        before = (output / "records.jsonl").stat().st_size
        resumed += before > 0
    last = started(*arguments, real=real)
    _, said = last.communicate()
    assert last.returncode == 0, said
    return resumed


def test_killed_at_random_moments_it_goes_on_and_loses_only_what_was_in_flight(data: Path, tmp_path: Path) -> None:
    resumed = kill_until_done(data, tmp_path / "out", 1, random.Random(), 6_000)  # noqa: S311 - moments, no secret
    assert resumed == 1
    check_whole(tmp_path / "out", data)
    keys = {line["problem_key"] for line in read(tmp_path / "out" / "problems.jsonl")}
    calibrated = [row for batch in read(tmp_path / "out" / "calibration.jsonl")[1:] for row in batch["decisions"]]
    decisions = sum(
        row[0] for line in read(tmp_path / "out" / "problems.jsonl") for row in line["scored_by_turn"].values()
    )
    assert {row[1] for row in calibrated} <= keys
    assert len(calibrated) <= decisions  # a decision on a problem that was in flight when killed counts once


@pytest.mark.long
def test_killed_again_and_again(data: Path, tmp_path: Path) -> None:
    kill_until_done(data, tmp_path / "out", 12, random.Random(), 3_000, real=True)  # noqa: S311 - moments, no secret
    check_whole(tmp_path / "out", data)


def test_ctrl_c_leaves_a_summary_and_no_traceback(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    process = started("reference", "--data", str(data), "--output", str(output), *SMALL, "--concurrency", "2")
    said = stop_when(process, output, 1, signal.SIGINT)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert "the same command goes on" in said
    n_done = len(read(output / "problems.jsonl"))
    assert n_done >= 1
    assert json.loads((output / "summary.json").read_text())["n_done"] == n_done


@pytest.fixture
def calibrated(data: Path, tmp_path: Path) -> Path:
    """The reference pair with a stored decision on the second of the problems."""
    text = (ROOT / "engines/reference/pair.toml").read_text()
    for role in ("draft", "target"):
        text = text.replace(f'model = "{role}"', f'model = "{ROOT}/engines/reference/{role}"')
    path = tmp_path / "pair.toml"
    path.write_text(text.replace("[conformal]", '[conformal]\ncalibration = "calibration.jsonl"'))
    used = read_problems(data)[1].key
    batch = Batch("w", 0, 0.0, (("turn 1", used, 1.5, 0.3, False),))
    write_log(tmp_path / "calibration.jsonl", CalibrationLog(provenance_of(load_pair(path)), (batch,)))
    return path


def test_problems_that_calibrated_the_pair_are_refused(calibrated: Path, data: Path, tmp_path: Path) -> None:
    output, before = tmp_path / "out", (tmp_path / "calibration.jsonl").read_bytes()
    arguments = (str(calibrated), "--data", str(data), "--output", str(output), *SMALL)
    refused = run(*arguments, "--limit", "2")
    assert refused.exit_code == 3
    assert "1 of 2 problems calibrated this state" in refused.stderr
    assert not output.exists()
    allowed = run(*arguments, "--limit", "2", "--allow-calibration-problems", "--json")
    assert allowed.exit_code == 0, allowed.output
    assert json.loads(allowed.stdout)["n_calibration_problems"] == 1
    assert "made the pair's stored calibration" in json.loads(allowed.stdout)["notes"][0]
    # The evaluation started from what was stored, and wrote into its own folder only.
    assert (tmp_path / "calibration.jsonl").read_bytes() == before
    assert read(output / "calibration.jsonl")[1]["decisions"] == [
        ["turn 1", read_problems(data)[1].key, 1.5, 0.3, False]
    ]


@pytest.mark.parametrize("words", [["bench", "run"], ["bench", "compare"], ["demo", "--level", "easy", "--pair"]])
def test_so_do_the_other_commands_that_measure(words: list[str], calibrated: Path, data: Path) -> None:
    given = ["--data", str(data), "--problems", "2"]
    refused = CliRunner().invoke(main, [*words, str(calibrated), *given])
    assert refused.exit_code == 3
    assert "1 of 2 problems calibrated this state" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (["--data", "none.jsonl"], "problems"),
        (["--data", "nothing at all"], "data"),
        (["--data", "DATA", "--subset", "official"], "subset"),
        (["--data", "DATA", "--alpha", "2"], "alpha"),
        (["--data", "DATA", "--url", "nowhere"], "pair"),
        (["--data", "DATA", "--url", "grpc://127.0.0.1:1"], "url"),
    ],
)
def test_mistakes_are_said_in_a_line(data: Path, tmp_path: Path, arguments: list[str], field: str) -> None:
    given = [str(data) if word == "DATA" else word for word in arguments]
    done = run("reference", *given, "--output", str(tmp_path / "out"))
    assert done.exit_code in (2, 4)
    assert done.stderr.splitlines()[-1].startswith(f"a1-trt: error [{field}]")
