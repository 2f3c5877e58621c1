"""What a pair needs on given GPUs: sizes, memory, settings and commands, before anything is run.

::

    sizes.py      lengths and numbers at once, from the pair
    memory.py     what these cost on a GPU
    placement.py  which GPU holds which role
    fit.py        one placement tried: does it fit, and what remains for the KV cache
    steps.py      what a build does, one by one; run.py does it
    tensorrt.py   settings and commands of compiled engines (TensorRT-LLM <= 1.2.1)
    pytorch.py    settings and commands of the LLM API
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from a1_trt.build import pytorch, tensorrt
from a1_trt.build.fit import Fit, try_placement
from a1_trt.build.hardware import Gpu, GpuSpec, ModelDimensions, model_dimensions
from a1_trt.build.memory import MemoryRow, Quantization
from a1_trt.build.placement import Placement, placements
from a1_trt.build.sizes import Profile, Sizes, derive, is_cross_tokenizer
from a1_trt.build.steps import Step
from a1_trt.config import Pair
from a1_trt.errors import ConfigError
from a1_trt.locations import built_directory
from a1_trt.types import ROLES, Role

__all__ = ["GpuSpec", "Plan", "make_plan"]

_COUNTS = (1, 2, 4, 8)
_NEEDS = {
    "fp8": "compute capability 8.9 (Ada, Hopper) or more",
    "nvfp4": "compute capability 10.0 (Blackwell) or more",
    "int4_awq": "compute capability 8.0 to 9.0 (Ampere, Ada, Hopper)",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything about a build, before it starts.

    Attributes:
        pair: Name of the pair.
        fingerprint: The pair's own; it is written into the manifest.
        profile: "tensorrt" or "pytorch".
        gpu: The GPUs that it is for.
        output: Where it is built: output/draft, output/target, output/manifest.json.
        fits: Whether it runs without exhausting memory.
        short_gib: What is missing on the fullest GPU, GiB; negative is what is left.
        memory: What each role needs on each of its GPUs, with explanations.
        placement: Role -> GPUs of each replica.
        quantization: Role -> weights, with "auto" resolved.
        sizes: Role -> limits, each with its explanation in `why`.
        kv_tokens: Role -> tokens that its KV cache holds.
        max_scoring_requests: Most scores at once; what serves the target must not exceed it.
        settings: Role -> keyword arguments of `tensorrt_llm.LLM` ("pytorch"), flags of trtllm-build ("tensorrt").
        runtime: Role -> parameters of Triton's tensorrt_llm model ("tensorrt"); empty for "pytorch".
        steps: What a build does, in order.
        warnings: What to know.
        remedies: Changes that make it fit, each tried with this same model.
        versions: What it is made for.
    """

    pair: str
    fingerprint: str
    profile: Profile
    gpu: GpuSpec
    output: Path
    fits: bool
    short_gib: float
    memory: tuple[MemoryRow, ...]
    placement: Placement
    quantization: dict[Role, Quantization]
    sizes: dict[Role, Sizes]
    kv_tokens: dict[Role, int]
    max_scoring_requests: int
    settings: dict[Role, dict[str, Any]]
    runtime: dict[Role, dict[str, str]]
    steps: tuple[Step, ...]
    warnings: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def commands(self) -> list[list[str]]:
        """Every command that a build runs, as argument lists."""
        return [list(step.argv) for step in self.steps if step.argv]

    def memory_gib(self) -> dict[str, dict[str, float]]:
        """Role -> part -> GiB on each GPU of the role; under "gpu" what concerns the fullest GPU as a whole."""
        table: dict[str, dict[str, float]] = {}
        for row in self.memory:
            table.setdefault(row.role, {})[row.part] = round(row.gib, 2)
        return table


