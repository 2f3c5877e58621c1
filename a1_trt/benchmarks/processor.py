"""Peak arithmetic and memory traffic of this machine: a GPU's data sheet, or a short measurement of the processor."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from a1_trt.benchmarks.intensity import Processor
from a1_trt.build.hardware import GpuSpec
from a1_trt.errors import A1Error

_SIDE = 1024
_COPY_BYTES = 1 << 28
_TRIES = 5


def processor() -> Processor:
    """What this machine can do at most; takes about a second on a CPU."""
    return _gpu() or _cpu()


def _gpu() -> Processor | None:
    try:
        found = GpuSpec.detect()
    except A1Error:
        return None
    gpu = found.gpu
    if gpu.bandwidth_gb_s is None or "bf16" not in gpu.tflops:
        return None
    peak, traffic = gpu.tflops["bf16"] * 1e12 * found.count, gpu.bandwidth_gb_s * 1e9 * found.count
    return Processor(peak, traffic, f"data sheet of {found}, bf16")


def _cpu() -> Processor:
    """A product of two float32 matrices, and a copy larger than the caches: the best of a few tries each."""
    left = np.random.default_rng(0).random((_SIDE, _SIDE), dtype=np.float32)
    source, target = np.zeros(_COPY_BYTES, np.uint8), np.empty(_COPY_BYTES, np.uint8)

    def product() -> None:
        left @ left

    def copy() -> None:
        np.copyto(target, source)

    flop_per_s = 2.0 * _SIDE**3 / min(_seconds(product) for _ in range(_TRIES))
    bytes_per_s = 2.0 * _COPY_BYTES / min(_seconds(copy) for _ in range(_TRIES))
    return Processor(flop_per_s, bytes_per_s, "measured: float32 matrix product, and a copy larger than the caches")


def _seconds(work: Callable[[], object]) -> float:
    started_s = time.perf_counter()
    work()
    return time.perf_counter() - started_s
