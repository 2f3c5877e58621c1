"""What each of the models has to be: the scheduler, an engine of this project's own, TensorRT-LLM's own model."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from a1_trt.config import load_pair
from a1_trt.errors import A1Error
from a1_trt.triton import tensorrt_llm
from a1_trt.triton.config_rules import frame_findings, queue_findings, tensor_findings
from a1_trt.triton.findings import Finding
from a1_trt.triton.render import SETTINGS_FILE, source
from a1_trt.triton.tensorrt_llm import Setting
from a1_trt.triton.tensors import A1_INPUTS, A1_OUTPUTS, ENGINE_INPUTS, ENGINE_OUTPUTS
from a1_trt.types import ROLES

_DEVICES = re.compile(r"\d+(,\d+)*(;\d+(,\d+)*)*")
_DOCUMENTED = {"recv_poll_period_ms"}
"""Parameters of tensorrt_llm that its documentation names and its template does not have."""
_A1_OPTIONS = ("draft_models", "target_models", "draft_context_tokens", "target_context_tokens")
_MOST_BYTES = 1 << 20


def parameters_of(config: Any) -> dict[str, str]:
    """Name -> text of a model's parameters."""
    return {key: value.string_value for key, value in config.parameters.items()}


def scheduler_findings(directory: Path, config: Any, models: frozenset[str], profile: str | None) -> Iterator[Finding]:
    """The model "a1"."""
    yield from frame_findings("a1", config, backends=("python",), decoupled=True, batching=False)
    yield from tensor_findings("a1", "input", A1_INPUTS, config.input)
    yield from tensor_findings("a1", "output", A1_OUTPUTS, config.output)
    said = parameters_of(config)
    yield from _keys("a1", said, needed={"pair", "engines"}, allowed={"pair", "engines", *_A1_OPTIONS})
    yield from _pair_findings("a1", said)
    places = ("models", "inside") if profile == "cpu" else ("models",)
    if said.get("engines", "models") not in places:
        yield Finding("a1", "engines", "value", f"engines is {said['engines']!r}, not {' or '.join(places)}")
    for role in ROLES:
        copies = {name for name in models if re.fullmatch(rf"{role}(_\d+)?", name)}
        named = set(said.get(f"{role}_models", role).split(","))
        if copies and named != copies:
            names, there = ", ".join(sorted(named)), ", ".join(sorted(copies))
            yield Finding("a1", f"{role}_models", "value", f"a1 calls {names}, the repository has {there}")
        limit = said.get(f"{role}_context_tokens", "1")
        if not re.fullmatch(r"[1-9]\d{0,8}", limit):
            yield Finding("a1", f"{role}_context_tokens", "value", f"{role}_context_tokens is {limit!r}, not a number")
    yield from _source_findings("a1", directory, "a1")


def own_findings(model: str, role: str, profile: str, directory: Path, config: Any) -> Iterator[Finding]:
    """An engine of this project's own behind the Python backend."""
    yield from frame_findings(model, config, backends=("python",), decoupled=False, batching=True)
    yield from tensor_findings(model, "input", ENGINE_INPUTS, config.input)
    yield from tensor_findings(model, "output", ENGINE_OUTPUTS, config.output)
    said = parameters_of(config)
    gpu = {"engine", "gpu_device_ids", "n_scores"} if profile == "pytorch" else set()
    yield from _keys(model, said, needed={"pair", "role"} | gpu, allowed={"pair", "role"} | gpu)
    yield from _pair_findings(model, said)
    if said.get("role", role) != role:
        yield Finding(model, "role", "value", f"the role is {said['role']!r}, not {role!r}")
    if profile == "pytorch":
        if said.get("engine", "tensorrt_llm") != "tensorrt_llm":
            yield Finding(model, "engine", "value", f"the engine is {said['engine']!r}, not 'tensorrt_llm'")
        if "gpu_device_ids" in said and not re.fullmatch(r"\d+(,\d+)*", said["gpu_device_ids"]):
            yield Finding(
                model, "gpu_device_ids", "value", f"gpu_device_ids is {said['gpu_device_ids']!r}, not numbers"
            )
        if not re.fullmatch(r"[1-9]\d{0,5}", said.get("n_scores", "1")):
            yield Finding(model, "n_scores", "value", f"n_scores is {said['n_scores']!r}, not a number from 1")
        yield from _llm_findings(model, role, directory / SETTINGS_FILE)
    yield from _source_findings(model, directory, "engine")


def their_findings(model: str, directory: Path, config: Any) -> Iterator[Finding]:
    """TensorRT-LLM's own model: everything that its template has, and nothing else."""
    yield from frame_findings(model, config, backends=("tensorrtllm", "python"), decoupled=None, batching=True)
    yield from queue_findings(model, config)
    yield from tensor_findings(model, "input", tensorrt_llm.INPUTS, config.input)
    yield from tensor_findings(model, "output", tensorrt_llm.OUTPUTS, config.output)
    said = parameters_of(config)
    every = {setting.key for setting in tensorrt_llm.SETTINGS}
    yield from _keys(model, said, needed=every, allowed=every | _DOCUMENTED)
    for setting in tensorrt_llm.SETTINGS:
        if setting.key in said and "${" not in said[setting.key]:
            yield from _setting_findings(model, setting, said[setting.key])
    if not (directory / "1").is_dir():
        yield Finding(model, "1", "missing", "the version directory 1 is missing")


