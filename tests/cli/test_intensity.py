"""a1-trt bench intensity, on the real pair."""

import json

import pytest
from click.testing import CliRunner

from a1_trt.cli import main

pytestmark = pytest.mark.usefixtures("warm_engines")


def run(*arguments):
    return CliRunner().invoke(main, [str(each) for each in arguments])


@pytest.fixture(scope="module")
def file(tmp_path_factory, warm_engines):
    path = tmp_path_factory.mktemp("intensity") / "intensity.json"
    asked = ["--samples", "1,2", "--max-turns", "2", "--problems", "2", "--level", "middle", "--in-flight", "1"]
    done = run("bench", "intensity", "measure", "reference", *asked, "--draft-tokens", "16", "--output", path)
    assert done.exit_code == 0, done.output
    return path


def test_the_account_adds_up_and_says_what_is_estimated(file):
    document = json.loads(file.read_text())
    assert {(row["strategy"], row["n_samples"]) for row in document["joined"]} == {
        (name, n) for name in ("a1", "sync-threshold") for n in (1, 2)
    }
    for row in document["accounts"]:
        assert row["t_c_s"] > 0
        assert row["t_s_s"] == pytest.approx(row["waits"]["barrier_s"] + row["waits"]["straggling_s"])
        assert row["r"] == pytest.approx(row["t_c_s"] / (row["t_m_s"] + row["t_s_s"]))
        assert "t_c_s : t_m_s" in row["estimated"]
    assert document["processor"]["source"]


def test_the_report_draws_it(file, tmp_path):
    assert "sync-threshold" in run("bench", "intensity", "report", file).stdout
    done = run(
        "bench", "intensity", "report", file, "--plot", tmp_path / "page.html", "--plot", tmp_path / "plot.png"
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "page.html").read_text()


def test_another_file_is_refused(tmp_path):
    (tmp_path / "other.json").write_text("{}")
    done = run("bench", "intensity", "report", tmp_path / "other.json")
    assert done.exit_code == 2
    assert "intensity measure" in done.stderr
