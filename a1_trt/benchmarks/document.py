"""The file of a comparison: rewritten after each block, so that stopping loses one block at most."""

import json
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from a1_trt import files
from a1_trt.benchmarks.blocks import BlockRecord, against, figures
from a1_trt.benchmarks.records import validated
from a1_trt.errors import ConfigError, InvalidRequestError

KIND = "a1-trt bench"
SCHEMA = 2
_READABLE = (1, SCHEMA)  # schema 1, of 0.2: problems without id, votes, counts of samples and decisions by turn


def summarise(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with its figures: per strategy, setting and repeat, over all repeats, and of the first in pairs."""
    return with_figures(document, blocks_of(document))


def with_figures(head: Mapping[str, Any], blocks: Sequence[BlockRecord]) -> dict[str, Any]:
    plan, slots = head["plan"], head["slots"]
    results: list[dict[str, Any]] = []
    overall: list[dict[str, Any]] = []
    ratios: list[dict[str, Any]] = []
    for n_samples, max_turns in product(plan["n_samples"], plan["max_turns"]):
        setting = {"n_samples": n_samples, "max_turns": max_turns}
        own: dict[str, list[BlockRecord]] = {name: [] for name in plan["strategies"]}
        for block in blocks:
            if (block.n_samples, block.max_turns) == (n_samples, max_turns):
                own[block.strategy].append(block)
        for name, same in own.items():
            for repeat in sorted({block.repeat for block in same}):
                chosen = [block for block in same if block.repeat == repeat]
                results.append({"strategy": name, **setting, "repeat": repeat, **figures(chosen, slots)})
            if same:
                overall.append({"strategy": name, **setting, **figures(same, slots)})
        first, *others = plan["strategies"]
        for name in others:
            ratio = against(own[first], own[name])
            if ratio is not None:
                ratios.append({"strategy": first, "against": name, **setting, **ratio})
    cells = [block.model_dump(mode="json") for block in blocks]
    return {**head, "cells": cells, "results": results, "overall": overall, "ratios": ratios}


def blocks_of(document: Mapping[str, Any]) -> list[BlockRecord]:
    return validated(BlockRecord, document["cells"], lambda what: _no_document("the comparison", f"cells {what}"))


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document in one step: a reader sees the old one or the new one."""
    try:
        files.write_whole(path, json.dumps(document, separators=(",", ":")) + "\n")
    except OSError as error:
        raise unwritable(path, error) from None


def unwritable(path: Path, error: OSError, field: str = "output") -> ConfigError:
    message = f"{path} cannot be written: {error.strerror}"
    return ConfigError(message, path=str(path), field=field, remedy="choose another place")


def read_document(path: Path) -> dict[str, Any]:
    """A document that `write_document` wrote, in this version's schema; ConfigError where it is something else."""
    try:
        document = files.read_document(path, "file")
    except InvalidRequestError as error:
        raise _no_document(path, error.message.removeprefix(f"{path} ")) from None
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise _no_document(path, "it is not a result of a comparison")
    if document.get("schema") not in _READABLE:
        raise _no_document(path, f"it has schema {document.get('schema')!r}, this version reads {_READABLE}")
    missing = {"plan", "slots", "cells", "problems", "machine"} - document.keys()
    if missing:
        raise _no_document(path, f"it has no {', '.join(sorted(missing))}")
    blocks = validated(BlockRecord, document["cells"], lambda what: _no_document(path, f"cells {what}"))
    return {**document, "schema": SCHEMA, "cells": [block.model_dump(mode="json") for block in blocks]}


def _no_document(path: Path | str, what: str) -> ConfigError:
    remedy = "give a file that 'a1-trt bench compare' wrote"
    return ConfigError(f"{path}: {what}", path=str(path), field="file", remedy=remedy)
