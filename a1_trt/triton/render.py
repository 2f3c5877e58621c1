"""From a pair to a Triton model repository that serves it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from a1_trt.config import Pair
from a1_trt.errors import DeployError
from a1_trt.locations import built_directory, list_pairs
from a1_trt.triton import tensorrt_llm
from a1_trt.triton.containers import Platform, container_files
from a1_trt.triton.pbtxt import config_text
from a1_trt.triton.repository import write
from a1_trt.triton.role_placement import Hosting, Profile, usual_hosting
from a1_trt.triton.tensors import A1_INPUTS, A1_OUTPUTS, ENGINE_INPUTS, ENGINE_OUTPUTS
from a1_trt.types import Role

MAX_BATCH_SIZE = 64
MODELS = ("a1", "draft", "target")
SETTINGS_FILE = "1/settings.json"
"""In a model's directory: the keyword arguments of `tensorrt_llm.LLM`."""


def render(
    pair: Pair,
    output: str | os.PathLike[str],
    *,
    profile: Profile = "cpu",
    hosting: Mapping[Role, Hosting] | None = None,
    platform: Platform = "compose",
    force: bool = False,
) -> list[Path]:
    """Write the model repository of a pair; for GPUs, also the files that put it into containers.

    Args:
        pair: A pair that was read from a file: the models read that file again when they are loaded.
        output: Directory to write to; made when it is not there. Files of an earlier rendering are replaced.
        profile: What stands behind draft and target: this project's CPU engine, TensorRT-LLM's LLM API ("pytorch"), or
            compiled engines and the server's own backend for them ("tensorrt").
        hosting: Role -> GPUs and settings, for GPUs; from the pair alone when None.
        platform: One server that holds everything ("compose"), or one for each copy of a model ("kubernetes").
        force: Replace files that are not of an earlier rendering, or were changed since.

    Returns:
        The files that were written.

    Raises:
        DeployError: The pair has no file, `output` cannot be written, or holds files that are not ours.

    Example:
        >>> render(load_pair("reference"), "triton_models")  # doctest: +SKIP
    """
    return write(
        files(pair, profile=profile, hosting=hosting, platform=platform),
        Path(output),
        about={"pair": pair.name, "profile": profile, **({} if profile == "cpu" else {"platform": platform})},
        force=force,
    )


def files(
    pair: Pair,
    *,
    profile: Profile = "cpu",
    hosting: Mapping[Role, Hosting] | None = None,
    platform: Platform = "compose",
) -> dict[str, str]:
    """The files of a pair's model repository: path in it -> text.

    Raises:
        DeployError: The pair has no file.
    """
    reference = _reference(pair, by_name=profile == "cpu")
    if profile == "cpu":
        own = {**_own_files("draft", reference), **_own_files("target", reference)}
        return {**_a1_files(reference, {"engines": pair.serving.engines}), **own}
    hosts = dict(hosting or usual_hosting(pair))
    one_server = {role: host if platform == "compose" else host.alone() for role, host in hosts.items()}
    found = _a1_files(reference, _hosted(one_server))
    for role, host in one_server.items():
        for model, gpus in host.models(role).items():
            if profile == "tensorrt":
                engine = built_directory(Path(reference), profile) / role
                found |= _their_files(model, engine, 4 * pair.role(role).max_in_flight, host, gpus)
            else:
                found |= _pytorch_files(model, role, reference, host, gpus)
    return found | container_files(pair, profile, hosts, platform)


def _reference(pair: Pair, *, by_name: bool) -> str:
    """How the models find the pair file: by name where that is enough, else by its absolute path."""
    if pair.path is None:
        raise DeployError(
            f"the pair {pair.name} was not read from a file",
            field="pair",
            remedy="write it to a pair.toml and load that",
        )
    path = pair.path.resolve()
    known = list_pairs().get(path.parent.name) if by_name else None
    return path.parent.name if known is not None and known.resolve() == path else str(path)


