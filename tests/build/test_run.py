"""Builds: the real code drives strict stand-ins of TensorRT-LLM's programs, which fail, hang and lie."""

from __future__ import annotations

import dataclasses
import json
import os

import pytest

from a1_trt.build.check import check
from a1_trt.build.manifest import read_manifest
from a1_trt.build.plan import GpuSpec, make_plan
from a1_trt.build.run import run
from a1_trt.errors import BuildError, ConfigError
from tests.build.conftest import STEPS, output


def finished_looking(directory):
    """What somebody could take for an engine, a checkpoint or a finished build."""
    return sorted(
        path.relative_to(directory).as_posix()
        for path in directory.rglob("*")
        if path.name in ("manifest.json", "config.json", "settings.json") or path.suffix == ".engine"
    )


def test_compiled_engines_are_built_in_order_and_recorded(machine, build):
    manifest, said = build()
    assert machine.calls() == [list(step) for step in STEPS]
    assert [state for _, state in said] == ["started", "done"] * len(STEPS)
    assert manifest == json.loads((output(machine) / "manifest.json").read_text())
    assert set(manifest["files"]) == {
        f"{role}/{name}" for role in ("draft", "target") for name in ("config.json", "rank0.engine")
    }
    assert (manifest["tensorrt_llm"], manifest["gpu"]["name"]) == ("1.2.1", "h100-80g")
    assert [step["step"] for step in manifest["steps"]] == [title for title, state in said if state == "done"]
    assert not list(output(machine).rglob("*.partial"))
    assert "$ trtllm-build" in (output(machine) / "logs" / "target-build.log").read_text()
    assert check(output(machine), machine.pair, GpuSpec.parse("2 x h100-80g")).problems == []


def test_a_finished_build_is_not_done_again(machine, build):
    first, _ = build()
    n_calls = len(machine.calls())
    again, said = build()
    assert again == first
    assert {state for _, state in said} == {"skipped"}
    assert len(machine.calls()) == n_calls


@pytest.mark.parametrize(
    ("tool", "role", "how"),
    [*((*step, "half") for step in STEPS), (*STEPS[0], "fail"), (*STEPS[2], "empty"), (*STEPS[4], "empty")],
)
def test_a_failed_step_leaves_nothing_that_looks_finished_and_is_taken_up_again(
    machine, build, monkeypatch, tool, role, how
):
    monkeypatch.setenv("FAKE_FAULT", json.dumps({"tool": tool, "role": role, "how": how}))
    with pytest.raises(BuildError) as caught:
        build()
    error = caught.value
    assert tool in error.command
    assert error.log is not None
    assert os.path.isfile(error.log)  # noqa: PTH113
    assert error.remedy
    if how == "fail":
        assert "CUDA out of memory" in error.message
    done = STEPS[: STEPS.index((tool, role))]
    assert not (output(machine) / "manifest.json").exists()
    for other in finished_looking(output(machine)):
        folder = other.split("/")[0]
        made = {"convert_checkpoint.py": "converted", "hf": "checkpoints"}
        assert any(folder == made.get(t, r) and r in other for t, r in done) or "checkpoints" in other
    with pytest.raises(BuildError, match="has not ended"):
        read_manifest(output(machine))
    monkeypatch.delenv("FAKE_FAULT")
    machine.calls_file.unlink()
    build()
    assert machine.calls() == [list(step) for step in STEPS[len(done) :]]
    assert check(output(machine), machine.pair, GpuSpec.parse("2 x h100-80g")).ok


def test_a_changed_checkpoint_is_converted_and_compiled_again(machine, build):
    build()
    machine.calls_file.unlink()
    (machine.root / "pair" / "small" / "model.safetensors").write_bytes(b"other weights")
    _, said = build()
    assert machine.calls() == [["convert_checkpoint.py", "draft"]]  # the converted files came out the same
    assert said[-1] == ("target-build", "skipped")


def test_a_changed_pair_compiles_again_what_it_changes(machine, build):
    build()
    machine.calls_file.unlink()
    machine.pair_file.write_text(machine.pair_file.read_text().replace("max_in_flight = 2", "max_in_flight = 3"))
    manifest, _ = build()
    assert machine.calls() == [["trtllm-build", "target"]]
    assert manifest["settings"]["target"]["--max_batch_size"] == 3


def test_a_build_that_fails_takes_the_older_manifest_with_it(machine, build, monkeypatch):
    build()
    machine.pair_file.write_text(machine.pair_file.read_text().replace("max_in_flight = 2", "max_in_flight = 3"))
    monkeypatch.setenv("FAKE_FAULT", json.dumps({"tool": "trtllm-build", "role": "target", "how": "fail"}))
    with pytest.raises(BuildError, match="out of memory"):
        build()
    with pytest.raises(BuildError, match="has not ended"):
        check(output(machine))


def test_a_place_that_cannot_be_written_is_a_typed_error(machine, h100s):
    (machine.root / "file").write_text("")
    plan = make_plan(machine.pair, "tensorrt", h100s, output=machine.root / "file" / "below")
    with pytest.raises(BuildError) as caught:
        run(plan, h100s, "1.2.1")
    assert caught.value.remedy


def test_an_engine_that_was_touched_is_built_again(machine, build):
    build()
    (output(machine) / "draft" / "rank0.engine").unlink()
    machine.calls_file.unlink()
    build()
    assert machine.calls() == [["trtllm-build", "draft"]]


