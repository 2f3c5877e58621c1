"""Quantised weights: what each format costs, which GPUs run it, and which formats a pair may use."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal

from a1_trt.build.hardware import Gpu, ModelDimensions
from a1_trt.config import Pair
from a1_trt.errors import ConfigError
from a1_trt.types import ROLES, Role

Quantization = Literal["none", "fp8", "nvfp4", "int4_awq"]


@dataclass(frozen=True, slots=True)
class WeightFormat:
    """How the weights of the layers are stored. Embedding and head stay in 16 bits."""

    weight_bytes: float  # bytes of a weight, with its share of the scales
    arithmetic: str  # type in which tensor cores multiply them; a key of `Gpu.tflops`
    lowest_sm: int = 0  # compute capability x 10 that TensorRT-LLM has kernels for
    highest_sm: int = 1000
    needs: str = "any GPU"  # the same in words
    modelopt: str | None = None  # what ModelOpt calls it in a checkpoint's hf_quant_config.json

    def runs_on(self, gpu: Gpu) -> bool:
        return self.lowest_sm <= gpu.sm <= self.highest_sm


FORMATS: dict[Quantization, WeightFormat] = {
    "none": WeightFormat(2.0, "bf16"),
    "fp8": WeightFormat(1.0, "fp8", 89, 1000, "compute capability 8.9 (Ada, Hopper) or more", "FP8"),
    # An 8-bit scale for each block of 16.
    "nvfp4": WeightFormat(0.5 + 1 / 16, "fp4", 100, 1000, "compute capability 10.0 (Blackwell) or more", "NVFP4"),
    # A 16-bit scale for each group of 128; multiplied as 16-bit floats.
    "int4_awq": WeightFormat(
        0.5 + 2 / 128, "bf16", 80, 99, "compute capability 8.0 to 9.0 (Ampere, Ada, Hopper)", "W4A16_AWQ"
    ),
}
"""By what a pair file calls it, in the order in which "auto" tries them."""


def combinations(pair: Pair, gpu: Gpu, models: dict[Role, ModelDimensions]) -> Iterator[dict[Role, Quantization]]:
    """What "auto" may stand for, 16 bits first; the target is the first to be quantised, as it is larger."""
    drafts, targets = (_choices(pair, role, gpu, models[role]) for role in ROLES)
    indices = product(range(len(drafts)), range(len(targets)))
    for draft, target in sorted(indices, key=lambda index: (max(index), sum(index))):
        yield {"draft": drafts[draft], "target": targets[target]}


def _choices(pair: Pair, role: Role, gpu: Gpu, model: ModelDimensions) -> list[Quantization]:
    wanted = pair.role(role).gpu.quantization
    if model.quantization is not None:
        return [_format_of_checkpoint(pair, role, model)]
    able = [name for name, weight_format in FORMATS.items() if weight_format.runs_on(gpu)]
    if wanted == "auto":
        return able
    if wanted not in able:
        message = (
            f"{role}.gpu.quantization is {wanted!r}, which needs {FORMATS[wanted].needs};"
            f" {gpu.name} has {gpu.sm / 10:.1f}"
        )
        remedy = f"choose one of auto, {', '.join(able)}, or another GPU"
        raise ConfigError(message, path=str(pair.path), field=f"{role}.gpu.quantization", remedy=remedy)
    return [wanted]


def _format_of_checkpoint(pair: Pair, role: Role, model: ModelDimensions) -> Quantization:
    wanted, stored = pair.role(role).gpu.quantization, str(model.quantization).upper()
    name = next((name for name, weight_format in FORMATS.items() if weight_format.modelopt == stored), None)
    if name is None or wanted not in ("auto", "none", name):
        known = ", ".join(weight_format.modelopt for weight_format in FORMATS.values() if weight_format.modelopt)
        message = f"{model.name} is quantised already, to {model.quantization}; {role}.gpu.quantization is {wanted!r}"
        remedy = f"give the 16-bit checkpoint, or one of ModelOpt ({known}) and quantization = 'none'"
        raise ConfigError(message, path=str(pair.path), field=f"{role}.gpu.quantization", remedy=remedy)
    return name
