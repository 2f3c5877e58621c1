"""a1-trt bench: files, what wrong input says, and the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from a1_trt.cli import main
from tests.benchmarks.test_comparison import measured

pytestmark = pytest.mark.usefixtures("warm_engines")


def bench(*words: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, ["bench", *map(str, words)])
    return done.exit_code, done.stdout, done.stderr


def test_compare_writes_everything_and_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    words = ["compare", "reference", "--level", "easy", "--problems", 2, "--strategies", "a1,sync-rank"]
    words += ["--samples", 2, "--max-turns", 2, "--blocks", 1, "--seed", 3, "--output", file]
    status, _, said = bench(*words)
    assert status == 0, said
    document = json.loads(file.read_text())
    assert {"machine", "versions", "command", "commit", "plan", "results", "overall", "ratios"} <= document.keys()
    for each in document["results"]:
        wanted = {"accuracy", "wall_s", "problems_per_s", "latency_s", "tokens", "rejection_rate", "utilisation"}
        assert wanted <= each.keys()
        assert each["rss_bytes"] > 0
        assert each["cpu_s"] > 0
    assert document["plan"]["seed"] == 3
    cells = document["cells"]
    file.write_text(json.dumps({**document, "cells": cells[:1]}))
    assert bench(*words, "--resume")[0] == 0
    again = json.loads(file.read_text())["cells"]
    assert again[0] == cells[0]
    assert [cell["strategy"] for cell in again] == [cell["strategy"] for cell in cells]
    status, _, said = bench(*words[:-4], "--seed", 4, "--output", file, "--resume")
    assert status == 2
    assert "another plan" in said


def test_report_makes_a_page_and_plots(tmp_path: Path) -> None:
    file, page = tmp_path / "result.json", tmp_path / "page.html"
    measured(path=file)
    assert bench("report", file)[0] == 0
    status, output, told = bench("report", file, "--plot", page, "--plot", tmp_path / "plot.png")
    assert status == 0
    assert "speed-up" in output
    assert "<svg" in page.read_text()
    assert (tmp_path / "plot-timeline.png").is_file()
    assert f"wrote {tmp_path / 'plot-latency.png'}" in told


def test_the_report_takes_the_spellings_of_0_2(tmp_path: Path) -> None:
    file, page, folder = tmp_path / "result.json", tmp_path / "page.html", tmp_path / "plots"
    measured(path=file)
    status, _, told = bench("report", file, "--html", page, "--png", folder)
    assert status == 0
    assert "warning: --html is now --plot" in told
    assert "warning: --png FOLDER is now --plot FILE.png" in told
    assert "<svg" in page.read_text()
    assert (folder / "timeline.png").is_file()


def test_strategies_are_listed() -> None:
    status, output, _ = bench("strategies")
    assert status == 0
    assert "token-speculative" in output


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (["--strategies", "a1,nonsense"], "strategies"),
        (["--strategies", "a1,a1"], "strategies"),
        (["--samples", "two"], "samples"),
        (["--samples", "0"], "n_samples"),
        (["--max-turns", "4,0"], "max_turns"),
        (["--problems", "99999"], "problems"),
        (["--in-flight", "2", "--rate", "1"], "arrivals"),
        (["--level", "impossible"], "problems"),
        (["--alpha", "2"], "alpha"),
    ],
)
def test_wrong_input_is_one_line_that_names_it(words: list[str], field: str) -> None:
    status, output, said = bench("compare", "reference", *words)
    assert status == 2
    assert output == ""
    assert said.splitlines()[-1].startswith(f"a1-trt: error [{field}]: ")
    assert "Traceback" not in said


def test_reporting_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text("{}")
    status, _, said = bench("report", file)
    assert status == 2
    assert "a1-trt bench compare" in said
