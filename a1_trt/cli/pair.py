"""a1-trt pair list | show | check"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from a1_trt.cli.options import json_option
from a1_trt.cli.output import say_json
from a1_trt.config import Pair, load_pair
from a1_trt.errors import A1Error, ConfigError
from a1_trt.locations import list_pairs
from a1_trt.types import ROLES


@click.group()
def pair() -> None:
    """Look at pair files: which draft and target work together, and how.

    \b
    Examples:
      a1-trt pair list
      a1-trt pair check engines/mine/pair.toml
    """


@pair.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the pairs that can be named.

    \b
    Examples:
      a1-trt pair list
      a1-trt pair list --json
    """
    found = {name: (path, _description(path)) for name, path in list_pairs().items()}
    if as_json:
        say_json({name: {"path": str(path), "description": text} for name, (path, text) in found.items()})
        return
    for name, (path, text) in found.items():
        click.echo(f"{name}  {path}\n    {text}")


@pair.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Print all settings of a pair, with defaults and environment applied.

    \b
    Examples:
      a1-trt pair show reference
      a1-trt pair show engines/mine/pair.toml --json
    """
    loaded = load_pair(name)
    settings = loaded.model_dump(mode="json", by_alias=True)
    if as_json:
        say_json({**settings, "path": str(loaded.path), "fingerprint": loaded.fingerprint()})
        return
    click.echo(f"# {loaded.path}")
    for key, value in _flat(settings):
        click.echo(f"{key} = {value!r}")


@pair.command()
@click.argument("file")
@json_option
def check(file: str, as_json: bool) -> None:
    """Check a pair file and that its models are there; the exit status is 2 where something is wrong.

    \b
    Examples:
      a1-trt pair check engines/mine/pair.toml
      a1-trt pair check engines/mine/pair.toml --json
    """
    try:
        implied = _implied(load_pair(file))
    except A1Error as error:
        if not as_json:
            raise
        said = {"code": error.code, "field": error.field, "message": error.message, "remedy": error.remedy}
        say_json({"ok": False, "error": said})
        sys.exit(error.exit_code)
    if as_json:
        say_json({"ok": True, **implied})
        return
    click.echo(f"{implied['path']} is right")
    for key, value in _flat({key: value for key, value in implied.items() if key != "path"}):
        click.echo(f"  {key}: {value}")


def _implied(loaded: Pair) -> dict[str, Any]:
    """What a pair file comes to; an error where a file that it names is missing."""
    models: dict[str, dict[str, Any]] = {}
    for role in ROLES:
        said = loaded.role(role)
        models[role] = {"engine": said.engine, "max_in_flight": said.max_in_flight, "kv_cache_gb": said.kv_cache_gb}
        path = loaded.model_path(role)
        models[role] |= {"path": str(path), "bytes": _size(path)}
    problems = None if loaded.problems is None else _problems(loaded)
    return {
        "name": loaded.name,
        "path": str(loaded.path),
        "fingerprint": loaded.fingerprint(),
        "models": models,
        "problems": problems,
        "parameters": asdict(loaded.parameters()),
        "score": loaded.conformal.score,
        "category": loaded.conformal.category,
        "url": loaded.serving.url,
    }


def _problems(loaded: Pair) -> str:
    path = problems_path(loaded)
    if not path.is_file():
        raise ConfigError(
            f"problems names {path}, which does not exist",
            path=str(loaded.path),
            field="problems",
            remedy="give a file of JSON lines, or leave the key out",
        )
    return str(path)


def problems_path(loaded: Pair) -> Path:
    """Where a pair's held-out problems are.

    Raises:
        ConfigError: The pair names none.
    """
    if loaded.problems is None or loaded.path is None:
        raise ConfigError(
            f"the pair {loaded.name} names no problems",
            path=str(loaded.path),
            field="problems",
            remedy="set problems in the pair file, or give --problems-file",
        )
    return loaded.path.resolve().parent / loaded.problems


def _description(path: Path) -> str:
    try:
        return load_pair(path).description
    except ConfigError as error:
        return f"wrong: {error}"


def _size(path: Path) -> int:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def _flat(settings: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested settings as dotted keys."""
    found: list[tuple[str, Any]] = []
    for key, value in settings.items():
        found += _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(f"{prefix}{key}", value)]
    return found
