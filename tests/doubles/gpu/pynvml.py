"""A double of nvidia-ml-py: the GPUs of FAKE_GPUS, a list of {"name", "gib", "sm", "used"}; no driver without it."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace
from typing import Any


class NVMLError(Exception):
    pass


def nvmlInit() -> None:  # noqa: N802
    if "FAKE_GPUS" not in os.environ:
        raise NVMLError("NVML Shared Library Not Found")


def nvmlShutdown() -> None:  # noqa: N802
    pass


def nvmlDeviceGetCount() -> int:  # noqa: N802
    return len(json.loads(os.environ["FAKE_GPUS"]))


def nvmlDeviceGetHandleByIndex(index: int) -> dict[str, Any]:  # noqa: N802
    return dict(json.loads(os.environ["FAKE_GPUS"])[index])


def nvmlDeviceGetName(handle: dict[str, Any]) -> str:  # noqa: N802
    return str(handle["name"])


def nvmlDeviceGetMemoryInfo(handle: dict[str, Any]) -> SimpleNamespace:  # noqa: N802
    return SimpleNamespace(total=int(handle["gib"] * 2**30), used=int(handle.get("used", 0.5) * 2**30))


def nvmlDeviceGetCudaComputeCapability(handle: dict[str, Any]) -> tuple[int, int]:  # noqa: N802
    return divmod(int(handle["sm"]), 10)
