"""Reading traces and records: what is used, what is skipped, what is refused."""

from __future__ import annotations

import json
import math
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from a1_trt.benchmarks.evaluation.samples import sample_lines
from a1_trt.core.conformal import tail_nll
from a1_trt.errors import InvalidRequestError
from a1_trt.offline import Recording, read_recording, reading
from a1_trt.types import Problem, Result, SampleEnd, Segment, Trajectory, Turn, Usage
from tests.offline.synthetic import arrays, write


def refused(path: Path, match: str, field: str = "trace") -> None:
    with pytest.raises(InvalidRequestError, match=match) as caught:
        read_recording(path)
    assert caught.value.field == field
    assert caught.value.remedy


def test_a_trace_is_read_in_served_order_without_unscored_segments(tmp_path: Path) -> None:
    made = arrays()
    turned = {name: made[name][::-1] for name in ("question", "sample", "turn", "ppl", "percentile")}
    read = read_recording(write(tmp_path / "trace.npz", **turned))
    empty = np.isnan(made["ppl"])
    assert (len(read), read.n_unscored) == ((~empty).sum(), empty.sum())
    assert empty.sum() > 0
    # The last question of the made-up trace comes first in the file, so it was served first.
    assert read.problems[0] == str(made["question"].max())
    keys = list(zip(read.problem.tolist(), read.turn.tolist(), read.sample.tolist(), strict=True))
    assert keys == sorted(keys)
    by_key = dict(zip(zip(made["question"], made["sample"], made["turn"], strict=True), made["ppl"], strict=True))
    for place in (0, 17, len(read) - 1):
        key = int(read.problems[read.problem[place]]), int(read.sample[place]), int(read.turn[place])
        assert read.scores[place] == by_key[key]


def test_only_four_arrays_are_needed(tmp_path: Path) -> None:
    path = tmp_path / "small.npz"
    np.savez(path, question=["b", "a"], sample=[0, 0], turn=[0, 0], ppl=[2, 1])
    read = read_recording(path)
    assert (read.problems, read.scores.tolist()) == (("b", "a"), [2.0, 1.0])
    assert read.calibration_scores is None
    assert read.samples is None
    assert read.takeovers is None


def test_recorded_decisions_keep_the_precision_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "small.npz"
    percentile = np.asarray([0.6, 0.59999, 0.7], np.float32)
    np.savez(path, question=[0, 0, 0], sample=[0, 1, 2], turn=[0, 0, 0], ppl=[1.0, 1, 1], percentile=percentile)
    read = read_recording(path)
    assert read.takeovers is not None
    assert read.margins is not None
    assert read.takeovers.tolist() == [True, False, True]
    assert ((read.margins <= 0) == read.takeovers).all()


@pytest.mark.parametrize(
    ("changed", "match", "field"),
    [
        ({"ppl": None}, "lacks the array ppl", "ppl"),
        ({"turn": np.zeros(3, int)}, "different lengths", "question"),
        ({"sample_index": np.zeros(3, int)}, "different lengths", "sample_question"),
        ({"turn": arrays()["turn"].astype(float)}, "turn of type float64", "turn"),
        ({"turn": arrays()["turn"] - 1}, "turn below 0", "turn"),
        ({"ppl": arrays()["ppl"][:, None]}, "ppl of type float32 and shape", "ppl"),
        ({"ppl": np.where(arrays()["turn"] == 2, np.inf, arrays()["ppl"])}, r"ppl\[\d+\] = inf", "ppl"),
        ({"ppl": -arrays()["ppl"]}, "which is not a perplexity", "ppl"),
        ({"ppl": np.full_like(arrays()["ppl"], np.nan)}, "holds no score", "ppl"),
        ({"calibration_ppl": np.asarray([1.0, np.nan])}, r"calibration_ppl\[1\] = nan", "calibration_ppl"),
        ({"calibration_ppl": np.asarray([])}, "empty calibration_ppl", "calibration_ppl"),
        ({"ppl": arrays()["ppl"].astype(complex)}, "complex", "ppl"),
    ],
)
def test_bad_arrays_are_refused(tmp_path: Path, changed: dict[str, Any], match: str, field: str) -> None:
    refused(write(tmp_path / "trace.npz", **changed), match, field)


def test_an_empty_trace_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.npz"
    nothing = np.asarray([], int)
    np.savez(path, question=nothing, sample=nothing, turn=nothing, ppl=np.asarray([]))
    refused(path, "has 0 segments", "ppl")


def test_pickled_arrays_are_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "pickled.npz"
    segments = np.zeros(2, int)
    np.savez(path, question=segments, sample=segments, turn=segments, ppl=np.asarray([1.0, "x"], dtype=object))
    refused(path, "Object arrays cannot be loaded")


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04 and nothing more", b"\x93NUMPY\x01\x00", pickle.dumps([1]), b"hello", b"", b"PK"]
)
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.npz"
    path.write_bytes(content)
    refused(path, "is empty" if not content else "neither|not a readable")


