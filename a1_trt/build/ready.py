"""What has to be so before a build may start."""

from pathlib import Path
from typing import Any

from a1_trt.build.hardware import GpuSpec
from a1_trt.build.manifest import IDENTITY, MANIFEST, differences, in_range, read_json
from a1_trt.build.memory import RESERVE
from a1_trt.build.plan import BuildPlan
from a1_trt.errors import BuildError, ConfigError

_MEMORY_SLACK_GIB = 1.0  # how much less memory than the plan's the GPUs may have: drivers differ in what they report


def check_machine(plan: BuildPlan, here: GpuSpec, version: str | None) -> str:
    """Whether the plan fits, these are its GPUs, and TensorRT-LLM is one that it is for; returns its version."""
    if not plan.fits:
        message = f"{plan.pair} does not fit {plan.gpu}: {plan.short_gib:.1f} GiB are missing on the fullest GPU"
        remedy = "; or it ".join(plan.remedies) or "choose smaller models, or more GPUs"
        raise BuildError(message, field="gpu", remedy=remedy)
    if (here.gpu.name, here.gpu.sm) != (plan.gpu.gpu.name, plan.gpu.gpu.sm) or here.count < plan.gpu.count:
        message = f"the plan is for {plan.gpu}, this machine has {here}"
        remedy = "build on the GPUs that will run the engines, or plan for those that are here (leave --gpu out)"
        raise BuildError(message, field="gpu", remedy=remedy)
    if here.gpu.memory_gib < plan.gpu.gpu.memory_gib - _MEMORY_SLACK_GIB:
        message = f"the plan is for GPUs of {plan.gpu.gpu.memory_gib} GiB, these have {here.gpu.memory_gib}"
        raise BuildError(message, field="gpu", remedy="plan for the GPUs that are here: leave --gpu out")
    if here.gpu.used_gib > RESERVE * here.gpu.memory_gib:
        message = f"something else holds {here.gpu.used_gib} GiB of a GPU, which the plan counts on"
        remedy = "stop it (nvidia-smi names it), or hide that GPU with CUDA_VISIBLE_DEVICES"
        raise BuildError(message, field="gpu", remedy=remedy)
    low, high, container = (plan.versions[key] for key in ("at_least", "at_most", "container_tag"))
    if version is None:
        remedy = f"build in NVIDIA's container {container} (docs/gpu.md)"
        raise BuildError("TensorRT-LLM is not installed here", field="version", remedy=remedy)
    if not in_range(version, low, high):
        message = f"TensorRT-LLM {version} is installed; the profile {plan.profile} is for {low} to {high}"
        change = (
            "take the profile pytorch" if plan.profile == "tensorrt" else f"install {plan.versions['tensorrt_llm']}"
        )
        raise BuildError(message, field="version", remedy=f"{change}, or use the container {container}")
    return version


def check_sources(plan: BuildPlan) -> None:
    outputs = {step.output for step in plan.steps}
    for step in plan.steps:
        for path in step.inputs:
            if path not in outputs and not (path / "config.json").is_file():
                message = f"there is no checkpoint of the {step.role} at {path}"
                remedy = "give the directory of a Hugging Face checkpoint, or its id (OWNER/NAME) to have it fetched"
                raise ConfigError(message, path=str(path), field=f"{step.role}.model", remedy=remedy)


def check_directory(output: Path, who: dict[str, Any]) -> None:
    """Whether a directory is empty, or holds an earlier try of the same build."""
    if output.exists() and not output.is_dir():
        raise BuildError(f"{output} is not a directory", field="output", remedy="choose another --output")
    known = read_json(output / IDENTITY)
    if known is None:
        if output.is_dir() and any(path.name != ".lock" for path in output.iterdir()):
            what = f"a {MANIFEST} of another tool" if (output / MANIFEST).exists() else "files that no build here wrote"
            raise BuildError(
                f"{output} holds {what}", field="output", remedy="choose another --output, or empty the directory"
            )
        return
    differing = differences(known, who)
    if differing:
        changes = ", ".join(f"{key} {known.get(key)} and not {who[key]}" for key in differing)
        message = f"{output} was built for {changes}"
        remedy = "choose another --output, or delete the directory: engines are never mixed"
        raise BuildError(message, field=differing[0], remedy=remedy)