def test_engines_are_spread_as_the_plan_says(machine, build):
    machine.write_pair("tensor_parallel = 2")
    manifest, _ = build()
    assert {"target/rank0.engine", "target/rank1.engine"} <= set(manifest["files"])
    assert manifest["placement"]["target"] == [[0, 1]]


def test_the_llm_api_is_quantised_configured_and_warmed_up(machine, build):
    machine.write_pair('quantization = "fp8"')
    manifest, said = build("pytorch")
    assert [title for title, state in said if state == "done"] == [
        "draft-configure",
        "draft-warm-up",
        "target-fetch",
        "target-quantize",
        "target-configure",
        "target-warm-up",
    ]
    report = json.loads((output(machine) / "warm-up" / "target" / "report.json").read_text())
    assert report["n_scored_tokens"] == report["n_generated_tokens"] > 0
    assert json.loads((output(machine) / "target" / "settings.json").read_text()) == manifest["settings"]["target"]


def test_the_warm_up_says_what_is_wrong(machine, build):
    # The vocabulary of the checkpoint does not fit the head that the double makes of it.
    path = machine.root / "pair" / "small" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "architectures": ["GPT2LMHeadModel"]}))
    with pytest.raises(BuildError) as caught:
        build("pytorch")
    assert caught.value.field == "draft-warm-up"
    assert not (output(machine) / "manifest.json").exists()


def test_a_pair_in_its_own_place_runs_what_was_built(machine, h100s):
    machine.write_pair("")
    plan = make_plan(machine.pair, "pytorch", h100s)
    run(plan, h100s, "1.2.1")
    assert machine.pair.model_path("target") == machine.pair_file.parent / "pytorch" / "target"


class TestRefusals:
    def refused(self, build, **given):
        with pytest.raises((BuildError, ConfigError)) as caught:
            build(**given)
        assert caught.value.remedy
        return caught.value

    @pytest.mark.parametrize("here", ["a100-80gx2", "h100-80g", "h200-141gx2"])
    def test_other_gpus_or_fewer(self, build, here):
        assert self.refused(build, here=GpuSpec.parse(here)).field == "gpu"

    def test_too_little_memory_for_the_plan(self, build):
        error = self.refused(build, fits=False, short_gib=3.5)
        assert (error.field, "3.5 GiB" in error.message) == ("gpu", True)

    def test_gpus_with_less_memory_than_planned(self, build, h100s):
        small = GpuSpec(dataclasses.replace(h100s.gpu, memory_gib=40.0), 2)
        assert self.refused(build, here=small).field == "gpu"

    def test_gpus_that_others_use(self, build, h100s):
        busy = GpuSpec(dataclasses.replace(h100s.gpu, used_gib=20.0), 2)
        assert self.refused(build, here=busy).field == "gpu"

    @pytest.mark.parametrize(
        ("version", "profile"), [("1.3.0rc11", "tensorrt"), ("1.0.0", "pytorch"), ("1.4.0", "pytorch")]
    )
    def test_other_versions(self, machine, build, version, profile):
        machine.install(version)
        error = self.refused(build, profile=profile)
        assert (error.field, version in error.message) == ("version", True)

    def test_no_tensorrt_llm(self, machine, build):
        for file in (machine.root / "site").glob("*/METADATA"):
            file.unlink()
            file.parent.rmdir()
        assert self.refused(build).field == "version"

    def test_a_missing_checkpoint(self, machine, build):
        (machine.root / "pair" / "small" / "config.json").rename(machine.root / "elsewhere")
        assert self.refused(build).field == "draft.model"

    def test_a_missing_program(self, machine, build):
        (machine.root / "bin" / "trtllm-build").unlink()
        error = self.refused(build)
        assert (error.field, "container" in error.remedy) == ("tools", True)

    def test_a_foreign_directory(self, machine, build):
        output(machine).mkdir()
        (output(machine) / "rank0.engine").write_bytes(b"theirs")
        assert self.refused(build).field == "output"
        assert [path.name for path in output(machine).iterdir()] == ["rank0.engine"]

    def test_a_file_in_the_way(self, machine, build):
        output(machine).write_text("")
        assert self.refused(build).field in ("output", "directory")

    @pytest.mark.parametrize(
        ("field", "given"),
        [("profile", {"profile": "pytorch"}), ("pair", {"pair": "other"}), ("fingerprint", {"fingerprint": "0"})],
    )
    def test_engines_of_another_build(self, build, field, given):
        build()
        error = self.refused(build, **given)
        assert error.field == field
        assert "never mixed" in error.remedy

    def test_engines_of_another_version(self, machine, build):
        build()
        machine.install("1.2.0")
        assert self.refused(build).field == "tensorrt_llm"

    def test_engines_for_another_gpu(self, machine, build):
        build()
        assert self.refused(build, gpu=GpuSpec.parse("2 x a100-80g")).field == "gpu"

    def test_a_damaged_record(self, machine, build):
        build()
        (output(machine) / ".build.json").write_text("{")
        assert self.refused(build).field == ".build.json"


def test_a_damaged_stamp_only_repeats_its_step(machine, build):
    build()
    (output(machine) / ".steps" / "draft-build.json").write_text("{")
    machine.calls_file.unlink()
    build()
    assert machine.calls() == [["trtllm-build", "draft"]]
