"""Looks at a model repository: does it have everything that it needs, and nothing that is wrong?

::

    findings.py         what was found, as data
    config_rules.py     a config.pbtxt, field by field
    model_rules.py      what each model has to be
    container_rules.py  compose.yaml and kubernetes.yaml
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from a1_trt.config import load_pair
from a1_trt.errors import A1Error, DeployError
from a1_trt.triton.config_rules import parse
from a1_trt.triton.container_rules import container_findings
from a1_trt.triton.findings import Finding, Report
from a1_trt.triton.model_rules import (
    own_findings,
    parameters_of,
    scheduler_findings,
    their_findings,
    their_warnings,
)
from a1_trt.triton.render import MODELS
from a1_trt.triton.repository import MANIFEST, changed, read_manifest
from a1_trt.triton.role_placement import PROFILES

_ENGINE = re.compile(r"(draft|target)(_\d+)?")
_MOST_BYTES = 1 << 20
_URL = re.compile(r"(grpc|https?)://(\[[0-9a-fA-F:]+\]|[^/\s:\[\]]+)(:(\d{1,5}))?/?")


def check(directory: Path) -> Report:
    """Check a repository against what its models need.

    Args:
        directory: What 'a1-trt deploy render' wrote, or a repository made by hand.

    Raises:
        DeployError: There is no such directory.

    Example:
        >>> check(Path("triton_models")).ok  # doctest: +SKIP
        True
    """
    if not directory.is_dir():
        raise DeployError(
            f"there is no directory {directory}", field="directory", remedy="make one with 'a1-trt deploy render'"
        )
    report = Report(str(directory))
    folders = sorted(path.name for path in directory.iterdir() if path.is_dir() and not path.name.startswith("."))
    report.models = tuple(name for name in folders if name == "a1" or _ENGINE.fullmatch(name))
    for name in MODELS:
        if name not in report.models:
            report.problems.append(Finding(name, "model", "missing", f"there is no model {name}"))
    configs = {name: _config(directory / name, report) for name in report.models}
    report.profile = _profile(directory, configs, report)
    for name, config in configs.items():
        if config is not None:
            _check_model(name, directory / name, config, report)
    _check_pair(configs, report)
    report.problems += container_findings(directory)
    for name in folders:
        if name not in report.models and (directory / name / "config.pbtxt").is_file():
            report.warnings.append(Finding(name, "model", "extra", f"{name} is not one of ours", "see that it loads"))
    report.warnings += [
        Finding("", name, "changed", f"{name} is not as it was rendered", "render again, if that was not meant")
        for name in changed(directory)
    ]
    return report


def _config(folder: Path, report: Report) -> Any:
    path = folder / "config.pbtxt"
    try:
        text = path.read_text(encoding="utf-8") if path.stat().st_size <= _MOST_BYTES else None
    except (OSError, UnicodeDecodeError):
        text = None
    if text is None:
        report.problems.append(Finding(folder.name, "config.pbtxt", "missing", "config.pbtxt is missing or unreadable"))
        return None
    config, findings = parse(folder.name, text)
    report.problems += findings
    return config


def _profile(directory: Path, configs: dict[str, Any], report: Report) -> str | None:
    """What the manifest says, or what the models look like; both have to agree."""
    said = read_manifest(directory).get("profile")
    if (directory / MANIFEST).is_file() and said not in PROFILES:
        report.problems.append(Finding("", MANIFEST, "parse", f"{MANIFEST} cannot be read, or names no profile"))
        said = None
    engines = {name: config for name, config in configs.items() if name != "a1" and config is not None}
    looks = {name: _looks_like(config) for name, config in engines.items()}
    profile: str | None = said or next(iter(looks.values()), None)
    for name, look in looks.items():
        if look != profile:
            message = f"the model is one of profile {look}, the repository of {profile}"
            report.problems.append(Finding(name, "backend", "value", message))
    return profile


def _looks_like(config: Any) -> str:
    said = parameters_of(config)
    if config.backend == "tensorrtllm" or "gpt_model_type" in said or len(config.input) > 40:
        return "tensorrt"
    return "pytorch" if "engine" in said or "gpu_device_ids" in said else "cpu"


def _check_model(name: str, folder: Path, config: Any, report: Report) -> None:
    if name == "a1":
        report.problems += scheduler_findings(folder, config, frozenset(report.models), report.profile)
        return
    if _looks_like(config) == "tensorrt":
        report.problems += their_findings(name, folder, config)
        report.warnings += their_warnings(name, config)
        return
    report.problems += own_findings(name, name.split("_")[0], _looks_like(config), folder, config)


def _check_pair(configs: dict[str, Any], report: Report) -> None:
    """One pair for all, which says where it is served."""
    named = {name: parameters_of(config).get("pair") for name, config in configs.items() if config is not None}
    pairs = {pair for pair in named.values() if pair}
    if len(pairs) > 1:
        report.problems.append(Finding("", "pair", "value", f"the models name different pairs: {sorted(pairs)}"))
    for pair in pairs:
        try:
            url = load_pair(pair).serving.url
        except A1Error:
            continue  # told with the model that names it
        found = _URL.fullmatch(url)
        if not found or (found[4] and not 0 < int(found[4]) < 65536):
            report.problems.append(
                Finding(
                    "", "serving.url", "address", f"{url!r} is no address", "write grpc://host:port in the pair file"
                )
            )
