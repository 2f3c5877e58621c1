"""The file of a comparison: written anew after each block, so that whoever stops it loses that block at most."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from a1_trt.benchmarks.figures import figures
from a1_trt.benchmarks.paired import against
from a1_trt.errors import ConfigError
from a1_trt.files import write_whole

SCHEMA = 1
KIND = "a1-trt bench"
_MAX_BYTES = 2**30


def summarise(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with its figures: per strategy, setting and repeat, over all repeats, and in pairs.

    The first strategy is compared with each of the others.
    """
    cells: Sequence[Mapping[str, Any]] = document["cells"]
    plan, slots = document["plan"], document["slots"]
    strategies: list[str] = plan["strategies"]
    results, overall, ratios = [], [], []
    for setting in settings_of(plan):
        found = {name: [cell for cell in cells if _is(cell, name, setting)] for name in strategies}
        for name, mine in found.items():
            for repeat in sorted({cell["repeat"] for cell in mine}):
                chosen = [cell for cell in mine if cell["repeat"] == repeat]
                results.append({"strategy": name, **setting, "repeat": repeat, **figures(chosen, slots)})
            if mine:
                overall.append({"strategy": name, **setting, **figures(mine, slots)})
        first, *others = strategies
        for name in others:
            ratio = against(found[first], found[name])
            if ratio is not None:
                ratios.append({"strategy": first, "against": name, **setting, **ratio})
    return {**document, "results": results, "overall": overall, "ratios": ratios}


def settings_of(plan: Mapping[str, Any]) -> list[dict[str, int]]:
    """All combinations of the numbers of samples and turns that a plan sweeps over."""
    return [{"n_samples": n, "max_turns": turns} for n in plan["n_samples"] for turns in plan["max_turns"]]


def _is(cell: Mapping[str, Any], name: str, setting: Mapping[str, int]) -> bool:
    return cell["strategy"] == name and all(cell[key] == value for key, value in setting.items())


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document in one step: a reader sees the old one or the new one.

    Raises:
        ConfigError: It cannot be written.
    """
    try:
        write_whole(path, json.dumps(document, separators=(",", ":")) + "\n")
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}", path=str(path), field="output", remedy="choose another place"
        ) from None


def read_document(path: Path) -> dict[str, Any]:
    """A document that `write_document` wrote.

    Raises:
        ConfigError: It cannot be read, or is something else.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise _no_document(path, "it is larger than 1 GiB")
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _no_document(path, error.strerror or "it cannot be read") from None
    except ValueError:
        raise _no_document(path, "it is no JSON") from None
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise _no_document(path, "it is no result of a comparison")
    if document.get("schema") != SCHEMA:
        raise _no_document(path, f"it has schema {document.get('schema')!r}, this version reads {SCHEMA}")
    missing = {"plan", "slots", "cells", "problems", "machine"} - document.keys()
    if missing:
        raise _no_document(path, f"it has no {', '.join(sorted(missing))}")
    return document


def _no_document(path: Path, what: str) -> ConfigError:
    return ConfigError(
        f"{path}: {what}", path=str(path), field="file", remedy="give a file that 'a1-trt bench compare' wrote"
    )
