"""Starting and stopping a server: what is missing is said clearly, and nothing is left behind."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from a1_trt.config import load_pair
from a1_trt.errors import DeployError
from a1_trt.triton import binary, server
from a1_trt.triton.ports import choose_ports
from a1_trt.triton.render import render
from a1_trt.triton.server import TritonServer
from tests.doubles import tritonserver
from tests.places import REFERENCE


@pytest.fixture
def pair():
    return load_pair(REFERENCE)


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Servers are stand-ins; call it to choose how they behave."""
    monkeypatch.setenv(binary.VARIABLE, str(tritonserver.install(tmp_path / "stand_in")))
    return lambda behaviour: monkeypatch.setenv(tritonserver.BEHAVIOUR, behaviour)


@pytest.fixture(autouse=True)
def _own_temporary_directory(tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)


def left_behind(tmp_path, running):
    files = list((tmp_path / "tmp").glob("a1_trt_*"))
    return files + list(server._SHM.glob(f"{running._shm_prefix}*")) + processes_of(tmp_path)


def processes_of(tmp_path):
    found, wanted = [], f"TMPDIR={tmp_path / 'tmp'}".encode()
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if wanted in entry.read_bytes().split(b"\0") and int(entry.parent.name) != os.getpid():
                found.append(entry.parent)
        except (OSError, ValueError):
            continue
    return found


@pytest.mark.usefixtures("stand_in")
def test_a_server_leaves_nothing_behind(pair, tmp_path):
    """That the real one does not either is seen in e2e/test_openai.py."""
    said = []
    with TritonServer(pair, progress=said.append) as running:
        assert running.pid
        # The directory, the log, shared memory, the server and the process beside it.
        assert len(left_behind(tmp_path, running)) == 5
        assert said[-1] == "ready"
    assert running.pid is None
    assert left_behind(tmp_path, running) == []
    running.stop()


