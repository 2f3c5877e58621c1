"""Run tritonserver as a child process."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Self

import httpx

from a1_trt.config import Pair
from a1_trt.errors import DeployError, from_wire
from a1_trt.triton.binary import find_binary
from a1_trt.triton.ports import choose_ports
from a1_trt.triton.render import MODELS, render

_LOADED = re.compile(r"successfully loaded '([^']+)'")
_FAILED = re.compile(r"failed to load '(?P<model>[^']+)'.*")
_STUB_DIED = "error while loading shared libraries"
_POLL_S = 0.1
_N_POLLS = 50
_KILL_POLL_S = 0.01
_SHM = Path("/dev/shm")  # noqa: S108  the system's own place of shared memory; only listed and cleared by our prefix


class TritonServer:
    """Serves one pair: the models "a1", "draft" and "target". A context manager: enters when ready, leaves stopped.

    Args:
        host: Address to listen on; others than the default let other machines in.
        grpc_port: 0 is any free one. Likewise `http_port`, `metrics_port`.
        repository: A model repository to serve instead of one rendered from the pair.
        log_path: Where the server's log goes; a temporary file, kept only when the server fails, when None.
        timeout_s: Longest time until ready, seconds.
        progress: Told in a few words what the server waits for.

    Attributes:
        grpc_url: ``host:port`` of gRPC; likewise `http_url` and `metrics_url`, with ``http://``. Set by `start`.
    """

    def __init__(
        self,
        pair: Pair,
        *,
        host: str = "127.0.0.1",
        grpc_port: int = 0,
        http_port: int = 0,
        metrics_port: int = 0,
        repository: Path | None = None,
        log_path: Path | None = None,
        timeout_s: float = 180.0,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self._pair = pair
        self._host = host
        self._wanted = {"grpc_port": grpc_port, "http_port": http_port, "metrics_port": metrics_port}
        self._repository = repository
        self._timeout_s = timeout_s
        self._progress = progress or (lambda _: None)
        self._process: subprocess.Popen[bytes] | None = None
        self._directory: Path | None = None
        self._shm_prefix = f"a1_trt_{os.getpid()}_{secrets.token_hex(4)}_"
        self._keep_log = log_path is not None
        self.log_path = log_path
        self.grpc_url = self.http_url = self.metrics_url = ""

    def __enter__(self) -> Self:
        try:
            self.start()
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and not _has_ended(self._process.pid) else None

    def start(self) -> None:
        """Start the server and return at once."""
        if self._process is not None:
            raise DeployError("the server was started already", remedy="make another TritonServer")
        binary = find_binary()
        ports = choose_ports(self._host, self._wanted)
        self._directory = Path(tempfile.mkdtemp(prefix="a1_trt_", dir=_shell_safe_directory()))
        atexit.register(self.stop)
        repository = self._directory / "models"
        if self._repository is None:
            render(self._pair, repository)
        else:
            repository.symlink_to(self._repository.resolve(), target_is_directory=True)
        binary.make_backends(self._directory / "backends")
        if self.log_path is None:
            handle, name = tempfile.mkstemp(prefix="a1_trt_", suffix=".log")
            os.close(handle)
            self.log_path = Path(name)
        near = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self._host, self._host)  # noqa: S104  compared, not bound
        self.grpc_url = f"{near}:{ports['grpc_port']}"
        self.http_url = f"http://{near}:{ports['http_port']}"
        self.metrics_url = f"http://{near}:{ports['metrics_port']}/metrics"
        with _log_file(self.log_path) as log:
            self._process = subprocess.Popen(  # noqa: S603  the arguments are ours
                [str(binary.path), *self._options(repository, ports)],
                env={**binary.environment(), "A1_TRT_GRPC_URL": self.grpc_url},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A session of its own: Ctrl-C reaches this process only, which then stops the server in order.
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Wait until the server takes requests; a DeployError with the reason out of its log when it does not."""
        deadline_s = time.monotonic() + self._timeout_s
        reported = ""
        while not self._is_ready():
            log = self._log()
            if self.pid is None or _STUB_DIED in log:
                raise self._death(log)
            if time.monotonic() > deadline_s:
                raise self._wrong(f"the server is not ready after {self._timeout_s:.0f} s", log)
            missing = sorted(set(MODELS) - set(_LOADED.findall(log)))
            state = f"loading {', '.join(missing)}" if missing else "starting"
            if state != reported:
                self._progress(state)
                reported = state
            time.sleep(_POLL_S)
        self._progress("ready")

    def wait(self) -> None:
        """Wait until the server ends by itself, which is always a DeployError: it has died."""
        if self._process is not None:
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        raise self._death(self._log())

    def stop(self, grace_s: float = 10.0) -> None:
        """Stop the server, after `grace_s` seconds by force, and all its processes; remove its files. Works twice."""
        process, self._process = self._process, None
        try:
            if process is not None and not _has_ended(process.pid):
                os.kill(process.pid, signal.SIGTERM)
                deadline_s = time.monotonic() + grace_s
                while not _has_ended(process.pid) and time.monotonic() < deadline_s:
                    time.sleep(_POLL_S)
        finally:
            if process is not None:
                # The stubs are in the server's group; whatever still runs of it has had its time.
                _kill_group(process)
            self._clean()
            atexit.unregister(self.stop)

    def _options(self, repository: Path, ports: dict[str, int]) -> list[str]:
        options = {
            "model-repository": repository,
            "backend-directory": f"{self._directory}/backends",
            "backend-config": f"python,shm-region-prefix-name={self._shm_prefix}",
            "model-control-mode": "none",
            # Without it every model is started twice, the first time only to ask for its configuration.
            "disable-auto-complete-config": None,
            # Models unload in about a second. A stream that its client broke off can keep one loaded for ever (2.51).
            "exit-timeout-secs": 3,
            "allow-gpu-metrics": "false",
            "http-address": self._host,
            "grpc-address": self._host,
            "metrics-address": self._host,
            **{name.replace("_", "-"): port for name, port in ports.items()},
        }
        return [f"--{name}" if value is None else f"--{name}={value}" for name, value in options.items()]

    def _is_ready(self) -> bool:
        if self.pid is None:
            return False
        try:
            return httpx.get(f"{self.http_url}/v2/health/ready", timeout=2.0, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def _log(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace") if self.log_path else ""

    def _death(self, log: str) -> DeployError:
        for failure in _FAILED.finditer(log):
            # Behind the message the log has the place in the code, as escaped lines.
            typed = from_wire(failure.group().partition("\\n")[0].rstrip('"'))
            if typed is not None:
                return DeployError(typed.message, model=failure["model"], field=typed.field, remedy=typed.remedy)
        return self._wrong("the server died", log)

    def _wrong(self, what: str, log: str) -> DeployError:
        self._keep_log = True
        last = [line for line in log.splitlines() if line.strip() and not line.startswith(("+", "|"))][-3:]
        return DeployError(f"{what}; its log ends: {' / '.join(last)}", remedy=f"see {self.log_path}")

    def _clean(self) -> None:
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None
        if _SHM.is_dir():
            for segment in _SHM.glob(f"{self._shm_prefix}*"):
                segment.unlink(missing_ok=True)
        if not self._keep_log and self.log_path is not None:
            self.log_path.unlink(missing_ok=True)
            self.log_path = None


def _shell_safe_directory() -> str:
    """Where a server's directory is made: Triton hands the paths of backends and models to a shell without quotes."""
    usual = tempfile.gettempdir()
    return usual if shlex.quote(usual) == usual else "/tmp"  # noqa: S108  the directory in it has a name of its own


def _has_ended(pid: int) -> bool:
    """Whether a child has ended. It is not reaped: until it is, nobody else gets its number, or that of its group."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process, reaped only after that, with its group; wait a moment until the group is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        for _ in range(_N_POLLS):
            os.killpg(process.pid, 0)
            time.sleep(_KILL_POLL_S)


def _log_file(path: Path) -> IO[bytes]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("wb")
    except OSError as error:
        message = f"the log {path} cannot be written: {error.strerror}"
        raise DeployError(message, field="log_path", remedy="give another path") from None
