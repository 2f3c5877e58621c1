"""a1-trt deploy render and check."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from a1_trt.cli import main

PAIR = "qwen2.5-7b-instruct_qwq-32b"


def run(*arguments, status=0):
    done = CliRunner().invoke(main, ["deploy", *map(str, arguments)])
    assert done.exit_code == status, done.output
    assert "Traceback" not in done.output
    return done


@pytest.mark.parametrize("profile", ["pytorch", "tensorrt"])
def test_a_pair_is_rendered_for_gpus_and_found_right(tmp_path, profile):
    output = tmp_path / "out"
    said = json.loads(
        run("render", PAIR, "--profile", profile, "--gpu", "4 x h100-80g", "--output", output, "--json").stdout
    )
    assert (said["pair"], said["profile"], said["gpu"]) == (PAIR, profile, "4 x h100-80g")
    assert sorted(path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()) == sorted(
        said["files"]
    )
    report = json.loads(run("check", output, "--json").stdout)
    assert report["ok"]
    assert report["problems"] == []
    assert report["profile"] == profile


def test_what_the_plan_says_is_what_is_rendered(tmp_path):
    from a1_trt.build.plan import GpuSpec, make_plan
    from a1_trt.config import load_pair

    plan = make_plan(load_pair(PAIR), "pytorch", GpuSpec.parse("h100-80gx4"))
    run("render", PAIR, "--profile", "pytorch", "--gpu", "h100-80gx4", "--output", tmp_path / "out")
    for role in ("draft", "target"):
        settings = json.loads((tmp_path / "out" / role / "1" / "settings.json").read_text())
        assert settings == json.loads(json.dumps(plan.settings[role]))
        gpus = ",".join(map(str, plan.placement[role].replicas[0]))
        assert (
            f'"gpu_device_ids" value {{ string_value: "{gpus}" }}'
            in (tmp_path / "out" / role / "config.pbtxt").read_text()
        )


@pytest.mark.parametrize("profile", ["cpu", "pytorch", "tensorrt"])
def test_the_reference_pair_is_rendered_without_naming_gpus(tmp_path, profile):
    run("render", "reference", "--profile", profile, "--output", tmp_path / "out")
    done = run("check", tmp_path / "out")
    assert "nothing is wrong" in done.output


def test_a_pair_that_does_not_fit_says_by_how_much_and_what_fits(tmp_path):
    done = run("render", PAIR, "--profile", "pytorch", "--gpu", "l4-24g", "--output", tmp_path / "out", status=6)
    assert "GiB are missing" in done.output
    assert "fits with" in done.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "named", "status"),
    [
        (["--profile", "pytorch", "--gpu", "abacus"], "gpu", 2),
        (["--profile", "cpu", "--gpu", "h100-80g"], "gpu", 2),
        (["--profile", "magic"], "magic", 2),
        (["--for", "mars"], "mars", 2),
    ],
)
def test_bad_arguments_are_named(tmp_path, arguments, named, status):
    assert named in run("render", PAIR, *arguments, "--output", tmp_path / "out", status=status).output
    assert not (tmp_path / "out").exists()


def test_an_unknown_pair_and_a_foreign_directory_are_errors(tmp_path):
    run("render", "nothing", "--output", tmp_path / "out", status=2)
    (tmp_path / "out" / "a1").mkdir(parents=True)
    (tmp_path / "out" / "a1" / "config.pbtxt").write_text("mine")
    assert "--force" in run("render", "reference", "--output", tmp_path / "out", status=6).output
    run("render", "reference", "--output", tmp_path / "out", "--force")
    run("check", tmp_path / "out")


def test_problems_have_a_status_and_say_what_to_do(tmp_path):
    run("render", "reference", "--output", tmp_path / "out")
    path = tmp_path / "out" / "draft" / "config.pbtxt"
    path.write_text(path.read_text().replace("TYPE_UINT64", "TYPE_INT64"))
    report = json.loads(run("check", tmp_path / "out", "--json", status=6).stdout)
    assert not report["ok"]
    (problem,) = report["problems"]
    assert (problem["model"], problem["field"], problem["code"]) == ("draft", "seed", "dtype")
    assert problem["remedy"]
    assert "seed" in run("check", tmp_path / "out", status=6).output
    assert "directory" in run("check", tmp_path / "nothing", status=6).output


@pytest.mark.parametrize("url", ["grpc://127.0.0.1:1", "http://127.0.0.1:1"])
def test_a_server_that_does_not_answer_is_a_problem(url):
    tree = Path(__file__).parents[2] / "triton_models"
    report = json.loads(run("check", tree, "--url", url, "--timeout", "2", "--json", status=6).stdout)
    assert {problem["code"] for problem in report["problems"]} == {"live"}
    assert {problem["model"] for problem in report["problems"]} == {"a1", "draft", "target"}
