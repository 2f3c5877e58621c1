"""From a pair to a Triton model repository that serves it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

from a1_trt.config import Pair
from a1_trt.errors import DeployError
from a1_trt.locations import built_directory, list_pairs
from a1_trt.triton import tensorrt_llm
from a1_trt.triton.containers import Platform, container_files
from a1_trt.triton.pbtxt import model_config, set_parameters, to_text
from a1_trt.triton.repository import write
from a1_trt.triton.role_placement import Gpus, Placement, Profile, RolePlacement, default_placement
from a1_trt.triton.tensors import A1_INPUTS, A1_OUTPUTS, ENGINE_INPUTS, ENGINE_OUTPUTS
from a1_trt.types import Role

MAX_BATCH_SIZE = 64
MODELS = ("a1", "draft", "target")
SETTINGS_FILE = "1/settings.json"


def render(
    pair: Pair,
    output: str | os.PathLike[str],
    *,
    profile: Profile = "cpu",
    placement: Placement | None = None,
    platform: Platform = "compose",
    force: bool = False,
) -> list[Path]:
    """Write the model repository of a pair; for GPUs, also the files that put it into containers.

    Args:
        pair: A pair that was read from a file: the models read that file again when they are loaded.
        output: Directory to write to; made when it is not there. Files of an earlier rendering are replaced.
        profile: What stands behind draft and target: this project's CPU engine, TensorRT-LLM's LLM API ("pytorch"), or
            compiled engines and the server's own backend for them ("tensorrt").
        placement: Role -> GPUs and settings, for GPUs; from the pair alone when None.
        platform: One server that holds everything ("compose"), or one for each copy of a model ("kubernetes").
        force: Replace files that are not of an earlier rendering, or were changed since.

    Raises:
        DeployError: The pair has no file, `output` cannot be written, or holds files that are not ours.
    """
    about: dict[str, Any] = {"pair": pair.name, "profile": profile}
    if profile != "cpu":
        placement = placement or default_placement(pair)
        about |= {"platform": platform, "placement": {role: asdict(place) for role, place in placement.items()}}
    rendered = files(pair, profile=profile, placement=placement, platform=platform)
    return write(rendered, Path(output), about=about, force=force)


def files(
    pair: Pair, *, profile: Profile = "cpu", placement: Placement | None = None, platform: Platform = "compose"
) -> dict[str, str]:
    """The files of a pair's model repository: path in it -> text."""
    reference = _reference(pair, by_name=profile == "cpu")
    if profile == "cpu":
        own = _own_files("draft", "draft", reference) | _own_files("target", "target", reference)
        return _a1_files(reference, {"engines": pair.serving.engines}) | own
    places = dict(placement or default_placement(pair))
    one_server = {role: place if platform == "compose" else place.alone() for role, place in places.items()}
    rendered = _a1_files(reference, _a1_options(one_server))
    for role, place in one_server.items():
        for model, gpus in place.models(role).items():
            if profile == "tensorrt":
                engine = built_directory(Path(reference), profile) / role
                rendered |= _tensorrt_files(model, engine, 4 * pair.role(role).max_in_flight, place, gpus)
            else:
                rendered |= _pytorch_files(model, role, reference, place, gpus)
    return rendered | container_files(pair, profile, places, platform)


def _reference(pair: Pair, *, by_name: bool) -> str:
    """How the models find the pair file: by name where that is enough, else by its absolute path."""
    if pair.path is None:
        message = f"the pair {pair.name} was not read from a file"
        raise DeployError(message, field="pair", remedy="write it to a pair.toml and load that")
    path = pair.path.resolve()
    known = list_pairs().get(path.parent.name) if by_name else None
    return path.parent.name if known is not None and known.resolve() == path else str(path)


def source(name: str) -> str:
    return resources.files("a1_trt.triton.models").joinpath(f"{name}.py").read_text(encoding="utf-8")


def _a1_options(places: Placement) -> dict[str, str]:
    options = {"engines": "models"}
    for role, place in places.items():
        if len(place.replicas) > 1:
            options[f"{role}_models"] = ",".join(place.models(role))
        if place.max_context_tokens:
            options[f"{role}_context_tokens"] = str(place.max_context_tokens)
    return options


def _a1_files(reference: str, options: Mapping[str, str]) -> dict[str, str]:
    config = model_config("a1", 0, A1_INPUTS, A1_OUTPUTS, {"pair": reference, **options})
    note = "One instance: two would be two processes, each with a calibration of its own."
    return {"a1/config.pbtxt": to_text(config, note), "a1/1/model.py": source("a1")}


def _own_files(
    model: str, role: Role, reference: str, size: int = MAX_BATCH_SIZE, more: Mapping[str, str] | None = None
) -> dict[str, str]:
    parameters = {"pair": reference, "role": role, **(more or {})}
    config = model_config(model, size, ENGINE_INPUTS, ENGINE_OUTPUTS, parameters)
    note = "The engine batches by itself, whatever is in flight; a model that is not decoupled is cheaper to call."
    return {f"{model}/config.pbtxt": to_text(config, note), f"{model}/1/model.py": source("engine")}


def _pytorch_files(model: str, role: Role, reference: str, place: RolePlacement, gpus: Gpus) -> dict[str, str]:
    more = {"engine": "tensorrt_llm", "gpu_device_ids": _listed(gpus), "n_scores": str(place.n_scores)}
    rendered = _own_files(model, role, reference, max(MAX_BATCH_SIZE, place.max_batch_size), more)
    if place.settings:
        rendered[f"{model}/{SETTINGS_FILE}"] = json.dumps(dict(place.settings), indent=2, sort_keys=True) + "\n"
    return rendered


def _tensorrt_files(model: str, engine: Path, queue: int, place: RolePlacement, gpus: Gpus) -> dict[str, str]:
    config = tensorrt_llm.template()
    config.name = model
    config.max_batch_size = place.max_batch_size
    config.dynamic_batching.preferred_batch_size.append(place.max_batch_size)
    config.dynamic_batching.default_queue_policy.max_queue_size = max(MAX_BATCH_SIZE, queue)
    set_parameters(config, {"gpt_model_path": str(engine), **place.parameters, "gpu_device_ids": _listed(gpus)})
    note = "Nothing streams from here to a1, and a model that is not decoupled is cheaper to call."
    # Triton wants a version directory, and git and archives leave out empty ones.
    return {f"{model}/config.pbtxt": to_text(config, note), f"{model}/1/.gitkeep": ""}


def _listed(gpus: Gpus) -> str:
    return ",".join(str(gpu) for gpu in gpus)