def test_a_damaged_array_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "damaged.npz"
    np.savez(path, question=np.arange(9), sample=np.arange(9), turn=np.arange(9), ppl=np.ones(9))
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        for name in ("question", "sample", "turn"):
            archive.writestr(f"{name}.npy", zipfile.ZipFile(path).read(f"{name}.npy"))
        archive.writestr("ppl.npy", b"\x93NUMPY\x01\x00 broken")
    refused(tmp_path / "other.npz", "not a readable")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    refused(tmp_path / "none.npz", "cannot be read: No such file")
    refused(tmp_path, "cannot be read: Is a directory")


def test_what_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "trace.npz")
    monkeypatch.setattr("a1_trt.benchmarks.traces.MAX_BYTES", 1000)
    refused(path, "unpacks to more than 1000 bytes")
    monkeypatch.setattr(reading, "MAX_BYTES", 100)
    refused(path, "more than 100")


@pytest.mark.parametrize(
    ("name", "dtype", "n", "match"),
    [
        ("question", "<U200000000", 1, "question with entries of 800000000 bytes"),
        ("sample_question", "<U200000000", 1, "sample_question with entries of 800000000 bytes"),
        ("sample_answer", "<U200000000", 1, "sample_answer with entries of 800000000 bytes"),
        ("ppl", "<f8", 10**12, "ppl with an array of 8000000000000 bytes"),
    ],
)
def test_a_large_array_is_refused_before_it_is_unpacked(
    tmp_path: Path, name: str, dtype: str, n: int, match: str
) -> None:
    path = tmp_path / "trace.npz"
    with zipfile.ZipFile(write(tmp_path / "small.npz")) as small, zipfile.ZipFile(path, "w") as archive:
        for member in small.namelist():
            if member != f"{name}.npy":
                archive.writestr(member, small.read(member))
        with archive.open(f"{name}.npy", "w") as stream:  # the array itself is missing: the header is enough
            np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": (n,)})
    refused(path, f"has {match}", name)


def test_too_many_segments_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("a1_trt.benchmarks.traces.MAX_SEGMENTS", 10)
    refused(write(tmp_path / "trace.npz"), "segments; the limits are 1 and 10", "ppl")


