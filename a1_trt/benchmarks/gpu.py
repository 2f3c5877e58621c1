"""What NVIDIA's counters say of a stretch of time: energy, and how busy multiprocessors, tensor cores and memory were.

GPM counters (Hopper and later) are averages between two samples, so one at each end is enough. These are proxies for
time in computation and in memory access, not those times. Never run on a GPU so far: held to the module pynvml alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

GPM = {"sm_util": "SM_UTIL", "tensor_util": "ANY_TENSOR_UTIL", "dram_bw_util": "DRAM_BW_UTIL"}
"""Our name -> NVML's NVML_GPM_METRIC_*; per cent of the peak."""


@dataclass(slots=True)
class Counters:
    """Energy of all GPUs, joules (None where NVML does not tell), and per GPU a row of `GPM` (Hopper on)."""

    energy_j: float | None
    gpus: list[dict[str, float]]


@contextmanager
def counting() -> Iterator[Counters]:
    """Count from here to the end of the block; without a GPU nothing is counted."""
    counters = Counters(None, [])
    nvml = _nvml()
    if nvml is None:
        yield counters
        return
    try:
        devices = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        before_j, before = _energy_j(nvml, devices), [_sample(nvml, device) for device in devices]
        try:
            yield counters
        finally:
            after_j, after = _energy_j(nvml, devices), [_sample(nvml, device) for device in devices]
            if before_j is not None and after_j is not None:
                counters.energy_j = after_j - before_j
            pairs = [pair for pair in zip(before, after, strict=True) if None not in pair]
            counters.gpus = [_between(nvml, *pair) for pair in pairs]
            for sample in (*before, *after):
                if sample is not None:
                    nvml.nvmlGpmSampleFree(sample)
    finally:
        nvml.nvmlShutdown()


def _nvml() -> Any:
    try:
        import pynvml

        pynvml.nvmlInit()
    except ImportError:
        return None
    except pynvml.NVMLError:
        return None
    return pynvml


def _energy_j(nvml: Any, devices: list[Any]) -> float | None:
    try:
        return float(sum(nvml.nvmlDeviceGetTotalEnergyConsumption(device) for device in devices)) / 1000.0
    except nvml.NVMLError:
        return None


def _sample(nvml: Any, device: Any) -> Any:
    try:
        if not nvml.nvmlGpmQueryDeviceSupport(device).isSupportedDevice:
            return None
        sample = nvml.nvmlGpmSampleAlloc()
        nvml.nvmlGpmSampleGet(device, sample)
    except nvml.NVMLError:
        return None
    return sample


def _between(nvml: Any, before: Any, after: Any) -> dict[str, float]:
    request = nvml.c_nvmlGpmMetricsGet_t()
    request.version = nvml.NVML_GPM_METRICS_GET_VERSION
    request.numMetrics = len(GPM)
    request.sample1, request.sample2 = before, after
    for place, name in enumerate(GPM.values()):
        request.metrics[place].metricId = getattr(nvml, f"NVML_GPM_METRIC_{name}")
    reply = nvml.nvmlGpmMetricsGet(request)
    metrics = [(name, reply.metrics[place]) for place, name in enumerate(GPM)]
    return {name: float(metric.value) for name, metric in metrics if metric.nvmlReturn == 0}