@pytest.mark.usefixtures("stand_in")
def test_no_path_that_a_shell_would_split_reaches_triton(pair, tmp_path, monkeypatch):
    for name in ("temporary files", "répository here"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary files"))
    render(pair, tmp_path / "répository here" / "models")
    with TritonServer(pair, repository=tmp_path / "répository here" / "models") as running:
        words = Path(f"/proc/{running.pid}/cmdline").read_text().split("\0")
        options = dict(word.removeprefix("--").partition("=")[::2] for word in words)
        for name in ("model-repository", "backend-directory"):
            assert shlex.quote(options[name]) == options[name]
        assert (Path(options["model-repository"]) / "a1" / "config.pbtxt").is_file()


def test_a_server_that_does_not_want_to_end_is_killed(pair, tmp_path, stand_in):
    stand_in(tritonserver.STUBBORN)
    running = TritonServer(pair)
    running.start()
    running.wait_ready()
    running.stop(grace_s=0.2)
    assert left_behind(tmp_path, running) == []


@pytest.mark.usefixtures("stand_in")
def test_a_server_that_is_killed_leaves_nothing_behind(pair, tmp_path):
    with TritonServer(pair) as running:
        os.kill(running.pid, signal.SIGKILL)
        with pytest.raises(DeployError, match="died"):
            running.wait()
    assert [path for path in left_behind(tmp_path, running) if path.suffix != ".log"] == []


@pytest.mark.usefixtures("stand_in")
def test_ctrl_c_stops_the_server(tmp_path):
    program = (
        "import signal, time\nfrom a1_trt.config import load_pair\nfrom a1_trt.triton.server import TritonServer\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background jobs ignore it
        f"with TritonServer(load_pair({str(REFERENCE)!r})):\n    print('ready', flush=True)\n    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        assert len(processes_of(tmp_path)) == 3
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert processes_of(tmp_path) == []
    assert list((tmp_path / "tmp").glob("a1_trt_*")) == []


@pytest.mark.parametrize("name", ["grpc_port", "http_port", "metrics_port"])
def test_a_port_in_use_is_named_before_anything_starts(pair, tmp_path, name):
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        running = TritonServer(pair, **{name: taken})
        with pytest.raises(DeployError) as caught:
            running.start()
    assert caught.value.field == name
    assert str(taken) in caught.value.message
    assert "--" + name.replace("_", "-") in caught.value.remedy
    assert left_behind(tmp_path, running) == []


@pytest.mark.parametrize(("host", "port", "field"), [("127.0.0.1", 70000, "grpc_port"), ("192.0.2.1", 0, "host")])
def test_impossible_ports_and_hosts_are_named(host, port, field):
    with pytest.raises(DeployError) as caught:
        choose_ports(host, {"grpc_port": port})
    assert caught.value.field == field


def test_one_port_cannot_serve_twice():
    port = choose_ports("127.0.0.1", {"x": 0})["x"]
    with pytest.raises(DeployError, match="in use"):
        choose_ports("127.0.0.1", {"grpc_port": port, "http_port": port})


def alone(pair, role, repository):
    """A repository of one of the pair's models."""
    render(pair, repository)
    for model in {"a1", "draft", "target"} - {role}:
        shutil.rmtree(repository / model)
    return repository


def test_a_model_that_cannot_load_says_why(tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    file = folder / "pair.toml"
    file.write_text(f'name = "p"\n[draft]\nmodel = "nowhere"\n[target]\nmodel = "{REFERENCE}/target"\n')
    broken = load_pair(file)
    repository = alone(broken, "draft", tmp_path / "repository")
    with pytest.raises(DeployError) as caught, TritonServer(broken, repository=repository):
        pass
    assert caught.value.model == "draft"
    assert caught.value.field == "draft.model"
    assert "nowhere" in caught.value.message
    assert caught.value.remedy
    assert processes_of(tmp_path) == []


def test_a_dying_model_is_told_with_the_end_of_the_log(pair, tmp_path):
    repository = alone(pair, "target", tmp_path / "repository")
    (repository / "target" / "1" / "model.py").write_text("import os\nos._exit(3)\n")
    running = TritonServer(pair, repository=repository)
    with pytest.raises(DeployError, match="log ends") as caught, running:
        pass
    assert running.log_path.is_file()
    assert str(running.log_path) in caught.value.remedy
    assert [path for path in left_behind(tmp_path, running) if path.suffix != ".log"] == []


def test_a_server_that_is_never_ready_is_given_up(pair, tmp_path, stand_in):
    stand_in(tritonserver.HANGS)
    running = TritonServer(pair, timeout_s=1.0)
    with pytest.raises(DeployError, match="not ready after 1 s"), running:
        pass
    assert [path for path in left_behind(tmp_path, running) if path.suffix != ".log"] == []


def test_a_log_that_cannot_be_written_is_a_typed_error(pair, tmp_path):
    running = TritonServer(pair, log_path=tmp_path)
    with pytest.raises(DeployError) as caught, running:
        pass
    assert caught.value.field == "log_path"


def test_a_named_server_must_exist(monkeypatch):
    monkeypatch.setenv(binary.VARIABLE, "/nowhere/tritonserver")
    with pytest.raises(DeployError) as caught:
        binary.find_binary()
    assert caught.value.field == binary.VARIABLE


def test_a_named_server_must_have_a_python_backend_of_this_python(monkeypatch, tmp_path):
    executable = tmp_path / "bin" / "tritonserver"
    executable.parent.mkdir()
    executable.write_text("#!/bin/sh\n")
    executable.chmod(0o755)
    monkeypatch.setenv(binary.VARIABLE, str(executable))
    with pytest.raises(DeployError, match="no Python backend"):
        binary.find_binary()
    stub = tmp_path / "backends" / "python" / "triton_python_backend_stub"
    stub.parent.mkdir(parents=True)
    stub.write_bytes(b"libpython2.7.so")
    with pytest.raises(DeployError, match="another Python"):
        binary.find_binary()


@pytest.mark.parametrize(
    ("target", "value", "field"),
    [
        ("sys.platform", "darwin", "platform"),
        ("platform.libc_ver", lambda: ("glibc", "2.31"), "platform"),
        ("platform.libc_ver", lambda: ("", ""), "platform"),
        ("sysconfig.get_config_var", lambda _: None, "python"),
        ("importlib.util.find_spec", lambda _: None, "tritonserver"),
        ("importlib.metadata.version", lambda _: "2.1.0", "numpy"),
    ],
)
def test_an_unsupported_machine_is_told_what_is_missing(monkeypatch, tmp_path, target, value, field):
    monkeypatch.setattr(target, value)
    monkeypatch.setattr("sys.base_prefix", str(tmp_path))
    monkeypatch.setattr(binary, "_SYSTEM", tmp_path / "none")
    monkeypatch.setattr("shutil.which", lambda _: None)
    if target != "sysconfig.get_config_var":
        monkeypatch.setattr(binary, "_libpython", lambda: tmp_path)
    with pytest.raises(DeployError) as caught:
        binary.find_binary()
    assert caught.value.field == field
    assert caught.value.remedy


@pytest.mark.usefixtures("stand_in")
def test_a_server_is_started_once(pair):
    with TritonServer(pair) as running, pytest.raises(DeployError, match="already"):
        running.start()
