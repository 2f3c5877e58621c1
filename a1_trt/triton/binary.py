"""Which tritonserver there is, and the environment in which its Python models find this Python.

Triton's Python backend starts each model in a process of its own, the *stub*, an executable with an interpreter inside.
The stub reads no PYTHONPATH; it finds packages as ``python3`` would, the first one in PATH. So that one must be the
Python that runs here, and the stub must be built for its version.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from a1_trt.errors import DeployError

VARIABLE = "A1_TRT_TRITONSERVER"
_SYSTEM = Path("/opt/tritonserver/bin/tritonserver")
_GLIBC = (2, 35)
_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True, slots=True)
class Binary:
    """A Triton server that can run here, its Python backend, that one's stub for this Python, and shared libraries."""

    path: Path
    backend: Path
    stub: Path
    libraries: tuple[Path, ...]

    def environment(self) -> dict[str, str]:
        """This process's environment variables, with what the server needs on top."""
        libraries = [str(path) for path in self.libraries]
        return {
            **os.environ,
            "LD_LIBRARY_PATH": os.pathsep.join([*libraries, *_split("LD_LIBRARY_PATH")]),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), *_split("PATH")]),
        }

    def make_backends(self, directory: Path) -> None:
        """Fill a directory for --backend-directory: the installed one may be read-only, and lacks the stub."""
        private = directory / "python"
        private.mkdir(parents=True)
        for name in ("libtriton_python.so", "triton_python_backend_utils.py"):
            (private / name).symlink_to(self.backend / name)
        shutil.copyfile(self.stub, private / "triton_python_backend_stub")
        (private / "triton_python_backend_stub").chmod(0o755)
        # The stub looks here last: so a checkout that was not installed works too.
        (private / "a1_trt").symlink_to(Path(__file__).resolve().parent.parent)


def find_binary() -> Binary:
    """The tritonserver to use: $A1_TRT_TRITONSERVER, the one in PATH, NVIDIA's container, or the nvidia-pytriton wheel.

    Raises:
        DeployError: There is none, or this machine or this Python cannot run it; it says what is missing.
    """
    if not sys.platform.startswith("linux"):
        message = f"Triton runs on Linux only, this is {platform.system()}"
        remedy = "use Linux (also in a container or WSL 2), or solve in process: 'a1-trt solve -p PAIR'"
        raise DeployError(message, field="platform", remedy=remedy)
    if not (Path(sys.executable).parent / "python3").exists():
        message = f"there is no python3 beside {sys.executable}"
        raise DeployError(message, field="python", remedy="run from a virtual environment")
    library = _libpython()
    named = os.environ.get(VARIABLE)
    if named and not os.access(named, os.X_OK):
        message = f"{VARIABLE} names {named}, which is not an executable file"
        raise DeployError(message, field=VARIABLE, remedy="name a tritonserver, or unset it")
    system = named or shutil.which("tritonserver") or (str(_SYSTEM) if _SYSTEM.is_file() else None)
    return _installed(Path(system).resolve(), library) if system else _wheel(library)


def _libpython() -> Path:
    root = Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib")
    name = f"libpython{_VERSION}.so.1.0"
    for directory in (root, root / (sysconfig.get_config_var("MULTIARCH") or ""), Path(sys.base_prefix) / "lib"):
        if (directory / name).is_file():
            return directory
    message = f"this Python has no shared library {name}, which Triton's Python backend needs"
    remedy = "use a Python built with --enable-shared, such as the system's with its libpython package"
    raise DeployError(message, field="python", remedy=remedy)


def _installed(path: Path, library: Path) -> Binary:
    """A tritonserver in the layout of NVIDIA's container."""
    root = path.parent.parent
    backend = root / "backends" / "python"
    stub = backend / "triton_python_backend_stub"
    if not stub.is_file():
        message = f"{path} has no Python backend in {backend}"
        raise DeployError(message, field="tritonserver", remedy=f"name another one in {VARIABLE}")
    if f"libpython{_VERSION}.so".encode() not in stub.read_bytes():
        message = f"the Python backend of {path} is built for another Python than {_VERSION}"
        raise DeployError(message, field="python", remedy="run a1-trt with the Python of that server's container")
    return Binary(path, backend, stub, (library, root / "lib"))


def _wheel(library: Path) -> Binary:
    spec = importlib.util.find_spec("pytriton")
    if spec is None or not spec.submodule_search_locations:
        remedy = f"pip install 'a1_trt[serve]', or name one in {VARIABLE}"
        raise DeployError("there is no tritonserver", field="tritonserver", remedy=remedy)
    _check_wheel_runs()
    package = Path(spec.submodule_search_locations[0])
    root = package / "tritonserver"
    stub = root / "python_backend_stubs" / _VERSION / "triton_python_backend_stub"
    if not stub.is_file():
        known = sorted(path.parent.name for path in root.glob("python_backend_stubs/*/triton_python_backend_stub"))
        message = f"the server of nvidia-pytriton has no Python backend for Python {_VERSION}"
        raise DeployError(message, field="python", remedy=f"use Python {', '.join(known)}")
    libraries = (library, package.parent / "nvidia_pytriton.libs", root / "external_libs")
    return Binary(root / "bin" / "tritonserver", root / "backends" / "python", stub, libraries)


def _check_wheel_runs() -> None:
    name, version = platform.libc_ver()
    if name != "glibc" or tuple(int(part) for part in version.split(".")[:2]) < _GLIBC:
        library = f"{name or 'another C library'} {version}".rstrip()
        message = f"the server of nvidia-pytriton needs glibc {_GLIBC[0]}.{_GLIBC[1]}, this is {library}"
        remedy = "use a newer distribution (Ubuntu 22.04, Debian 12), or NVIDIA's Triton container"
        raise DeployError(message, field="platform", remedy=remedy)
    numpy = metadata.version("numpy")
    if int(numpy.split(".")[0]) >= 2:
        # With numpy 2 that server's Python backend sends every output empty, without an error.
        message = f"the server of nvidia-pytriton works with numpy 1 only, this is {numpy}"
        raise DeployError(message, field="numpy", remedy="pip install 'numpy<2'")


def _split(variable: str) -> list[str]:
    return [part for part in os.environ.get(variable, "").split(os.pathsep) if part]
