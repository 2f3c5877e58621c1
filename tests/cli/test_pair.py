"""a1-trt pair: right files say what they imply, wrong ones what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from a1_trt.cli import main

GOOD = """\
schema = 1
name = "mine"
[draft]
model = "draft"
[target]
model = "target"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    for role in ("draft", "target"):
        (tmp_path / role).mkdir()
        (tmp_path / role / "openvino_model.bin").write_bytes(b"12345")
    path = tmp_path / "pair.toml"
    path.write_text(GOOD)
    return path


def check(path: Path, *options: str) -> tuple[int, dict[str, object]]:
    done = CliRunner().invoke(main, ["pair", "check", str(path), "--json", *options])
    return done.exit_code, json.loads(done.stdout)


def test_a_right_file_says_what_it_implies(file: Path) -> None:
    status, said = check(file)
    assert status == 0
    assert said["ok"] is True
    assert said["name"] == "mine"
    assert said["models"]["draft"]["path"] == str(file.parent / "draft")
    assert said["models"]["draft"]["bytes"] == 5
    assert said["parameters"]["n_samples"] == 16
    assert CliRunner().invoke(main, ["pair", "check", str(file)]).exit_code == 0


@pytest.mark.parametrize(
    ("old", "new", "field", "hint"),
    [
        ("[target]", "[target]\nmax_in_fligt = 4", "target.max_in_fligt", "did you mean max_in_flight?"),
        ("[target]", "[conformal]\nalpha = 1.5\n[target]", "conformal.alpha", "fix this key"),
        ('model = "target"', 'model = "gone"', "target.model", "a1-trt engine build"),
        ('model = "target"', 'model = "package:no_such_package/m.gguf"', "target.model", "pip install no-such-package"),
        ('name = "mine"', "", "name", "fix this key"),
        ("[draft]", 'problems = "none.jsonl"\n[draft]', "problems", "leave the key out"),
        ("schema = 1", "schema = ", None, "fix the reported line"),
    ],
)
def test_a_wrong_file_names_key_and_remedy(file: Path, old: str, new: str, field: str | None, hint: str) -> None:
    file.write_text(GOOD.replace(old, new, 1))
    status, said = check(file)
    assert status == 2
    assert said["ok"] is False
    assert said["error"]["code"] == "config"
    assert said["error"]["field"] == field
    assert hint in said["error"]["remedy"]
    assert said["error"]["message"]


def test_without_json_it_is_one_line_on_standard_error(file: Path) -> None:
    file.write_text(GOOD.replace("schema", "shcema"))
    done = CliRunner().invoke(main, ["pair", "check", str(file)])
    assert done.exit_code == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("a1-trt: error [shcema]: ")
    assert "did you mean schema?" in line


def test_a_pair_that_is_not_there() -> None:
    done = CliRunner().invoke(main, ["pair", "show", "refrence"])
    assert done.exit_code == 2
    assert "did you mean reference?" in done.stderr


def test_list_and_show_agree() -> None:
    listed = json.loads(CliRunner().invoke(main, ["pair", "list", "--json"]).stdout)
    shown = json.loads(CliRunner().invoke(main, ["pair", "show", "reference", "--json"]).stdout)
    assert listed["reference"]["path"] == shown["path"]
    assert listed["reference"]["description"] == shown["description"]
    assert "reference" in CliRunner().invoke(main, ["pair", "list"]).stdout
    assert "conformal.alpha" in CliRunner().invoke(main, ["pair", "show", "reference"]).stdout


def test_the_environment_overrides_the_file(file: Path) -> None:
    done = CliRunner().invoke(main, ["pair", "show", str(file), "--json"], env={"A1_TRT_CONFORMAL__ALPHA": "0.25"})
    assert json.loads(done.stdout)["conformal"]["alpha"] == 0.25
