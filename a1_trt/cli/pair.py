"""a1-trt pair list | show | check"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from a1_trt.cli.old_spellings import Group
from a1_trt.cli.output import Output, error_document, json_option, say_json
from a1_trt.cli.problems import problems_path
from a1_trt.cli.tables import print_table
from a1_trt.config import Pair, load_pair
from a1_trt.errors import A1Error, ConfigError
from a1_trt.locations import list_pairs
from a1_trt.types import ROLES


@click.group(cls=Group)
def pair() -> None:
    """Look at pair files: which draft and target work together, and how.

    \b
    Examples:
      a1-trt pair list
      a1-trt pair check engines/mine/pair.toml
    """


@pair.command("list")
@json_option
def list_(out: Output) -> None:
    """List the pairs that can be named.

    \b
    Examples:
      a1-trt pair list --json
    """
    pairs = {name: {"path": str(path), "description": _description(path)} for name, path in list_pairs().items()}
    rows = [(name, pair["description"]) for name, pair in pairs.items()]
    out.deliver(pairs, lambda _: print_table(("pair", "description"), rows, prose="description", shorten=True))


@pair.command()
@click.argument("name")
@json_option
def show(name: str, out: Output) -> None:
    """Print all settings of a pair, with defaults and environment applied.

    \b
    Examples:
      a1-trt pair show reference
      a1-trt pair show engines/mine/pair.toml --json
    """
    loaded = load_pair(name)
    settings = loaded.model_dump(mode="json", by_alias=True)
    about = {"path": str(loaded.path), "fingerprint": loaded.fingerprint()}
    out.deliver({**settings, **about}, lambda _: _show_settings(loaded, settings))


@pair.command()
@click.argument("file")
@json_option
def check(file: str, out: Output) -> None:
    """Check a pair file and that its models are there; the exit status is 2 where something is wrong.

    \b
    Examples:
      a1-trt pair check engines/mine/pair.toml --json
    """
    try:
        implied = _implied(load_pair(file))
    except A1Error as error:
        if not out.as_json:
            raise
        say_json({"ok": False, "error": error_document(error)})
        sys.exit(error.exit_code)
    out.deliver({"ok": True, **implied}, lambda _: _show_implied(implied))


def _implied(loaded: Pair) -> dict[str, Any]:
    models: dict[str, dict[str, Any]] = {}
    for role in ROLES:
        config = loaded.role(role)
        models[role] = {name: getattr(config, name) for name in ("engine", "max_in_flight", "kv_cache_gb")}
        path = loaded.model_path(role)
        models[role] |= {"path": str(path), "bytes": size_of(path)}
    return {
        "name": loaded.name,
        "path": str(loaded.path),
        "fingerprint": loaded.fingerprint(),
        "models": models,
        "problems": None if loaded.problems is None else _problems(loaded),
        "parameters": asdict(loaded.parameters()),
        "score": loaded.conformal.score,
        "category": loaded.conformal.category,
        "url": loaded.serving.url,
    }


def _problems(loaded: Pair) -> str:
    path = problems_path(loaded)
    if not path.is_file():
        error, remedy = (
            f"problems names {path}, which does not exist",
            "give a file of JSON lines, or leave the key out",
        )
        raise ConfigError(error, path=str(loaded.path), field="problems", remedy=remedy)
    return str(path)


def _description(path: Path) -> str:
    try:
        return load_pair(path).description
    except ConfigError as error:
        return f"wrong: {error}"


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a directory."""
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def _show_settings(pair: Pair, settings: dict[str, Any]) -> None:
    click.echo("\n".join([f"# {pair.path}", *(f"{key} = {value!r}" for key, value in _flat(settings))]))


def _show_implied(implied: dict[str, Any]) -> None:
    click.echo("\n".join([f"{implied.pop('path')} is right", *(f"  {key}: {value}" for key, value in _flat(implied))]))


def _flat(settings: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in settings.items():
        rows += _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(f"{prefix}{key}", value)]
    return rows
