"""Checks: a directory of engines compared with its record, its pair and the machine."""

from __future__ import annotations

import json

import pytest

from a1_trt.build.check import check
from a1_trt.build.plan import GpuSpec
from a1_trt.errors import BuildError
from tests.build.conftest import output


class TestCheck:
    def problems(self, machine, gpu="2 x h100-80g", pair=True):
        found = check(output(machine), machine.pair if pair else None, GpuSpec.parse(gpu))
        assert all(error.remedy for error in found.problems)
        return [error.field for error in found.problems]

    def test_nothing_is_wrong_after_a_build(self, machine, build):
        build()
        assert self.problems(machine) == []

    @pytest.mark.parametrize("text", [b"rank 1", b"longer than it was", b""])
    def test_changed_engines(self, machine, build, text):
        build()
        (output(machine) / "draft" / "rank0.engine").write_bytes(text)
        assert self.problems(machine) == ["draft/rank0.engine"]

    def test_missing_and_foreign_engines(self, machine, build):
        build()
        (output(machine) / "target" / "rank0.engine").rename(output(machine) / "target" / "rank7.engine")
        assert self.problems(machine) == ["target/rank0.engine", "target/rank7.engine"]

    def test_other_gpus(self, machine, build):
        build()
        assert self.problems(machine, gpu="2 x a100-80g") == ["gpu"]
        assert self.problems(machine, gpu="h100-80g") == ["gpu"]

    def test_another_version(self, machine, build):
        build()
        machine.install("1.2.0")
        assert self.problems(machine) == ["version"]

    def test_another_pair(self, machine, build):
        build()
        machine.pair_file.write_text(machine.pair_file.read_text().replace('name = "tiny"', 'name = "other"'))
        assert self.problems(machine) == ["pair"]

    def test_a_pair_that_has_changed(self, machine, build):
        build()
        machine.pair_file.write_text(machine.pair_file.read_text().replace("max_in_flight = 2", "max_in_flight = 3"))
        assert self.problems(machine) == ["target.--max_batch_size"]

    def test_a_record_that_points_elsewhere(self, machine, build):
        build()
        path = output(machine) / "manifest.json"
        manifest = json.loads(path.read_text())
        manifest["files"]["../pair/pair.toml"] = {"bytes": 1, "sha256": "0"}
        path.write_text(json.dumps(manifest))
        assert self.problems(machine) == ["../pair/pair.toml"]

    @pytest.mark.parametrize("text", ["{", "[]", "{}", '{"schema": 1}', '{"schema": 99}'])
    def test_a_damaged_manifest(self, machine, build, text):
        build()
        (output(machine) / "manifest.json").write_text(text)
        with pytest.raises(BuildError):
            check(output(machine))

    @pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_text("x")])
    def test_no_engines_at_all(self, tmp_path, make):
        make(tmp_path / "engines")
        with pytest.raises(BuildError) as caught:
            check(tmp_path / "engines")
        assert caught.value.remedy
