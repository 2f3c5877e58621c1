"""The rule of `--json`, `--output` and `--plot` over the whole tree, and the spellings of 0.2."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from a1_trt.cli import main
from a1_trt.cli.old_spellings import Command
from tests.cli.tree import LEAVES
from tests.offline.synthetic import write

PAIR = "qwen2.5-7b-instruct_qwq-32b"
OTHER_PRODUCT = {
    "a1-trt calibrate export",
    "a1-trt calibrate merge",
    "a1-trt calibrate run",
    "a1-trt deploy render",
    "a1-trt engine build",
    "a1-trt engine plan",
    "a1-trt eval",
    "a1-trt traces report",
}
"""Where --output, or an argument, is the calibration, the table or the folder that the command makes."""
SHORT = {
    "a1-trt bench intensity report",
    "a1-trt bench report",
    "a1-trt bench strategies",
    "a1-trt calibrate show",
    "a1-trt deploy check",
    "a1-trt engine check",
    "a1-trt engine show",
    "a1-trt pair check",
    "a1-trt pair list",
    "a1-trt pair show",
    "a1-trt serve",
    "a1-trt solve",
}
"""What says how something is, and makes nothing to keep."""


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def option(name: str, word: str) -> click.Option | None:
    options = [parameter for parameter in LEAVES[name].params if word in parameter.opts]
    assert len(options) < 2
    assert all(isinstance(parameter, click.Option) for parameter in options)
    return options[0] if options else None  # type: ignore[return-value]


@pytest.mark.parametrize("name", LEAVES)
def test_json_is_a_flag_everywhere(name: str) -> None:
    json_option = option(name, "--json")
    assert json_option is not None
    assert json_option.is_flag


@pytest.mark.parametrize("name", LEAVES)
def test_output_writes_the_document_of_every_command_that_makes_one(name: str) -> None:
    output = option(name, "--output")
    if name in SHORT:
        assert output is None
    elif name in OTHER_PRODUCT:
        assert output is None or "JSON document" not in (output.help or "")
    else:
        assert output is not None
        assert output.help == "Also write the JSON document to this file."


@pytest.mark.parametrize("name", LEAVES)
def test_plots_are_drawn_by_plot_alone(name: str) -> None:
    shown = {
        word for parameter in LEAVES[name].params for word in parameter.opts if not getattr(parameter, "hidden", 0)
    }
    assert not shown & {"--html", "--png", "--svg", "--figure"}
    plot = option(name, "--plot")
    assert plot is None or (plot.multiple and ".png, .svg or .html" in (plot.help or ""))


@pytest.mark.parametrize("name", LEAVES)
def test_problems_is_a_count_and_data_a_path(name: str) -> None:
    count, data = option(name, "--problems"), option(name, "--data")
    assert count is None or count.type.name in ("integer", "integer range")
    if data is not None and name != "a1-trt eval":  # its --data may also name a data set of the hub
        assert data.type.name == "file"
        assert isinstance(LEAVES[name], Command)


def test_a_document_is_printed_and_written(tmp_path: Path) -> None:
    trace, file = write(tmp_path / "trace.npz"), tmp_path / "gain.json"
    done = run("simulate", "barrier", trace, "--json", "--output", file)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == json.loads(file.read_text())
    assert done.stderr == f"wrote {file}\n"
    table = run("simulate", "barrier", trace, "--output", file)
    assert "list scheduling" in table.stdout
    assert "[output]" in run("simulate", "barrier", trace, "--output", tmp_path / "no" / "gain.json").stderr


SWEEP = ("simulate", "sweep", PAIR, "--gpu", "H100x4", "--problems", 2, "--vary", "samples=1,2")


def test_json_with_a_file_is_taken_with_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "sweep"
    for words in ((*SWEEP, "--json", file), (*SWEEP, f"--json={file}")):
        done = run(*words)
        assert done.exit_code == 0, done.output
        assert "warning: --json" in done.stderr
        assert "--output" in done.stderr
        assert len(json.loads(file.read_text())["points"]) == 2
        assert "makespan" in done.stdout
        file.unlink()
    for words in ((*SWEEP, "--json", "-"), ("simulate", "sweep", "--json", "-", *SWEEP[2:])):
        done = run(*words)
        assert "warning: --json - is now --json" in done.stderr
        assert len(json.loads(done.stdout)["points"]) == 2


@pytest.mark.parametrize("words", [(*SWEEP, "--json"), ("simulate", "sweep", "--json", *SWEEP[2:])])
def test_json_before_or_after_an_argument_is_a_flag(words: tuple[object, ...]) -> None:
    done = run(*words)
    assert done.exit_code == 0, done.output
    assert "warning" not in done.stderr
    assert len(json.loads(done.stdout)["points"]) == 2


def test_where_json_was_always_a_flag_a_word_too_many_is_an_error(tmp_path: Path) -> None:
    done = run("simulate", "barrier", write(tmp_path / "trace.npz"), "--json", tmp_path / "gain.json")
    assert done.exit_code == 2
    assert "unexpected extra argument" in done.stderr
    assert not (tmp_path / "gain.json").exists()


def test_html_and_png_are_plots_with_a_warning(tmp_path: Path) -> None:
    page, picture = tmp_path / "sweep.html", tmp_path / "sweep.png"
    done = run(*SWEEP, "--html", page, f"--png={picture}")
    assert done.exit_code == 0, done.output
    assert "warning: --html is now --plot" in done.stderr
    assert "warning: --png is now --plot" in done.stderr
    assert "<svg" in page.read_text()
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_suffix_that_cannot_be_drawn_is_refused_before_the_work(tmp_path: Path) -> None:
    done = run(*SWEEP, "--plot", tmp_path / "sweep.pdf", "--output", tmp_path / "sweep.json")
    assert done.exit_code == 2
    assert "[plot]" in done.stderr
    assert not (tmp_path / "sweep.json").exists()


def test_problems_file_is_data_with_a_warning(tmp_path: Path) -> None:
    done = run("bench", "run", "reference", "--problems-file", tmp_path / "none.jsonl")
    assert done.exit_code == 2
    assert "warning: --problems-file is now --data" in done.stderr
    assert "none.jsonl" in done.stderr.splitlines()[-1]


def test_intensity_is_found_where_it_was_but_not_listed(tmp_path: Path) -> None:
    done = run("intensity", "report", tmp_path / "none.json")
    assert done.exit_code == 2
    assert "warning: a1-trt intensity is now a1-trt bench intensity" in done.stderr
    assert "intensity" not in run("--help").stdout
