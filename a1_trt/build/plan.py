"""A build before it starts: what a pair needs on given GPUs (`fit`), with the settings and commands of its profile."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from a1_trt.build import pytorch, tensorrt
from a1_trt.build.fit import Fit, Sizing
from a1_trt.build.hardware import GpuSpec
from a1_trt.build.sizes import Profile, is_cross_tokenizer
from a1_trt.build.steps import Step
from a1_trt.config import Pair
from a1_trt.locations import built_directory
from a1_trt.types import ROLES, Role

__all__ = ["ROLES", "BuildPlan", "GpuSpec", "make_plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPlan(Fit):
    """Everything about a build, before it starts: how a pair fits, and what makes engines of it."""

    pair: str
    fingerprint: str  # the pair's own; it is written into the manifest
    profile: Profile
    gpu: GpuSpec
    output: Path  # output/draft, output/target, output/manifest.json
    settings: dict[Role, dict[str, Any]]  # keyword arguments of `tensorrt_llm.LLM` or flags of trtllm-build
    runtime: dict[Role, dict[str, str]]  # parameters of Triton's tensorrt_llm model; empty for "pytorch"
    steps: tuple[Step, ...]  # what a build does, in order
    warnings: tuple[str, ...]
    remedies: tuple[str, ...]  # changes that make it fit, each tried with this same model
    versions: dict[str, str]  # what it is made for

    @property
    def commands(self) -> list[list[str]]:
        return [list(step.argv) for step in self.steps if step.argv]

    def memory_gib(self) -> dict[str, dict[str, float]]:
        """Role -> part -> GiB on each GPU of the role; under "gpu" what concerns the fullest GPU as a whole."""
        table: dict[str, dict[str, float]] = {}
        for row in self.memory:
            table.setdefault(row.role, {})[row.part] = round(row.gib, 2)
        return table


def make_plan(pair: Pair, profile: Profile, gpu: GpuSpec, *, output: Path | None = None) -> BuildPlan:
    """Plan a build, beside the pair file where there is no `output`; runs nothing and needs no GPU.

    ConfigError: a model is unknown, the GPU cannot do what the pair says, or parallelism does not divide a model.

    Example:
        >>> from a1_trt.config import make_pair
        >>> pair = make_pair({"name": "p", "draft": {"model": "Qwen/Qwen2.5-7B-Instruct"},
        ...     "target": {"model": "Qwen/QwQ-32B", "max_in_flight": 4}})
        >>> make_plan(pair, "pytorch", GpuSpec.parse("2 x h100-80g")).fits
        True
    """
    sizing = Sizing.of(pair, profile, gpu.gpu)
    fit, models = sizing.best(gpu.count), sizing.models
    beside = pair.path or Path("engines") / pair.name / "pair.toml"
    directory = (output or built_directory(beside, profile)).absolute()
    maker = tensorrt if profile == "tensorrt" else pytorch
    return BuildPlan(
        **{field.name: getattr(fit, field.name) for field in fields(fit)},
        pair=pair.name,
        fingerprint=pair.fingerprint(),
        profile=profile,
        gpu=gpu,
        output=directory,
        settings={role: maker.settings(pair, role, models[role], fit, directory) for role in ROLES},
        runtime={role: tensorrt.runtime(role, fit, directory) if profile == "tensorrt" else {} for role in ROLES},
        steps=tuple(step for role in ROLES for step in maker.steps(pair, role, models[role], fit, directory)),
        warnings=tuple(_warnings(sizing, fit, gpu.count)),
        remedies=() if fit.fits else tuple(sizing.remedies(gpu.count)),
        versions=dict(maker.VERSIONS),
    )


def _warnings(sizing: Sizing, fit: Fit, n_gpus: int) -> Iterator[str]:
    pair, draft, target = sizing.pair, fit.placement["draft"].gpus, fit.placement["target"].gpus
    for role in ROLES:
        if pair.role(role).gpu.quantization == "auto" and fit.quantization[role] != "none":
            yield (
                f"the {role} is quantised to {fit.quantization[role]}, as 16 bits do not fit; its scores differ from"
                " those of 16 bits, so calibrate with these engines"
            )
    if is_cross_tokenizer(sizing.models["draft"], sizing.models["target"]):
        yield "draft and target have different tokenizers: segments cross over as text and are encoded anew"
    if fit.is_shared:
        yield "draft and target share GPUs: each slows the other down, and the KV caches divide what is left"
    idle = set(range(n_gpus)) - draft - target
    if idle:
        yield f"GPU {', '.join(map(str, sorted(idle)))} holds nothing; more replicas of a role would use it"
    n_samples = pair.scheduler.n_samples
    longest = n_samples * fit.sizes["target"].max_seq_len
    if fit.fits and fit.kv_tokens["target"] < longest:
        yield (
            f"the target's KV cache holds {fit.kv_tokens['target']} tokens, the longest prefixes of all"
            f" {n_samples} samples of a problem are {longest}: some are read again from the start"
        )
    if fit.max_scoring_requests < pair.target.max_in_flight:
        yield f"only {fit.max_scoring_requests} scores fit at once, for {pair.target.max_in_flight} calls in flight"
    if sizing.profile == "tensorrt":
        yield "compiled engines end with TensorRT-LLM 1.2.1; later versions have the pytorch profile only"
