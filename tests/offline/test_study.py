"""Simulated changes, and studies of all controllers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from a1_trt.core.conformal import CONTROLLERS
from a1_trt.errors import ConfigError, InvalidRequestError
from a1_trt.offline import SHIFTS, Recording, Shift, read_recording, replay, replay_shifted, study
from a1_trt.offline.shifts import Shifted
from a1_trt.offline.study_report import write_study
from tests.offline.synthetic import arrays, write


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    path = tmp_path_factory.mktemp("traces") / "made.npz"
    return read_recording(write(path, **arrays(n_problems=30, n_samples=16)))


def test_no_change_is_no_change(recorded: Recording) -> None:
    for order in ("served", "shuffled"):
        plain = replay(recorded, "two-level", 0.4, order=order, seed=2)  # type: ignore[arg-type]
        same = replay_shifted(recorded, "two-level", 0.4, Shift(), order=order, seed=2)  # type: ignore[arg-type]
        assert (same.takeovers == plain.takeovers).all()


def test_a_change_begins_in_the_middle(recorded: Recording) -> None:
    plain = replay_shifted(recorded, "published", 0.4, Shift())
    moved = replay_shifted(recorded, "published", 0.4, Shift(move=100.0))
    assert moved.start == len(recorded) // 2
    assert (moved.takeovers[: moved.start] == plain.takeovers[: moved.start]).all()
    assert moved.takeovers[moved.start :].all()
    assert not replay_shifted(recorded, "published", 0.4, Shift(move=-100.0)).takeovers[moved.start :].any()


def test_a_takeover_moves_the_next_score_of_its_sample_only(recorded: Recording) -> None:
    """With a huge effect every takeover is followed by an acceptance, and that by what the score says."""
    done = replay_shifted(recorded, "published", 0.4, Shift(feedback=-1000.0), order="served")
    plain = replay_shifted(recorded, "published", 0.4, Shift(), order="served")
    before: dict[tuple[int, int], bool] = {}
    n_changed = 0
    for place in range(done.start, len(recorded)):
        sample = int(recorded.problem[place]), int(recorded.sample[place])
        expected = plain.takeovers[place] and not before.get(sample, False)
        n_changed += expected != plain.takeovers[place]
        assert done.takeovers[place] == expected
        before[sample] = bool(done.takeovers[place])
    assert n_changed > 50


def test_errors_after_a_change_by_hand() -> None:
    takeovers = np.zeros(1000, bool)
    takeovers[600:700] = True  # half of the 200 decisions that count
    done = Shifted(takeovers, start=500, alpha=0.4)
    assert (done.rate_after, done.error_after) == (0.5, pytest.approx(0.1))
    assert done.worst_after == pytest.approx(0.4)


@pytest.mark.parametrize("shift", SHIFTS)
def test_two_levels_are_back_after_a_change(recorded: Recording, shift: str) -> None:
    errors = [replay_shifted(recorded, "two-level", 0.4, SHIFTS[shift], seed=seed).error_after for seed in range(5)]
    assert max(errors) <= 0.05


def test_fixed_and_growing_pools_are_not(recorded: Recording) -> None:
    for controller in ("published", "static", "growing"):
        assert replay_shifted(recorded, controller, 0.4, SHIFTS["harder by 1 sd"]).error_after > 0.2


def test_a_short_recording_cannot_be_changed(recorded: Recording) -> None:
    with pytest.raises(InvalidRequestError, match="too few to change"):
        replay_shifted(recorded.reordered(np.arange(599)), "growing", 0.4, Shift())


@pytest.fixture(scope="module")
def studied(recorded: Recording) -> dict[str, Any]:
    seen: list[tuple[int, int]] = []
    found = study(
        recorded,
        controllers=("two-level", "published", "counter"),
        alphas=(0.4,),
        orders=("served", "shuffled"),
        n_seeds=2,
        n_shift_seeds=2,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert [done for done, _ in seen] == list(range(1, seen[-1][1] + 1))
    return found


def test_a_study_compares_with_what_is_asked(studied: dict[str, Any]) -> None:
    assert len(studied["rows"]) == 6
    by_name = {(row["order"], row["controller"]): row for row in studied["rows"]}
    row = by_name["served", "two-level"]
    assert row["window_error_max"]["worst"] >= row["window_error_max"]["mean"]
    assert row["selectivity"]["worst"] <= row["selectivity"]["mean"]
    missed = {(check["controller"], check["figure"]) for check in studied["checks"] if not check["every_seed_holds"]}
    assert ("counter", "selectivity") in missed
    assert ("published", "window_error_max") in missed
    assert ("counter", "window_error_max") not in missed
    assert len(studied["shifts"]) == 3 * len(SHIFTS)


def test_a_shorter_horizon_costs_selectivity(studied: dict[str, Any]) -> None:
    rows = studied["horizons"]
    assert rows[0]["horizon"] < rows[-1]["horizon"]
    assert rows[0]["window_error_max"]["mean"] < rows[-1]["window_error_max"]["mean"]
    assert rows[0]["selectivity"]["mean"] < rows[-1]["selectivity"]["mean"]


def test_a_study_leaves_out_what_cannot_run(recorded: Recording) -> None:
    short = replace(recorded, calibration_scores=None).reordered(np.arange(300))
    found = study(short, alphas=(0.4,), orders=("served",), n_seeds=1)
    assert set(found["left_out"]) == {"published", "static"}
    assert {row["controller"] for row in found["rows"]} == set(CONTROLLERS) - {"published", "static"}
    assert found["shifts"] == []
    assert found["split_by_problem"] is None


def test_a_study_becomes_files(studied: dict[str, Any], recorded: Recording, tmp_path: Path) -> None:
    files = write_study(studied, recorded, tmp_path / "new" / "folder")
    assert [path.name for path in files] == [
        "made.json", "made.md", "made-rates.png", "made-selectivity.png", "made-shifts.png",
    ]  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == sorted(path.name for path in files)
    assert json.loads(files[0].read_text()) == json.loads(json.dumps(studied))
    text = files[1].read_text()
    assert "| two-level | served |" in text
    assert "simulated" in text
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in files[2:])


def test_a_folder_that_cannot_be_made_is_refused(studied: dict[str, Any], recorded: Recording, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be made"):
        write_study(studied, recorded, tmp_path / "file" / "folder")