def source(name: str) -> str:
    """The text of a model.py: "a1" or "engine"."""
    return resources.files("a1_trt.triton.models").joinpath(f"{name}.py").read_text(encoding="utf-8")


def _hosted(hosts: Mapping[Role, Hosting]) -> dict[str, str]:
    """What a1 has to know of the models that hold a role."""
    copies = {f"{role}_models": ",".join(host.models(role)) for role, host in hosts.items() if len(host.replicas) > 1}
    limits = {
        f"{role}_context_tokens": str(host.max_context_tokens)
        for role, host in hosts.items()
        if host.max_context_tokens
    }
    return {"engines": "models", **copies, **limits}


def _a1_files(reference: str, options: Mapping[str, str]) -> dict[str, str]:
    policy = "# One instance: two would be two processes, each with a calibration of its own.\n"
    config = config_text(
        "a1",
        backend="python",
        max_batch_size=0,
        policy=policy + "model_transaction_policy { decoupled: true }\n",
        inputs=A1_INPUTS,
        outputs=A1_OUTPUTS,
        parameters={"pair": reference, **options},
    )
    return {"a1/config.pbtxt": config, "a1/1/model.py": source("a1")}


def _own_files(
    role: Role, reference: str, model: str = "", size: int = MAX_BATCH_SIZE, more: Mapping[str, str] | None = None
) -> dict[str, str]:
    """A model of this project's own, which has a part of the tensors of `tensorrt_llm`."""
    name = model or role
    note = "# The engine batches by itself, whatever is in flight; a model that is not decoupled is cheaper to call.\n"
    config = config_text(
        name,
        backend="python",
        max_batch_size=size,
        policy=note,
        inputs=ENGINE_INPUTS,
        outputs=ENGINE_OUTPUTS,
        parameters={"pair": reference, "role": role, **(more or {})},
    )
    return {f"{name}/config.pbtxt": config, f"{name}/1/model.py": source("engine")}


def _pytorch_files(model: str, role: Role, reference: str, host: Hosting, gpus: tuple[int, ...]) -> dict[str, str]:
    devices = ",".join(str(gpu) for gpu in gpus)
    more = {"engine": "tensorrt_llm", "gpu_device_ids": devices, "n_scores": str(host.n_scores)}
    found = _own_files(role, reference, model, max(MAX_BATCH_SIZE, host.max_batch_size), more)
    if host.settings:
        found[f"{model}/{SETTINGS_FILE}"] = json.dumps(dict(host.settings), indent=2, sort_keys=True) + "\n"
    return found


def _their_files(model: str, engine: Path, queue: int, host: Hosting, gpus: tuple[int, ...]) -> dict[str, str]:
    """TensorRT-LLM's own model: all of its tensors, all of its parameters."""
    usual = {**tensorrt_llm.USUAL, "gpt_model_path": str(engine)}
    said = {**usual, **host.parameters, "gpu_device_ids": ",".join(str(gpu) for gpu in gpus)}
    config = config_text(
        model,
        backend="tensorrtllm",
        max_batch_size=host.max_batch_size,
        policy="# Nothing streams from here to a1, and a model that is not decoupled is cheaper to call.\n"
        "model_transaction_policy { decoupled: false }\n"
        f"dynamic_batching {{ preferred_batch_size: [ {host.max_batch_size} ] max_queue_delay_microseconds: 0 "
        f"default_queue_policy: {{ max_queue_size: {max(MAX_BATCH_SIZE, queue)} }} }}\n",
        inputs=tensorrt_llm.INPUTS,
        outputs=tensorrt_llm.OUTPUTS,
        parameters={setting.key: said.get(setting.key, "") for setting in tensorrt_llm.SETTINGS},
    )
    # Triton wants a version directory, and git and archives leave out empty ones.
    return {f"{model}/config.pbtxt": config, f"{model}/1/.gitkeep": ""}