def make_plan(pair: Pair, profile: Profile, gpu: GpuSpec, *, output: Path | None = None) -> Plan:
    """Plan a build. Reads the checkpoints' config.json where they are on disk; runs nothing and needs no GPU.

    Args:
        pair: The pair.
        profile: "tensorrt" or "pytorch".
        gpu: GPUs to build for, by `GpuSpec.parse` or `GpuSpec.detect`.
        output: Where to build; beside the pair file when None.

    Raises:
        ConfigError: A model is unknown, the GPU cannot do what the pair says, or parallelism does not divide a model.

    Example:
        >>> from a1_trt.config import make_pair
        >>> pair = make_pair({"name": "p", "draft": {"model": "Qwen/Qwen2.5-7B-Instruct"},
        ...     "target": {"model": "Qwen/QwQ-32B", "max_in_flight": 4}})
        >>> make_plan(pair, "pytorch", GpuSpec.parse("2 x h100-80g")).fits
        True
        >>> make_plan(pair, "pytorch", GpuSpec.parse("l4-24g")).fits
        False
    """
    models = {role: _model(pair, role) for role in ROLES}
    fit = _best(pair, profile, gpu, models)
    beside = pair.path or Path("engines") / pair.name / "pair.toml"
    place = (output or built_directory(beside, profile)).absolute()
    maker = tensorrt if profile == "tensorrt" else pytorch
    return Plan(
        pair=pair.name,
        fingerprint=pair.fingerprint(),
        profile=profile,
        gpu=gpu,
        output=place,
        fits=fit.fits,
        short_gib=fit.short_gib,
        memory=fit.memory,
        placement=fit.placement,
        quantization=fit.quantization,
        sizes=fit.sizes,
        kv_tokens=fit.kv_tokens,
        max_scoring_requests=fit.n_scoring,
        settings={role: maker.settings(pair, role, models[role], fit, place) for role in ROLES},
        runtime={role: maker.runtime(pair, role, fit, place) for role in ROLES},
        steps=tuple(step for role in ROLES for step in maker.steps(pair, role, models[role], fit, place)),
        warnings=tuple(_warnings(pair, profile, models, fit, gpu)),
        remedies=() if fit.fits else tuple(_remedies(pair, profile, gpu, models)),
        versions=dict(maker.VERSIONS),
    )


def _model(pair: Pair, role: Role) -> ModelDimensions:
    said = pair.role(role)
    directory = Path(said.model).expanduser()
    if pair.path is not None and not directory.is_absolute():
        directory = pair.path.resolve().parent / directory
    try:
        return model_dimensions(said.model, directory)
    except ConfigError as error:
        raise ConfigError(error.message, path=str(pair.path), field=f"{role}.model", remedy=error.remedy) from None


def _best(pair: Pair, profile: Profile, gpu: GpuSpec, models: dict[Role, ModelDimensions]) -> Fit:
    """The first placement that fits, with the least quantisation; or else the one that lacks least."""
    sizes: dict[Role, Sizes] = {role: derive(pair, role, profile, models) for role in ROLES}
    spots = list(placements(pair, models, gpu.count))
    nearest: Fit | None = None
    for quantization in _quantizations(pair, gpu.gpu, models):
        for spot in spots:
            fit = try_placement(pair, profile, gpu.gpu, models, sizes, spot, quantization)
            if fit.fits:
                return fit
            if nearest is None or fit.short_gib < nearest.short_gib:
                nearest = fit
    if nearest is None:  # pragma: no cover - placements() raises where there is none
        raise ConfigError("there is no way to place the pair", field="gpu")
    return nearest


def _quantizations(pair: Pair, gpu: Gpu, models: dict[Role, ModelDimensions]) -> Iterator[dict[Role, Quantization]]:
    """What "auto" may stand for, 16 bits first; the target is the first to be quantised, as it is larger."""
    choices = {role: _choices(pair, role, gpu, models[role]) for role in ROLES}
    for draft, target in sorted(
        product(range(len(choices["draft"])), range(len(choices["target"]))), key=lambda pick: (max(pick), sum(pick))
    ):
        yield {"draft": choices["draft"][draft], "target": choices["target"][target]}


def _choices(pair: Pair, role: Role, gpu: Gpu, model: ModelDimensions) -> list[Quantization]:
    said = pair.role(role).gpu.quantization
    able: list[Quantization] = ["none"]
    able += ["fp8"] if gpu.has_fp8 else []
    able += ["nvfp4"] if gpu.has_nvfp4 else []
    able += ["int4_awq"] if gpu.has_int4_awq else []
    if model.quantization is not None:
        return [_quantized_already(pair, role, model, said)]
    if said == "auto":
        return able
    if said not in able:
        needs = _NEEDS[said]
        raise ConfigError(
            f"{role}.gpu.quantization is {said!r}, which needs {needs}; {gpu.name} has {gpu.sm / 10:.1f}",
            path=str(pair.path),
            field=f"{role}.gpu.quantization",
            remedy=f"choose one of auto, {', '.join(able)}, or another GPU",
        )
    return [said]


