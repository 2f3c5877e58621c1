"""Machine and version metadata for results."""

import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("a1_trt", "openvino-genai", "openvino-tokenizers", "nvidia-pytriton", "tritonclient", "numpy")


def machine() -> dict[str, Any]:
    """Processor, cores that may be used, system, Python, and how busy it was (load average of a minute)."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_1min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def versions() -> dict[str, str | None]:
    """Versions of the packages that a figure depends on; None where one is not installed."""
    return {package: _version(package) for package in _PACKAGES}


def commit() -> str | None:
    """The commit of this package's own source tree, with "+" where that has been changed; None outside of git."""
    git, tree = shutil.which("git"), Path(__file__).resolve().parents[2]
    if git is None or not (tree / ".git").exists():
        return None
    head, changes = (_output(git, tree, *words) for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "-uno")))
    return None if head is None else head + ("+" if changes else "")


def _output(git: str, tree: Path, *words: str) -> str | None:
    done = subprocess.run([git, "-C", str(tree), *words], capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip() if done.returncode == 0 else None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    for line in info.read_text(encoding="utf-8").splitlines() if info.is_file() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