def records(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def turn(score: float | None, **more: Any) -> dict[str, Any]:
    return {"score": score, **more}


def test_records_are_read(tmp_path: Path) -> None:
    path = records(
        tmp_path / "run.jsonl",
        {"schema": 1, "pair": "reference"},
        {"problem_id": "b", "sample": 1, "correct": True, "level": "hard", "turns": [turn(1.0), turn(None), turn(3.0)]},
        {"problem_id": "a", "sample": 0, "correct": False, "level": "easy", "turns": [turn(2.0)]},
        {"problem_id": "b", "sample": 0, "correct": False, "level": "hard", "turns": [turn(4.0)]},
    )
    read = read_recording(path)
    assert read.problems == ("b", "a")
    assert read.scores.tolist() == [4.0, 1.0, 3.0, 2.0]
    assert read.turn.tolist() == [0, 0, 2, 0]
    assert read.n_unscored == 1
    assert read.groups == {"level": ("hard", "easy")}
    assert read.samples is not None
    assert read.samples.correct is not None
    assert read.samples.correct.tolist() == [True, False, False]
    assert read.takeovers is None


def test_the_records_of_a_run_are_read_as_they_are_written(tmp_path: Path) -> None:
    segment = Segment("draft", "so", 1)
    scored = Turn((segment,), score=1.5, p_value=0.3, takeover=True)
    ends = (SampleEnd.ANSWERED, SampleEnd.STOPPED)
    trajectories = tuple(Trajectory(number, (scored, Turn((segment,))), end, "4") for number, end in enumerate(ends))
    result = Result(Problem("2 + 2?", "p1", "4"), "4", (("4", 2),), trajectories, Usage())
    path = records(tmp_path / "run.jsonl", *sample_lines(result, {"4": True}, {"level": "easy"}, 0.4))
    read = read_recording(path)
    assert (read.scores.tolist(), read.n_unscored, read.groups) == ([1.5, 1.5], 2, {"level": ("easy",)})
    assert read.margins is not None
    assert read.margins.tolist() == [pytest.approx(-0.1)] * 2
    assert read.samples is not None
    assert read.samples.sample.tolist() == [0]  # the other one was stopped: neither right nor wrong


def test_decisions_of_records_are_read_where_every_turn_has_one(tmp_path: Path) -> None:
    path = records(
        tmp_path / "run.jsonl",
        {"problem_id": 1, "sample": 0, "alpha": 0.4, "turns": [turn(1.0, p_value=0.3, takeover=True)]},
        {"problem_id": 1, "sample": 1, "turns": [turn(2.0, p_value=0.7, level=0.5, takeover=False)]},
    )
    read = read_recording(path)
    assert read.takeovers is not None
    assert read.margins is not None
    assert read.takeovers.tolist() == [True, False]
    assert read.margins.tolist() == [pytest.approx(-0.1), pytest.approx(0.2)]


def test_log_probs_give_every_score(tmp_path: Path) -> None:
    path = records(
        tmp_path / "run.jsonl",
        {"problem_id": "a", "sample": 0, "turns": [turn(1.0, logprobs=[-1.0, -3.0]), turn(2.0, logprobs=[-4.0])]},
        {"problem_id": "a", "sample": 1, "turns": [turn(1.5, scores={"own": 7.0})]},
    )
    read = read_recording(path)
    assert read.other_scores["mean_nll"][[0, 2]].tolist() == [2.0, 4.0]
    assert math.isnan(read.other_scores["mean_nll"][1])
    assert read.other_scores["tail_nll"][0] == tail_nll([-1.0, -3.0])
    assert read.other_scores["rise_nll"][2] == 2.0  # against this sample's first segment
    assert read.other_scores["own"][1] == 7.0


@pytest.mark.parametrize(
    ("row", "match", "field"),
    [
        ([1], "neither", "trace"),
        ({"problem_id": "a", "turns": []}, "line 1, sample: Field required", "sample"),
        ({"problem_id": "a", "sample": -1, "turns": []}, "line 1, sample: Input should be greater", "sample"),
        ({"problem_id": "a", "sample": 0, "turns": {}}, "line 1, turns: Input should be a valid list", "turns"),
        (
            {"problem_id": "a", "sample": 0, "turns": [1]},
            r"line 1, turns\.0: Input should be a valid dictionary",
            "turns",
        ),
        (
            {"problem_id": "a", "sample": 0, "turns": [turn("x")]},
            r"line 1, turns\.0\.score: Input should be a valid number",
            "score",
        ),  # type: ignore[arg-type]
        (
            {"problem_id": "a", "sample": 0, "turns": [turn(math.inf)]},
            r"turns\.0\.score: Input should be a finite number",
            "score",
        ),
        (
            {"problem_id": "a", "sample": 0, "turns": [turn(math.nan)]},
            r"turns\.0\.score: Input should be a finite number",
            "score",
        ),
        ({"problem_id": "a", "sample": 0, "turns": [turn(None)]}, "holds no score", "score"),
        ({"problem_id": "a", "sample": 0, "turns": [turn(1.0, logprobs=[0.5])]}, "bad logprobs", "logprobs"),
        (
            {"problem_id": "a", "sample": 0, "turns": [turn(1.0, scores=[1])]},
            r"turns\.0\.scores: Input should be a valid dictionary",
            "scores",
        ),
        ({"problem_id": "a", "sample": 0, "turns": [turn(True)]}, r"score: Input should be a valid number", "score"),
        ({"problem_id": "a", "sample": 0, "turns": [turn(10**400)]}, "turns", "score"),
        ({"problem_id": "a", "sample": 0, "turns": [turn(1, takeover=1)]}, "takeover: Input should be", "takeover"),
        ({"problem_id": ["a"], "sample": 0, "turns": []}, "line 1, problem_id", "problem_id"),
        ({"schema": 1}, "holds no sample", "trace"),
    ],
)
def test_bad_records_are_refused(tmp_path: Path, row: object, match: str, field: str) -> None:
    refused(records(tmp_path / "run.jsonl", row), match, field)


def test_a_sample_that_comes_twice_is_refused(tmp_path: Path) -> None:
    row = {"problem_id": "a", "sample": 0, "turns": [turn(1.0)]}
    refused(records(tmp_path / "run.jsonl", row, row), "line 2 has sample 0 of 'a' again", "sample")


def test_a_torn_line_is_refused(tmp_path: Path) -> None:
    path = records(tmp_path / "run.jsonl", {"problem_id": "a", "sample": 0, "turns": [turn(1.0)]})
    path.write_text(path.read_text() + '{"problem_id": "a", "sam')
    refused(path, "line 2 is not a JSON object")


def test_reordering_moves_everything_together(tmp_path: Path) -> None:
    read: Recording = read_recording(write(tmp_path / "trace.npz"))
    order = np.arange(len(read))[::-1]
    turned = read.reordered(order)
    for name in ("problem", "sample", "turn", "scores", "p_values", "takeovers", "margins"):
        assert (getattr(turned, name) == getattr(read, name)[order]).all()