def _quantized_already(pair: Pair, role: Role, model: ModelDimensions, said: str) -> Quantization:
    names: dict[str, Quantization] = {"FP8": "fp8", "W4A16_AWQ": "int4_awq", "NVFP4": "nvfp4"}
    found = names.get(str(model.quantization).upper())
    if found is None or said not in ("auto", "none", found):
        raise ConfigError(
            f"{model.name} is quantised already, to {model.quantization}; {role}.gpu.quantization is {said!r}",
            path=str(pair.path),
            field=f"{role}.gpu.quantization",
            remedy="give the 16-bit checkpoint, or one of ModelOpt (FP8, W4A16_AWQ, NVFP4) and quantization = 'none'",
        )
    return found


def _warnings(
    pair: Pair, profile: Profile, models: dict[Role, ModelDimensions], fit: Fit, gpu: GpuSpec
) -> Iterator[str]:
    for role in ROLES:
        if pair.role(role).gpu.quantization == "auto" and fit.quantization[role] != "none":
            yield (
                f"the {role} is quantised to {fit.quantization[role]}, as 16 bits do not fit; its scores differ from"
                " those of 16 bits, so calibrate with these engines"
            )
    if is_cross_tokenizer(models["draft"], models["target"]):
        yield "draft and target have different tokenizers: segments cross over as text and are encoded anew"
    if fit.placement["draft"].gpus & fit.placement["target"].gpus:
        yield "draft and target share GPUs: each slows the other down, and the KV caches divide what is left"
    idle = set(range(gpu.count)) - fit.placement["draft"].gpus - fit.placement["target"].gpus
    if idle:
        yield f"GPU {', '.join(map(str, sorted(idle)))} holds nothing; more replicas of a role would use it"
    wanted = pair.scheduler.n_samples * fit.sizes["target"].max_seq_len
    if fit.fits and fit.kv_tokens["target"] < wanted:
        yield (
            f"the target's KV cache holds {fit.kv_tokens['target']} tokens, the longest prefixes of all"
            f" {pair.scheduler.n_samples} samples of a problem are {wanted}: some are read again from the start"
        )
    if fit.n_scoring < pair.target.max_in_flight:
        yield f"only {fit.n_scoring} scores fit at once, for {pair.target.max_in_flight} calls in flight"
    if profile == "tensorrt":
        yield "compiled engines end with TensorRT-LLM 1.2.1; later versions have the pytorch profile only"


def _remedies(pair: Pair, profile: Profile, gpu: GpuSpec, models: dict[Role, ModelDimensions]) -> Iterator[str]:
    """Changes that fit, found by trying them: quantisation on these GPUs, and the least number of more of them."""
    automatic = _automatic(pair)
    more = [(changed, count) for count in _COUNTS if count > gpu.count for changed in (pair, automatic)]
    for changed, count in ((automatic, gpu.count), *more):
        spec = GpuSpec(gpu.gpu, count)
        try:
            fit = _best(changed, profile, spec, models)
        except ConfigError:
            continue
        if fit.fits:
            yield _said(pair, spec, gpu, fit)
            if count > gpu.count:
                return


def _automatic(pair: Pair) -> Pair:
    """The pair with quantisation and tensor parallelism left to the plan."""
    roles: dict[str, Any] = {
        role: pair.role(role).model_copy(
            update={"gpu": pair.role(role).gpu.model_copy(update={"quantization": "auto", "tensor_parallel": None})}
        )
        for role in ROLES
    }
    return pair.model_copy(update=roles)


def _said(pair: Pair, larger: GpuSpec, gpu: GpuSpec, fit: Fit) -> str:
    parts = [f"{larger}"] if larger.count > gpu.count else []
    parts += [
        f'{role}.gpu.quantization = "{fit.quantization[role]}"'
        for role in ROLES
        if pair.role(role).gpu.quantization not in ("auto", fit.quantization[role])
    ]
    return f"fits with {' and '.join(parts) or 'tensor_parallel left out'}"
