"""a1-trt traces: what it prints, writes and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from a1_trt.cli import main
from tests.offline.synthetic import arrays, write
from tests.packaging.test_imports import modules_after

KEYS = {
    "n", "overall_rate", "overall_error", "category_rates", "category_error_max", "window_error_max", "problem_rate_sd",
    "seconds_per_decision", "selectivity", "selectivity_local",
}  # fmt: skip


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("traces") / "made.npz")


def run(*arguments: str | Path, status: int = 0) -> Result:
    done = CliRunner().invoke(main, ["traces", *map(str, arguments)])
    assert done.exit_code == status, done.output
    return done


def fail(status: int, *arguments: str | Path) -> str:
    done = run(*arguments, status=status)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    "controller", ["published", "growing", "window", "mondrian", "per-problem", "aci", "two-level"]
)
@pytest.mark.parametrize("order", ["served", "shuffled"])
def test_replay_prints_the_figures(trace: Path, controller: str, order: str) -> None:
    done = run(
        "replay", trace, "--controller", controller, "--alpha", "0.3", "--order", order, "--horizon", "100",
        "--seed", "4", "--json",
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert set(found) >= KEYS
    assert (found["controller"], found["alpha"], found["order"], found["seed"]) == (controller, 0.3, order, 4)
    assert found["horizon"] == pytest.approx(100)
    assert found["horizon_decisions"] > 100
    assert set(found["category_rates"]) == {"turn 1", "turn 2", "turn 3", "turn 4-6", "turn 7+"}
    assert sum(row["count"] for row in found["category_rates"].values()) == found["n"]
    assert found["overall_error"] == pytest.approx(abs(found["overall_rate"] - 0.3))


def test_several_controllers_are_compared(trace: Path) -> None:
    done = run("replay", trace, "--controller", "two-level", "--controller", "counter", "--json")
    assert [each["controller"] for each in json.loads(done.stdout)["replays"]] == ["two-level", "counter"]
    table = run("replay", trace, "--controller", "all").stdout
    assert "two-level" in table
    assert "per-problem" in table


def test_the_table_of_one_controller_has_its_categories(trace: Path) -> None:
    assert "turn 4-6" in run("replay", trace).stdout


@pytest.mark.parametrize(("name", "head"), [("p.png", b"\x89PNG"), ("p.html", b"<!doctype html>"), ("p.svg", b"<?xml")])
def test_plots_are_written(trace: Path, tmp_path: Path, name: str, head: bytes) -> None:
    run("replay", trace, "--plot", tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(head)
    run("quality", trace, "--plot", tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(head)


def test_without_calibration_scores_two_rules_are_left_out(tmp_path: Path) -> None:
    bare = write(tmp_path / "bare.npz", calibration_ppl=None)
    done = run("replay", bare, "--controller", "all", "--json")
    names = {each["controller"] for each in json.loads(done.stdout)["replays"]}
    assert "two-level" in names
    assert not names & {"published", "static"}
    assert "left out" in done.stderr
    assert "calibration_ppl" in fail(3, "replay", bare, "--controller", "published")


def test_mistakes_are_one_line(trace: Path, tmp_path: Path) -> None:
    assert "[trace]" in fail(2, "replay", tmp_path / "none.npz")
    assert "[controller]" in fail(2, "replay", trace, "--controller", "best")
    assert "[alpha]" in fail(2, "replay", trace, "--alpha", "1.5")
    assert "[order]" in fail(2, "replay", trace, "--order", "random")
    assert "[horizon]" in fail(2, "replay", trace, "--horizon", "0")
    assert "[horizon]" in fail(2, "replay", trace, "--horizon", "nan")
    assert "[seed]" in fail(2, "replay", trace, "--seed", "-1")
    assert "[answers_drawn]" in fail(2, "quality", trace, "--answers", trace, "--answers-drawn", "42")
    np.savez(tmp_path / "other.npz", ppl=np.ones(3))
    assert "[question]" in fail(2, "replay", tmp_path / "other.npz")
    with pytest.raises(AssertionError):
        fail(2, "replay", trace)
    assert "[plot]" in run("replay", trace, "--plot", tmp_path / "p.pdf", status=2).stderr


def test_quality_prints_a_table_and_json(trace: Path) -> None:
    assert "within problem" in run("quality", trace).stdout
    found = json.loads(run("quality", trace, "--json").stdout)
    assert found["outcome"] == "agrees with the majority vote"


def test_records_of_runs_are_read_like_traces(tmp_path: Path) -> None:
    rows = [
        {
            "problem_id": f"p{problem}",
            "sample": sample,
            "turns": [{"score": 1.0 + (7 * problem + sample) % 5, "p_value": 0.5, "takeover": False}],
            "correct": sample % 2 == 0,
        }
        for problem in range(6)
        for sample in range(8)
    ]
    path = tmp_path / "run.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert json.loads(run("replay", path, "--json").stdout)["n"] == 48
    assert json.loads(run("quality", path, "--json").stdout)["outcome"] == "correct"


def test_report_writes_a_study_of_each_trace(tmp_path: Path) -> None:
    trace = write(tmp_path / "made.npz", **arrays(n_problems=4, n_samples=4))
    done = run("report", "--trace", trace, "-o", tmp_path / "out", "--seeds", "1", "--shift-seeds", "1", "--json")
    written = json.loads(done.stdout)["written"]["made.npz"]
    assert len(written) == 5
    assert all(Path(name).exists() for name in written)


def test_report_without_traces_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "--trace" in fail(2, "report", "-o", tmp_path / "out")


def test_the_commands_import_no_plots() -> None:
    assert not modules_after("import a1_trt.cli.traces, a1_trt.offline, a1_trt.plotting") & {"matplotlib", "scipy"}
