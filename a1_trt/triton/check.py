"""Is a model repository as it would be rendered, and where it is not, does that matter?

The pair, profile, platform and placement that the repository names are rendered again in memory and compared with what
is there, field by field (compare.py); rules.py holds what is wrong whatever was rendered.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from google.protobuf.text_format import ParseError

from a1_trt.config import Pair, load_pair
from a1_trt.errors import A1Error, DeployError
from a1_trt.triton import rules
from a1_trt.triton.compare import Findings, config_findings, document_findings, parameters_of
from a1_trt.triton.findings import Finding, Report
from a1_trt.triton.pbtxt import parse
from a1_trt.triton.render import MODELS, SETTINGS_FILE, files
from a1_trt.triton.repository import MANIFEST, read_manifest
from a1_trt.triton.role_placement import PROFILES, Placement, Profile, RolePlacement, default_placement
from a1_trt.triton.tensorrt_llm import SETTINGS, Setting

_MODEL = re.compile(r"a1|(draft|target)(_\d+)?")
_MOST_BYTES = 1 << 20
_GPUS = r"\d+(,\d+)*"
_OWN = (
    Setting("gpu_device_ids", "string", needed=True, pattern=_GPUS, why="not numbers of GPUs"),
    *(Setting(key, "int", needed=True, pattern=r"[1-9]\d{0,8}", why="not a number from 1")
      for key in ("n_scores", "draft_context_tokens", "target_context_tokens")),
)  # fmt: skip
_CPU = (*_OWN, Setting("engines", "string", ("models", "inside"), needed=True))
"""On GPUs never inside: a GPU belongs to one process."""
_SETTINGS: dict[Profile, tuple[Setting, ...]] = {"cpu": _CPU, "pytorch": _OWN, "tensorrt": (*_OWN, *SETTINGS)}


def check(directory: Path) -> Report:
    """Compare a repository, rendered or made by hand, with what its pair renders to.

    Example:
        >>> check(Path("triton_models")).ok  # doctest: +SKIP
        True
    """
    if not directory.is_dir():
        message = f"there is no directory {directory}"
        raise DeployError(message, field="directory", remedy="make one with 'a1-trt deploy render'")
    return _Check(directory).run()


class _Check:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.manifest = read_manifest(directory)
        self.report = Report(str(directory))
        self.configs: dict[str, Any] = {}

    def run(self) -> Report:
        folders = sorted(path.name for path in self.directory.iterdir() if path.is_dir() and path.name[0] != ".")
        models = self.report.models = tuple(name for name in folders if _MODEL.fullmatch(name))
        self.error(
            *(Finding(name, "model", "missing", f"there is no model {name}") for name in MODELS if name not in models)
        )
        for name in models:
            self.read_config(name)
        profile = self.profile()
        if "a1" in self.configs:
            self.error(*rules.copies(parameters_of(self.configs["a1"]), models))
        pair = self.pair()
        if pair is not None and profile is not None:
            self.error(*rules.address(pair))
            self.compare(pair, profile)
        for name in folders:
            if name not in models and (self.directory / name / "config.pbtxt").is_file():
                self.warn(Finding(name, "model", "extra", f"{name} is not one of ours", "see that it loads"))
        return self.report

    def error(self, *findings: Finding) -> None:
        self.report.problems += findings

    def warn(self, *findings: Finding) -> None:
        """Add warnings, other than those about what is an error already."""
        known = {(finding.model, finding.field) for finding in self.report.problems}
        self.report.warnings += [finding for finding in findings if (finding.model, finding.field) not in known]

    def add(self, findings: Findings) -> None:
        self.error(*findings[0])
        self.warn(*findings[1])

    def read(self, name: str) -> str | None:
        path = self.directory / name
        try:
            return path.read_text(encoding="utf-8") if path.stat().st_size <= _MOST_BYTES else None
        except (OSError, UnicodeDecodeError):
            return None

    def read_config(self, model: str) -> None:
        text = self.read(f"{model}/config.pbtxt")
        if text is None:
            self.error(Finding(model, "config.pbtxt", "missing", "config.pbtxt is missing or unreadable"))
            return
        self.error(*rules.placeholders(model, text))
        try:
            self.configs[model] = parse(text)
        except ParseError as error:
            self.error(Finding(model, "config.pbtxt", "parse", f"config.pbtxt cannot be read: {error}"))

    def profile(self) -> Profile | None:
        """The manifest's profile, or that of the first engine; engines of another one are errors, and not compared."""
        profile: Profile | None = self.manifest.get("profile")
        if (self.directory / MANIFEST).is_file() and profile not in PROFILES:
            self.error(Finding("", MANIFEST, "parse", f"{MANIFEST} cannot be read, or names no profile"))
            profile = None
        looks = {name: _looks_like(config) for name, config in self.configs.items() if name != "a1"}
        profile = self.report.profile = profile or next(iter(looks.values()), None)
        for name, look in looks.items():
            if look != profile:
                message = f"the model is one of profile {look}, the repository of {profile}"
                self.error(Finding(name, "backend", "value", message))
                del self.configs[name]
        return profile

    def pair(self) -> Pair | None:
        """The first pair that a model names and that can be loaded; a model that names another one is wrong."""
        chosen: Pair | None = None
        for name, config in self.configs.items():
            reference = parameters_of(config).get("pair", "")
            try:
                pair = load_pair(reference) if reference else None
            except A1Error as error:
                self.error(Finding(name, "pair", "value", error.message, error.remedy or "name a pair file"))
                continue
            chosen = chosen or pair
            if pair and chosen and pair.path != chosen.path:
                message = f"the models name different pairs: {pair.path} and {chosen.path}"
                self.error(Finding(name, "pair", "value", message))
        if chosen is None and self.configs and not any(finding.field == "pair" for finding in self.report.problems):
            self.error(Finding("a1", "pair", "missing", "the models name no pair"))
        return chosen

    def compare(self, pair: Pair, profile: Profile) -> None:
        is_cluster = (self.directory / "kubernetes.yaml").is_file()
        platform = self.manifest.get("platform", "kubernetes" if is_cluster else "compose")
        try:
            placement = None if profile == "cpu" else self.placement(pair)
            rendered = files(pair, profile=profile, placement=placement, platform=platform)
        except (AttributeError, IndexError, TypeError, ValueError):
            self.error(Finding("", MANIFEST, "parse", f"{MANIFEST} has a placement that cannot be rendered"))
            return
        for model in self.report.models:
            if f"{model}/config.pbtxt" not in rendered:  # a copy that was not rendered has to be as the first one
                first = f"{model.split('_')[0]}/"
                own = {name: text for name, text in rendered.items() if name.startswith(first)}
                rendered |= {name.replace(first, f"{model}/", 1): text for name, text in own.items()}
            if (self.directory / model / SETTINGS_FILE).is_file():
                rendered.setdefault(f"{model}/{SETTINGS_FILE}", "null")
        settings = {setting.key: setting for setting in _SETTINGS[profile]}
        for name, text in rendered.items():
            model, _, part = name.partition("/")
            if not part:
                self.compare_file(name, text)
            elif model in self.report.models:
                self.compare_part(model, part, text, settings)

    def compare_part(self, model: str, part: str, rendered: str, settings: Mapping[str, Setting]) -> None:
        path = self.directory / model / part
        if part == "config.pbtxt":
            if model in self.configs:
                self.compare_config(model, parse(rendered), settings)
        elif part == SETTINGS_FILE:
            if path.is_file():
                self.compare_settings(model, json.loads(rendered))
        elif not path.parent.is_dir():
            self.error(Finding(model, "1", "missing", "the version directory 1 is missing"))
        elif part == "1/model.py" and (text := self.read(f"{model}/{part}")) != rendered:
            code, what = (
                ("missing", "is missing or cannot be read") if text is None else ("file", "is of another version")
            )
            self.error(Finding(model, part, code, f"{part} {what}"))

    def compare_config(self, model: str, expected: Any, settings: Mapping[str, Setting]) -> None:
        config = self.configs[model]
        parameters = parameters_of(config)
        expected.name = model
        if "pair" in parameters:
            expected.parameters["pair"].string_value = parameters["pair"]  # `pair` has looked at it
        self.add(config_findings(model, expected, config, settings))
        engine = Path(parameters.get("gpt_model_path", ""))
        if engine.is_absolute() and not (engine / "config.json").is_file():
            remedy = "build it with 'a1-trt engine build', or check where it is"
            self.warn(Finding(model, "gpt_model_path", "file", f"there is no engine in {engine} here", remedy))

    def compare_settings(self, model: str, rendered: dict[str, Any] | None) -> None:
        try:
            settings = json.loads(self.read(f"{model}/{SETTINGS_FILE}") or "")
        except ValueError:
            settings = None
        if not isinstance(settings, dict):
            self.error(Finding(model, SETTINGS_FILE, "parse", f"{SETTINGS_FILE} is not a JSON object"))
            return
        self.error(*rules.llm_settings(model, settings))
        if rendered is not None:
            self.add(document_findings(SETTINGS_FILE, rendered, settings, model))

    def placement(self, pair: Pair) -> Placement:
        """The placement in the manifest; else the GPUs that the models name, with usual sizes."""
        usual = default_placement(pair)
        if "placement" in self.manifest:
            return {role: RolePlacement.from_dict(self.manifest["placement"].get(role, {})) for role in usual}
        for role, place in usual.items():
            configs = [config for name, config in self.configs.items() if name.split("_")[0] == role]
            devices = [parameters_of(config).get("gpu_device_ids", "") for config in configs]
            if devices and all(re.fullmatch(_GPUS, text) for text in devices):
                gpus = tuple(tuple(int(gpu) for gpu in text.split(",")) for text in devices)
                usual[role] = replace(place, replicas=gpus)
        return usual

    def compare_file(self, name: str, rendered: str) -> None:
        text = self.read(name)
        if text == rendered:
            return
        if not name.endswith(".yaml") or not (self.directory / name).is_file():
            self.warn(Finding("", name, "changed", f"{name} is missing, or not as it would be rendered"))
            return
        try:
            documents = [document for document in yaml.safe_load_all(text or "]") if document is not None]
            self.error(*(rules.compose if name == "compose.yaml" else rules.kubernetes)(documents))
        except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            message = f"{name} is not valid YAML, or lacks what it needs: {type(error).__name__} {error}"
            self.error(Finding("", name, "parse", message))
            return
        expected: Any = list(yaml.safe_load_all(rendered))
        is_one = name == "compose.yaml"
        self.add(document_findings(name, expected[0] if is_one else expected, documents[0] if is_one else documents))


def _looks_like(config: Any) -> Profile:
    parameters = parameters_of(config)
    if config.backend == "tensorrtllm" or "gpt_model_type" in parameters or len(config.input) > 40:
        return "tensorrt"
    return "pytorch" if "engine" in parameters or "gpu_device_ids" in parameters else "cpu"
