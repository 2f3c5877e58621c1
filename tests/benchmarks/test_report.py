"""The page of a comparison stands alone, and shows what the document says."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from a1_trt.benchmarks.plots import plots
from a1_trt.benchmarks.report import page, write_page, write_plots
from a1_trt.errors import ConfigError
from tests.benchmarks.test_comparison import PLAN, measured


def test_the_page_needs_nothing_else_and_escapes_names() -> None:
    document, _ = measured()
    html = page({**document, "command": "a1-trt <script>alert(1)</script>"})
    assert html.startswith("<!doctype html>")
    assert "<script" not in html
    assert not re.search(r'(?:src|href)="https?:', re.sub(r"<svg.*?</svg>", "", html, flags=re.DOTALL))
    for each in document["overall"]:
        assert f"<td>{each['strategy']}" in html
    for ratio in document["ratios"]:
        assert f"<td>{ratio['speedup']:.2f}" in html


def test_every_plot_has_a_file(tmp_path: Path) -> None:
    document, _ = measured()
    paths = write_plots(document, tmp_path / "plots")
    assert {path.stem for path in paths} == {"accuracy", "rejections", "latency", "utilisation", "timeline"}
    assert all(path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" for path in paths)


def test_sweeps_get_plots_of_their_own() -> None:
    document, _ = measured(replace(PLAN, n_samples=(1, 4), max_turns=(1, 4), repeats=1))
    assert {"speedup_samples", "speedup_turns"} <= plots(document).keys()


def test_no_calls_no_timeline_and_no_scores_no_rates() -> None:
    document, _ = measured(replace(PLAN, strategies=("target-only",), keep_calls="none"))
    assert plots(document).keys() == {"accuracy", "latency", "utilisation"}
    assert "in pairs" not in page(document)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    document, _ = measured(replace(PLAN, strategies=("a1",), repeats=1))
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ConfigError, match="page"):
        write_page(document, file / "page.html")
    with pytest.raises(ConfigError, match="file"):
        write_plots(document, file / "plots")
