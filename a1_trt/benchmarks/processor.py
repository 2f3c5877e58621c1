"""Peak arithmetic and memory traffic of this machine: a GPU's data sheet, or a short measurement of the processor."""

import timeit
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from a1_trt.build.hardware import GpuSpec
from a1_trt.errors import A1Error

_SIDE = 1024
_COPY_BYTES = 1 << 28
_N_TRIES = 5


@dataclass(frozen=True, slots=True)
class Processor:
    """The two ends of the roofline, FLOP/s and bytes/s, and where they are from: a measurement, or a data sheet."""

    flop_per_s: float
    bytes_per_s: float
    source: str


def processor() -> Processor:
    """What this machine can do at most; takes about a second on a CPU."""
    return _gpu() or _cpu()


def _gpu() -> Processor | None:
    try:
        spec = GpuSpec.detect()
    except A1Error:
        return None
    gpu = spec.gpu
    if gpu.bandwidth_gb_s is None or "bf16" not in gpu.tflops:
        return None
    peak, traffic = gpu.tflops["bf16"] * 1e12 * spec.count, gpu.bandwidth_gb_s * 1e9 * spec.count
    return Processor(peak, traffic, f"data sheet of {spec}, bf16")


def _cpu() -> Processor:
    """A product of two float32 matrices, and a copy larger than the caches: the best of a few tries each."""
    left = np.random.default_rng(0).random((_SIDE, _SIDE), dtype=np.float32)
    source, target = np.zeros(_COPY_BYTES, np.uint8), np.empty(_COPY_BYTES, np.uint8)
    flop_per_s = 2.0 * _SIDE**3 / _best_s(lambda: left @ left)
    bytes_per_s = 2.0 * _COPY_BYTES / _best_s(lambda: np.copyto(target, source))
    return Processor(flop_per_s, bytes_per_s, "measured: float32 matrix product, and a copy larger than the caches")


def _best_s(work: Callable[[], object]) -> float:
    return min(timeit.repeat(work, number=1, repeat=_N_TRIES))
