"""Commands on the reference pair in this process, and how errors look at a terminal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from a1_trt import types
from a1_trt.cli import main
from a1_trt.cli.solve import _warn
from tests.children import INTERRUPTIBLE

pytestmark = pytest.mark.usefixtures("warm_engines")
PROBLEM = "a = 3, b = a+4. What is b modulo 100?"


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, arguments, input=stdin)


def fail(status: int, *arguments: str) -> str:
    """The one line that a command that fails prints."""
    done = run(*arguments)
    assert done.exit_code == status
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("a1-trt: error [")
    return line


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory, warm_engines: None) -> Path:
    """A calibration made of two small problems."""
    folder = tmp_path_factory.mktemp("calibration")
    problems = [{"id": f"p{n}", "problem": PROBLEM.replace("3", str(n))} for n in range(2)]
    (folder / "problems.jsonl").write_text("\n".join(map(json.dumps, problems)))
    output = folder / "calibration.json"
    done = run(
        "calibrate", "run", "reference", "--data", str(folder / "problems.jsonl"), "-o", str(output),
        "--samples", "4", "--draft-tokens", "16", "--verify-answers", "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["sizes"]["turn 1"] >= 1
    return output


def test_solve_prints_an_answer() -> None:
    done = run("solve", PROBLEM, "--samples", "2", "--max-turns", "2")
    assert done.exit_code == 0, done.output
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["answer", "votes", "rejection", "tokens", "time"]


def test_solve_warns_of_segments_without_a_score(capsys: pytest.CaptureFixture[str]) -> None:
    for n_unscored, warning in ((0, ""), (3, "warning: 3 segments could not be scored and were dropped\n")):
        _warn(types.Result(types.Problem("Q"), None, (), (), types.Usage(n_unscored=n_unscored)))
        assert capsys.readouterr().err == warning


def test_solve_reads_standard_input_and_prints_json() -> None:
    done = run("solve", "-", "--samples", "2", "--max-turns", "2", "--json", stdin=PROBLEM)
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["problem"]["text"] == PROBLEM
    assert len(said["trajectories"]) == 2


def test_solve_streams_events() -> None:
    told = run("solve", PROBLEM, "--samples", "2", "--max-turns", "2", "--stream")
    assert told.exit_code == 0, told.output
    assert "sample 0 turn 1 draft" in told.stdout
    lines = run("solve", PROBLEM, "--samples", "2", "--max-turns", "2", "--stream", "--json").stdout.splitlines()
    events = [json.loads(line)["event"] for line in lines]
    assert events[0] == "segment"
    assert events[-1] == "result"


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (["", "-n", "2"], "[problem]"),
        (["x" * 300_000], "[problem]"),
        (["What?", "--alpha", "1"], "[alpha]"),
        (["What?", "--samples", "0"], "[n_samples]"),
        (["What?", "--samples", "1000000"], "[n_samples]"),
        (["What?", "--budget", "8", "--samples", "8"], "[budget]"),
        (["What?", "--strategy", "best"], "[strategy]"),
        (["What?", "--deadline", "0"], "[deadline_s]"),
        (["What?", "--url", "localhost:8001:x://"], "[url]"),
        (["What?", "--pair", "none"], "[pair]"),
    ],
)
def test_wrong_arguments_of_solve(arguments: list[str], field: str) -> None:
    assert field in fail(2, "solve", *arguments)


def test_a_deadline_that_passes() -> None:
    assert "[deadline_s]" in fail(4, "solve", PROBLEM, "--deadline", "0.0001")


def test_a_server_that_is_not_there() -> None:
    assert "start the server with 'a1-trt serve'" in fail(4, "solve", PROBLEM, "--url", "grpc://127.0.0.1:1")


def test_a_usage_error_is_clicks_own() -> None:
    assert run("solve").exit_code == 2
    assert run("solve", "What?", "--alpha", "high").exit_code == 2


def test_debug_shows_the_traceback() -> None:
    done = run("--debug", "solve", "")
    assert done.exit_code == 2
    assert "Traceback" in done.stderr


def test_calibrate_show_counts_by_category(calibration: Path) -> None:
    said = json.loads(run("calibrate", "show", str(calibration), "--json").stdout)
    assert said["n_problems"] == 2
    first = said["categories"]["turn 1"]
    assert first["n"] >= 1
    assert first["q10"] <= first["q50"] <= first["q90"]
    assert "turn 1" in run("calibrate", "show", str(calibration)).stdout


def test_a_calibration_file_that_is_none(tmp_path: Path) -> None:
    fail(3, "calibrate", "show", str(tmp_path / "none.json"))
    (tmp_path / "text.json").write_text("hello")
    fail(3, "calibrate", "show", str(tmp_path / "text.json"))
    (tmp_path / "list.json").write_text("[]")
    fail(3, "calibrate", "show", str(tmp_path / "list.json"))


def test_a_calibration_that_cannot_be_written(calibration: Path) -> None:
    problems = calibration.parent / "problems.jsonl"
    place = str(calibration.parent / "no" / "where.json")
    done = run(
        "calibrate", "run", "reference", "--data", str(problems), "-o", place, "-n", "2", "--verify-answers"
    )  # fmt: skip
    assert done.exit_code == 3
    assert "cannot be written" in done.stderr


def test_engine_show_says_where_the_models_are() -> None:
    said = json.loads(run("engine", "show", "reference", "--json").stdout)
    assert said["draft"]["kind"] == "OpenVINO"
    assert said["target"]["bytes"] > 0
    assert run("engine", "show", "reference").stdout.startswith("draft ")


def test_engine_build_refuses_what_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = run("engine", "build", str(tmp_path / "empty"), str(tmp_path / "out"))
    assert done.exit_code == 2
    assert "config.json" in done.stderr
    assert run("engine", "build", str(tmp_path / "none"), str(tmp_path / "out")).exit_code == 2


@pytest.mark.parametrize(("level", "n", "status"), [("impossible", "2", 2), ("middle", "100000", 2)])
def test_demo_checks_its_problems_before_it_starts_anything(tmp_path: Path, level: str, n: str, status: int) -> None:
    problems = tmp_path / "problems.jsonl"
    problems.write_text('{"problem": "1+1?", "answer": "2", "level": "middle"}')
    assert "[problems]" in fail(status, "demo", "--data", str(problems), "--level", level, "--problems", n)


def test_ctrl_c_is_no_traceback() -> None:
    code = "import a1_trt.cli.solve; a1_trt.cli.main(['solve', '-', '--samples', '1'])"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{INTERRUPTIBLE}; print('up', flush=True); {code}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    # The command waits for standard input: from /proc one sees when it does.
    while "pipe_read" not in Path(f"/proc/{process.pid}/wchan").read_text():
        assert process.poll() is None
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in said
    assert "interrupted" in said
