"""a1-trt engine plan, build, check and show, in processes of their own, through interruption and kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.build.conftest import STEPS, output


def a1_trt(*arguments, wait=True):
    command = [sys.executable, "-c", "from a1_trt.cli import main; main()", "engine", *map(str, arguments)]
    if not wait:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return subprocess.run(command, capture_output=True, text=True)


def wait_for(condition, what, limit_s=60.0):
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen"
        time.sleep(0.05)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class TestCommand:
    def test_build_check_and_show(self, machine):
        done = a1_trt("build", machine.pair_file, output(machine), "--profile", "tensorrt", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["manifest"]["profile"] == "tensorrt"
        assert "target-build done" in done.stderr
        checked = a1_trt("check", output(machine), "--pair", machine.pair_file, "--json")
        assert (checked.returncode, json.loads(checked.stdout)["problems"]) == (0, [])
        assert "1.2.1" in a1_trt("show", output(machine)).stdout
        (output(machine) / "manifest.json").unlink()
        half = a1_trt("check", output(machine), "--json")
        said = json.loads(half.stdout)
        assert (half.returncode, said["ok"], said["problems"][0]["field"]) == (5, False, "manifest")

    @pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
    def test_an_interruption_ends_the_program_and_leaves_a_build_to_go_on_with(self, machine, monkeypatch, kind):
        monkeypatch.setenv("FAKE_FAULT", json.dumps({"tool": "trtllm-build", "role": "draft", "how": "hang"}))
        process = a1_trt("build", machine.pair_file, output(machine), "--profile", "tensorrt", wait=False)
        wait_for(machine.pid_file.exists, "the hanging step")
        other = a1_trt("build", machine.pair_file, output(machine), "--profile", "tensorrt")
        assert other.returncode == 5
        assert "another build is running" in other.stderr
        process.send_signal(kind)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "Traceback" not in said
        assert not alive(int(machine.pid_file.read_text()))
        assert not (output(machine) / "draft").exists()
        assert not list(output(machine).rglob("*.partial"))
        monkeypatch.delenv("FAKE_FAULT")
        machine.calls_file.unlink()
        assert a1_trt("build", machine.pair_file, output(machine), "--profile", "tensorrt").returncode == 0
        assert machine.calls()[0] == ["trtllm-build", "draft"]

    def test_a_killed_build_goes_on(self, machine, monkeypatch):
        monkeypatch.setenv("FAKE_FAULT", json.dumps({"tool": "trtllm-build", "role": "target", "how": "hang"}))
        process = a1_trt("build", machine.pair_file, output(machine), "--profile", "tensorrt", wait=False)
        wait_for(lambda: machine.pid_file.exists() and machine.pid_file.read_text(), "the hanging step")
        process.kill()
        process.communicate(timeout=60)
        os.kill(int(machine.pid_file.read_text()), signal.SIGKILL)  # nobody was left to end it
        assert not (output(machine) / "target").exists()
        assert a1_trt("check", output(machine)).returncode == 5
        monkeypatch.delenv("FAKE_FAULT")
        machine.calls_file.unlink()
        assert a1_trt("build", machine.pair_file, output(machine), "--profile", "tensorrt").returncode == 0
        assert machine.calls() == [["trtllm-build", "target"]]

    @pytest.mark.parametrize(("gpu", "status"), [("2 x h100-80g", 0), ("l4-24g", 5)])
    @pytest.mark.parametrize("profile", ["tensorrt", "pytorch"])
    def test_plans_for_programs(self, machine, monkeypatch, profile, gpu, status):
        monkeypatch.delenv("FAKE_GPUS")  # a plan needs none
        done = a1_trt("plan", "qwen2.5-7b-instruct_qwq-32b", "--profile", profile, "--gpu", gpu, "--json")
        said = json.loads(done.stdout)
        assert done.returncode == status, done.stderr
        assert said["fits"] == (status == 0)
        assert {"draft", "target", "gpu"} == set(said["memory_gib"])
        assert all(isinstance(word, str) for argv in said["commands"] for word in argv)
        assert set(said["settings"]) == {"draft", "target"}
        assert isinstance(said["warnings"], list)
        assert not output(machine).exists()

    def test_plans_for_people(self, machine):
        done = a1_trt("plan", machine.pair_file)
        assert done.returncode == 0, done.stderr
        for wanted in ("on 2 x h100-80g", "weights", "max_num_tokens", "hf download Qwen/QwQ-32B", "takeovers"):
            assert wanted in done.stdout

    def test_the_script_is_one_that_a_shell_runs(self, machine):
        script = a1_trt("plan", machine.pair_file, "--profile", "tensorrt", "--output", output(machine), "--script")
        done = subprocess.run(["sh"], input=script.stdout, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert (output(machine) / "target" / "rank0.engine").is_file()
        assert machine.calls() == [list(step) for step in STEPS]

    def test_the_cpu_build_still_needs_an_output(self, machine):
        done = a1_trt("build", machine.root / "pair" / "small")
        assert done.returncode == 2
        assert "output" in done.stderr
