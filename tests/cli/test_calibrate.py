"""a1-trt calibrate show, evaluate, merge and export, on states that are written here."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from a1_trt.cli import main
from a1_trt.runtime.calibration import Batch, CalibrationLog, Provenance, read_log, write_log

PROVENANCE = Provenance("f00d", "perplexity", "turn", "openvino 1 f32")


def run(*arguments):
    return CliRunner().invoke(main, ["calibrate", *map(str, arguments)])


def state(writer, seed, *, problems, moved=0.0, provenance=PROVENANCE):
    """Scores of some problems, 16 each, in two categories."""
    rng = np.random.default_rng(seed)
    rows = tuple(
        (f"turn {1 + n % 2}", problem, float(rng.lognormal(0.4, 0.3) + moved), 0.4, bool(rng.uniform() < 0.4))
        for problem in problems
        for n in range(16)
    )
    return CalibrationLog(provenance, (Batch(writer, 0, float(seed), rows),))


@pytest.fixture
def files(tmp_path):
    """Three states: two of the same law and other problems, and one that has moved."""
    states = {
        "one": state("a", 1, problems=[f"p{n}" for n in range(30)]),
        "two": state("b", 2, problems=[f"q{n}" for n in range(30)]),
        "moved": state("c", 3, problems=[f"r{n}" for n in range(30)], moved=1.0),
    }
    for name, log in states.items():
        write_log(tmp_path / name, log)
    return {name: tmp_path / name for name in states}


def test_show_says_what_it_belongs_to(files):
    said = json.loads(run("show", files["one"], "--json").stdout)
    assert (said["n"], said["n_problems"], said["engine"]) == (480, 30, PROVENANCE.engine)
    assert said["categories"]["turn 1"]["n"] == 240


def test_evaluate_is_content_with_scores_of_one_law_and_alarmed_by_others(files, tmp_path):
    same = json.loads(run("evaluate", files["one"], "--held-out", files["two"], "--json").stdout)
    assert not same["rates"]["all"]["alarm"]
    assert same["p_values"]["ks_p_value"] > 0.01
    plot = tmp_path / "plot.png"
    other = run("evaluate", files["one"], "--held-out", files["moved"], "--plot", plot)
    assert "ALARM" in other.stdout
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_evaluate_splits_by_problem(files):
    said = json.loads(run("evaluate", files["one"], "--json").stdout)
    assert (said["n"], said["n_problems"], said["n_calibration"]) == (240, 15, 240)


def test_problems_that_calibrated_are_refused_unless_asked_for(files):
    refused = run("evaluate", files["one"], "--held-out", files["one"])
    assert refused.exit_code == 3
    assert "30 of the held-out problems" in refused.stderr
    assert run("evaluate", files["one"], "--held-out", files["one"], "--allow-used").exit_code == 0


def test_merge_takes_every_decision_once(files, tmp_path):
    both = tmp_path / "both"
    assert run("merge", files["one"], files["two"], "-o", both).exit_code == 0
    assert run("merge", both, files["two"], files["one"], "-o", both).exit_code == 0
    assert len(read_log(both)) == 960
    assert read_log(both).problems == read_log(files["one"]).problems | read_log(files["two"]).problems


def test_states_of_different_pairs_do_not_merge(files, tmp_path):
    write_log(tmp_path / "other", state("d", 4, problems=["s"], provenance=replace(PROVENANCE, fingerprint="beef")))
    done = run("merge", files["one"], tmp_path / "other", "-o", tmp_path / "both")
    assert done.exit_code == 3
    assert "fingerprint" in done.stderr
    assert not (tmp_path / "both").exists()


def test_export_writes_rows_or_bins(files, tmp_path):
    table, bins = tmp_path / "table.csv", tmp_path / "bins.csv"
    assert json.loads(run("export", files["one"], "-o", table, "--json").stdout)["n_rows"] == 480
    first = table.read_text().splitlines()[1].split(",")
    assert (first[0], first[1], float(first[2])) == read_log(files["one"]).batches[0].decisions[0][:3]
    assert run("export", files["one"], "-o", bins, "--histogram").exit_code == 0
    assert sum(int(line.rsplit(",", 1)[1]) for line in bins.read_text().splitlines()[1:]) == 480


def test_a_place_that_cannot_be_written_is_named(files, tmp_path):
    assert run("export", files["one"], "-o", tmp_path / "no" / "where.csv").exit_code == 2
    assert run("merge", files["one"], "-o", tmp_path / "no" / "where").exit_code == 3