def their_warnings(model: str, config: Any) -> Iterator[Finding]:
    """What may be meant so, or cannot be seen from here."""
    if config.model_transaction_policy.decoupled:
        yield Finding(
            model,
            "model_transaction_policy",
            "value",
            "the model is decoupled: every call of a1 needs a stream",
            "set it to false",
        )
    engine = Path(parameters_of(config).get("gpt_model_path", ""))
    if engine.is_absolute() and not (engine / "config.json").is_file():
        yield Finding(
            model,
            "gpt_model_path",
            "file",
            f"there is no engine in {engine} on this machine",
            "build it with 'a1-trt engine build', or check where it is",
        )


def _setting_findings(model: str, setting: Setting, text: str) -> Iterator[Finding]:
    def wrong(why: str, code: str = "value") -> Finding:
        return Finding(model, setting.key, code, f"{setting.key} is {text!r}, {why}")

    if setting.key == "enable_kv_cache_reuse" and text != "true":
        yield wrong("so every turn would read its whole chain again; it is off unless it says 'true'", "reuse")
    elif setting.key == "gpt_model_type" and text != "inflight_fused_batching":
        yield wrong("so requests would wait for each other; it has to be 'inflight_fused_batching'")
    elif setting.key == "gpt_model_path" and not Path(text).is_absolute():
        yield wrong("which is no absolute path")
    elif setting.key == "gpu_device_ids" and not _DEVICES.fullmatch(text):
        yield wrong("not numbers of GPUs")
    elif not text:
        if setting.needed:
            yield wrong("and has to be given")
    elif setting.kind == "bool" and text not in ("true", "false"):
        yield wrong("not true or false")
    elif setting.kind in ("int", "float") and not _is_number(text, setting):
        yield wrong(
            "not a whole number" if setting.kind == "int" else f"not a number from 0 to {setting.most or 'any'}"
        )
    elif setting.allowed and text not in setting.allowed:
        yield wrong(f"not {' or '.join(setting.allowed)}")


def _is_number(text: str, setting: Setting) -> bool:
    # In order from 0, or in what the backend reads as a list of windows.
    if setting.kind == "int":
        return (
            re.fullmatch(r"\d{1,18}(,\d{1,18})*" if setting.key == "max_attention_window_size" else r"\d{1,18}", text)
            is not None
        )
    try:
        value = float(text)
    except ValueError:
        return False
    return math.isfinite(value) and 0.0 <= value <= (setting.most or math.inf)


def _keys(model: str, said: Mapping[str, str], *, needed: set[str], allowed: set[str]) -> Iterator[Finding]:
    for key in sorted(needed - said.keys()):
        yield Finding(model, key, "missing", f"the parameter {key} is missing")
    for key in sorted(said.keys() - allowed):
        yield Finding(model, key, "extra", f"{key} is not a parameter of this model")


def _pair_findings(model: str, said: Mapping[str, str]) -> Iterator[Finding]:
    if "pair" not in said:
        return
    try:
        load_pair(said["pair"])
    except A1Error as error:
        yield Finding(model, "pair", "value", error.message, error.remedy or "name a pair file")


def _source_findings(model: str, directory: Path, name: str) -> Iterator[Finding]:
    path = directory / "1" / "model.py"
    try:
        same = path.stat().st_size < _MOST_BYTES and path.read_text(encoding="utf-8") == source(name)
    except (OSError, UnicodeDecodeError):
        yield Finding(model, "1/model.py", "missing", "1/model.py is missing or cannot be read")
        return
    if not same:
        yield Finding(model, "1/model.py", "file", "1/model.py is not the one of this version of a1_trt")


def _llm_findings(model: str, role: str, path: Path) -> Iterator[Finding]:
    """Settings of the LLM API that would make scores wrong or turns slow."""
    if not path.is_file():
        return
    try:
        said = json.loads(path.read_text(encoding="utf-8")) if path.stat().st_size < _MOST_BYTES else None
    except (OSError, ValueError):
        said = None
    if not isinstance(said, dict):
        yield Finding(model, SETTINGS_FILE, "parse", f"{SETTINGS_FILE} is no JSON object")
        return
    for key in ("model", "max_seq_len"):
        if not said.get(key):
            yield Finding(model, key, "missing", f"{SETTINGS_FILE} has no {key}")
    cache = said.get("kv_cache_config")
    if not isinstance(cache, dict) or cache.get("enable_block_reuse", True) is not True:
        yield Finding(model, "enable_block_reuse", "reuse", "kv_cache_config switches the reuse of blocks off")
    if role != "target":
        return
    for key in ("enable_chunked_prefill", "speculative_config"):
        if said.get(key):
            yield Finding(model, key, "value", f"{key} is set: log-probs of the prompt would be lost")
