"""A folder never holds a problem by halves, wherever the writing stops, and refuses what does not belong together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from a1_trt.benchmarks.evaluation import Folder
from a1_trt.errors import ConfigError

SETTINGS: dict[str, Any] = {"pair": "p", "parameters": {"alpha": 0.3, "seed": 1}}


def samples(name: str) -> list[dict[str, Any]]:
    return [{"problem_id": name, "sample": n, "text": "ü\n" * n} for n in range(3)]


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def filled(path: Path, names: str) -> Path:
    with Folder(path, SETTINGS, {}) as folder:
        for name in names:
            if name not in folder.done:
                folder.append({"problem_id": name}, samples(name))
    return path


def test_what_is_appended_is_there_and_known_again(tmp_path: Path) -> None:
    path = filled(filled(tmp_path / "out", "ab"), "abc")
    assert [line["problem_id"] for line in read(path / "problems.jsonl")] == ["a", "b", "c"]
    assert read(path / "records.jsonl") == [line for name in "abc" for line in samples(name)]
    assert [line["start"] for line in read(path / "problems.jsonl")] == [0, 0, 1]
    assert len(json.loads((path / "run.json").read_text())["starts"]) == 2


def test_it_goes_on_wherever_the_writing_stopped(tmp_path: Path) -> None:
    whole = filled(tmp_path / "whole", "abc")
    records, problems = (whole / "records.jsonl").read_bytes(), (whole / "problems.jsonl").read_bytes()
    ends = [line["records_end"] for line in read(whole / "problems.jsonl")]
    # Samples are written first: any prefix of them behind the last whole problem, then any prefix of its line.
    moments = [(cut, 0) for cut in range(0, ends[0], 7)]
    moments += [(ends[0], cut) for cut in range(problems.index(b"\n") + 2)]
    moments += [(cut, problems.index(b"\n") + 1) for cut in range(ends[0], ends[1], 5)]
    for number, (n_records, n_problems) in enumerate(moments):
        path = tmp_path / str(number)
        path.mkdir()
        shutil.copy(whole / "run.json", path)
        (path / "records.jsonl").write_bytes(records[:n_records])
        (path / "problems.jsonl").write_bytes(problems[:n_problems])
        filled(path, "abc")
        assert (path / "records.jsonl").read_bytes() == records
        assert [line["problem_id"] for line in read(path / "problems.jsonl")] == ["a", "b", "c"]


def test_other_settings_are_refused_by_name_and_change_nothing(tmp_path: Path) -> None:
    path = filled(tmp_path / "out", "a")
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    other = {"pair": "p", "parameters": {"alpha": 0.2, "seed": 1}}
    with pytest.raises(ConfigError, match=r"parameters\.alpha was 0\.3, is 0\.2") as caught:
        Folder(path, other, {})
    assert caught.value.field == "output"
    assert "seed" not in str(caught.value)
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with Folder(tmp_path / "out", SETTINGS, {}), pytest.raises(ConfigError, match="in use"):
        Folder(tmp_path / "out", SETTINGS, {})
    Folder(tmp_path / "out", SETTINGS, {}).close()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("run.json", "{", "run.json"),
        ("run.json", '{"kind": "other"}', "run.json"),
        ("run.json", '{"kind": "a1-trt eval", "schema": 1}', "another version: schema 1, not 2"),
        ("run.json", None, "run.json is not"),
        ("problems.jsonl", "what?\n", "line 1"),
        ("problems.jsonl", '{"problem_id": "a"}\n', "line 1"),
        ("records.jsonl", "", "shorter"),
    ],
)
def test_a_damaged_folder_is_refused(tmp_path: Path, name: str, text: str | None, message: str) -> None:
    path = filled(tmp_path / "out", "a")
    if text is None:
        (path / name).unlink()
    else:
        (path / name).write_text(text)
    with pytest.raises(ConfigError, match=message):
        Folder(path, SETTINGS, {})


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        Folder(tmp_path / "file" / "out", SETTINGS, {})
