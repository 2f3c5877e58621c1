"""A pair file: one TOML that says which draft and target work together, and how.

`load_pair` turns it into a frozen `Pair` or raises a `ConfigError` that names the key. Order of precedence:
argument > ``A1_TRT_*`` environment variable > file > default.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from a1_trt.errors import ConfigError
from a1_trt.files import reading
from a1_trt.locations import built_directory, find_model, find_pair
from a1_trt.pair_sections import Conformal, RoleConfig, Section, Serving
from a1_trt.parameters import Parameters, Scheduling, current
from a1_trt.types import Role


class Pair(Section):
    """A draft and a target that work together.

    Example:
        >>> pair = load_pair("reference")  # doctest: +SKIP
        >>> pair.parameters().n_samples  # doctest: +SKIP
        16
    """

    # "schema" would hide an attribute of pydantic's own base class.
    schema_: int = Field(1, alias="schema", ge=1, le=1)
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    problems: str | None = None
    """JSON lines of held-out problems to try the pair on (relative to the pair file)."""
    draft: RoleConfig
    target: RoleConfig
    conformal: Conformal = Conformal()
    scheduler: Scheduling = Scheduling()
    serving: Serving = Serving()
    path: Path | None = Field(None, exclude=True)
    """The file this pair was read from."""

    @field_validator("scheduler", mode="before")
    @classmethod
    def _in_present_spelling(cls, section: Any) -> Any:
        return current(section) if isinstance(section, Mapping) else section

    def role(self, role: Role) -> RoleConfig:
        """The configuration of one role."""
        return self.draft if role == "draft" else self.target

    def model_path(self, role: Role) -> Path:
        """Where a role's model is on disk: for TensorRT-LLM in this process what was built, where something was."""
        if self.role(role).engine == "tensorrt_llm" and self.path is not None:
            built = built_directory(self.path.resolve(), "pytorch") / role
            if built.is_dir():
                return built
        return find_model(self.role(role).model, self.path, f"{role}.model")

    def calibration_path(self) -> Path | None:
        """Where the scores to start from are, if there are any."""
        name = self.conformal.calibration
        return None if name is None else (self.path.resolve().parent if self.path else Path()) / name

    def parameters(self) -> Parameters:
        """The request parameters that the pair file sets."""
        return Parameters(
            **asdict(self.scheduler),
            alpha=self.conformal.alpha,
            exact_budget=self.conformal.exact_budget,
            on_score_error=self.conformal.on_score_error,
            draft_tokens=self.draft.sampling.segment_tokens,
            target_tokens=self.target.sampling.segment_tokens,
            temperature=self.target.sampling.temperature,
        )

    def fingerprint(self) -> str:
        """Identifies what a calibration score depends on: models, quantisation, prompts, score kind, segment length."""
        settings: dict[str, Any] = {
            "draft": [self.draft.model, self.draft.prompt, self.draft.system],
            "target": [self.target.model, self.target.prompt, self.target.system],
            "score": self.conformal.score,
            "segment_tokens": self.draft.sampling.segment_tokens,
            "temperature": self.draft.sampling.temperature,
        }
        gpus = {"draft": self.draft.gpu, "target": self.target.gpu}
        types = {role: [gpu.quantization, gpu.kv_cache_dtype] for role, gpu in gpus.items()}
        if rounded := {role: pair for role, pair in types.items() if pair != ["none", "auto"]}:
            settings["quantization"] = rounded
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def load_pair(name_or_path: str | os.PathLike[str]) -> Pair:
    """Read and check a pair file.

    Args:
        name_or_path: A path to a pair file or to its directory, or the name of a directory in ``engines/``.

    Raises:
        ConfigError: It does not exist, is not valid TOML, or a key is unknown, missing or out of range.
    """
    path = find_pair(name_or_path)
    with reading(path, field="pair", error=ConfigError):
        data = path.read_bytes()
    try:
        document = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{path} is not valid TOML: {error}"
        raise ConfigError(message, path=str(path), remedy="fix the reported line") from None
    return make_pair(document, path)


def make_pair(document: dict[str, Any], path: Path | None = None) -> Pair:
    """A checked pair of a parsed document, or a `ConfigError` that names the wrong key.

    Example:
        >>> pair = make_pair({"name": "p", "draft": {"model": "a"}, "target": {"model": "b"}})
        >>> pair.conformal.alpha
        0.4
    """
    try:
        pair = Pair.model_validate(_with_environment(document))
    except ValidationError as error:
        raise _config_error(error, path) from None
    for role in (pair.draft, pair.target):
        if role.prompt != "chat" and "{problem}" not in role.prompt:
            message = f"{f'{path}: ' if path else ''}prompt {role.prompt!r} has no place for the problem"
            remedy = 'write {problem} where it goes, or prompt = "chat"'
            raise ConfigError(message, path=str(path), field="prompt", remedy=remedy)
    return pair.model_copy(update={"path": path})


def _with_environment(document: dict[str, Any]) -> dict[str, Any]:
    """The document with ``A1_TRT_SECTION__KEY`` variables (such as A1_TRT_CONFORMAL__ALPHA) laid over it."""
    merged = json.loads(json.dumps(document, default=str))
    for variable, text in os.environ.items():
        parts = variable.removeprefix("A1_TRT_").lower().split("__")
        if not variable.startswith("A1_TRT_") or len(parts) < 2:
            continue
        section = merged
        for part in parts[:-1]:
            section = section.setdefault(part, {})
        try:
            section[parts[-1]] = json.loads(text)
        except json.JSONDecodeError:
            section[parts[-1]] = text
    return dict(merged)


def _config_error(error: ValidationError, path: Path | None) -> ConfigError:
    """The first thing that is wrong, with the nearest right key where one was misspelt."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    key = ".".join(place)
    where = f"{path}: " if path else ""
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        near = difflib.get_close_matches(place[-1], _keys_at(place[:-1]), n=1)
        remedy = f"did you mean {near[0]}?" if near else f"choose from {', '.join(_keys_at(place[:-1]))}"
        return ConfigError(f"{where}unknown key {key}", path=str(path), field=key, remedy=remedy)
    given = f", given {first['input']!r}" if first["type"] != "missing" else ""
    return ConfigError(f"{where}{key}: {first['msg']}{given}", path=str(path), field=key, remedy="fix this key")


def _keys_at(place: list[str]) -> list[str]:
    model: Any = Pair
    for part in place:
        model = model.model_fields[part].annotation
    if is_dataclass(model):
        return [item.name for item in fields(model)]
    return [info.alias or name for name, info in model.model_fields.items() if not info.exclude]
