"""GPUs: what one can do, and how many there are."""

import difflib
import os
import re
import tomllib
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from typing import Any, Self

from a1_trt.errors import ConfigError

MAX_GPUS = 64  # on one machine; a simulation may name more
_LONGEST_NAME = 64
_MANY = re.compile(r"(?:(?P<before>\d{1,6})[x*])?(?P<name>[a-z0-9][a-z0-9._-]*?)(?:[x*](?P<after>\d{1,6}))?")


@dataclass(frozen=True, slots=True)
class Gpu:
    """One kind of GPU, such as "h100-80g"; figures of its data sheet, from gpus.toml."""

    name: str
    memory_gib: float  # what the driver reports as total
    sm: int  # compute capability x 10
    bandwidth_gb_s: float | None = None  # of the memory; None where only the driver was asked
    link_gb_s: float | None = None  # to the neighbouring GPU, both directions together; None likewise
    tflops: dict[str, float] = field(default_factory=dict, hash=False)  # dense tensor peak by type
    title: str = ""
    source: str = ""  # where the figures are from
    used_gib: float = field(default=0.0, compare=False)  # when the driver was asked


@dataclass(frozen=True, slots=True)
class GpuSpec:
    """Some GPUs of one kind.

    Example:
        >>> str(GpuSpec.parse("2 x h100-80g")), GpuSpec.parse("h100-80gx2").count, GpuSpec.parse("l4-24g").gpu.sm
        ('2 x h100-80g', 2, 89)
    """

    gpu: Gpu
    count: int = 1

    def __str__(self) -> str:
        return f"{self.count} x {self.gpu.name}"

    @classmethod
    def parse(cls, text: str, *, most: int = MAX_GPUS) -> Self:
        """Read "h100-80g", "2 x h100-80g", "h100-80gx2" or "H100x2": the largest GPU of a name that several share."""
        plain = re.sub(r"\s+", "", text[: 4 * _LONGEST_NAME]).lower()
        known = known_gpus()
        if plain in known:  # a name may end like a number of them
            return cls(known[plain])
        match = _MANY.fullmatch(plain)
        name = match["name"] if match else plain
        fitting = [gpu for known_name, gpu in known.items() if re.fullmatch(rf"{re.escape(name)}(-\d+g)?", known_name)]
        gpu = max(fitting, key=lambda gpu: gpu.memory_gib, default=None)
        if match is None or gpu is None:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            message = f"there is no GPU {text[:_LONGEST_NAME]!r}"
            raise ConfigError(message, field="gpu", remedy=f"{hint}choose from {', '.join(known)}, with xN for several")
        counts = [int(number) for number in (match["before"], match["after"]) if number]
        if len(counts) > 1 or not 1 <= (counts or [1])[0] <= most:
            message = f"{text[:_LONGEST_NAME]!r} is not a valid number of GPUs"
            raise ConfigError(message, field="gpu", remedy=f"write one number from 1 to {most}, such as {name}x2")
        return cls(gpu, *counts)

    @classmethod
    def detect(cls) -> Self:
        """The GPUs of this machine, by nvidia-ml-py (extra ``gpu``). Memory is what the driver says."""
        gpus = _ask_driver()
        if len({(gpu.name, gpu.sm) for gpu in gpus}) > 1:
            message = f"this machine has GPUs of several kinds: {', '.join(gpu.title for gpu in gpus)}"
            remedy = "name those to use with --gpu NAME[xN], and hide the others with CUDA_VISIBLE_DEVICES"
            raise ConfigError(message, field="gpu", remedy=remedy)
        least = min(gpus, key=lambda gpu: gpu.memory_gib)
        return cls(replace(least, used_gib=max(gpu.used_gib for gpu in gpus)), len(gpus))


@cache
def known_gpus() -> dict[str, Gpu]:
    """Every GPU that can be named.

    Example:
        >>> known_gpus()["a100-80g"].sm, known_gpus()["h100-80g"].sm
        (80, 90)
    """
    return {name: Gpu(name, **{k: v for k, v in row.items() if k != "nvml"}) for name, row in _table().items()}


@cache
def _table() -> dict[str, dict[str, Any]]:
    return tomllib.loads(resources.files("a1_trt.build.hardware").joinpath("gpus.toml").read_text(encoding="utf-8"))


def _ask_driver() -> list[Gpu]:
    try:
        import pynvml
    except ImportError:
        message = "reading the GPUs of this machine needs nvidia-ml-py, which is not installed"
        remedy = "pip install 'a1_trt[gpu]', or name them with --gpu NAME[xN]"
        raise ConfigError(message, field="gpu", remedy=remedy) from None
    try:
        pynvml.nvmlInit()
        try:
            gpus = [_described(pynvml, index) for index in _visible(pynvml.nvmlDeviceGetCount())]
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        message = f"no NVIDIA driver answers on this machine ({error})"
        remedy = "run this where the GPUs are, or name them with --gpu NAME[xN]"
        raise ConfigError(message, field="gpu", remedy=remedy) from None
    if not gpus:
        remedy = "run this where the GPUs are, or use --gpu NAME[xN]"
        raise ConfigError("this machine has no NVIDIA GPU", field="gpu", remedy=remedy)
    return gpus


def _visible(count: int) -> list[int]:
    """The GPUs that programs of this process may use; the driver itself names all."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return list(range(count))
    indices = [part.strip() for part in visible.split(",") if part.strip()]
    if not all(part.isdigit() and int(part) < count for part in indices):
        message = f"CUDA_VISIBLE_DEVICES is {visible[:_LONGEST_NAME]!r}, and there are {count} GPUs"
        raise ConfigError(message, field="CUDA_VISIBLE_DEVICES", remedy="write their numbers, such as 0,1, or unset it")
    return [int(part) for part in indices]


def _described(pynvml: Any, index: int) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    title = pynvml.nvmlDeviceGetName(handle)
    title = title.decode() if isinstance(title, bytes) else str(title)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    name = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    known = known_gpus().get(_name_of(title) or "") or Gpu(name, 0.0, 0, source="driver")
    total_gib, used_gib = (round(n_bytes / 2**30, 2) for n_bytes in (memory.total, memory.used))
    return replace(known, memory_gib=total_gib, sm=10 * major + minor, title=title, used_gib=used_gib)


def _name_of(title: str) -> str | None:
    """The short name of a GPU by what the driver calls it; the longest beginning wins (L40S is not L4)."""
    fitting = [
        (len(start), name)
        for name, row in _table().items()
        for start in row["nvml"]
        if re.match(rf"{re.escape(start)}(?![A-Za-z0-9])", title)
    ]
    return max(fitting)[1] if fitting else None
