"""The accounts of all runs of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from a1_trt.benchmarks.block_results import CALL_FIELDS
from a1_trt.benchmarks.intensity import Model, Processor, intensity
from a1_trt.benchmarks.strategies import CallRecord, strategy_of
from a1_trt.build.hardware import model_dimensions
from a1_trt.config import Pair
from a1_trt.errors import ConfigError
from a1_trt.types import Role

ROLES: tuple[Role, ...] = ("draft", "target")


def models_of(pair: Pair) -> dict[Role, Model]:
    """The pair's models, as far as their files tell.

    Raises:
        ConfigError: A model's dimensions are not known.
    """
    return {
        role: Model(
            model_dimensions(pair.role(role).model, pair.model_path(role)),
            kv_bytes=4.0 if pair.role(role).precision == "f32" else 1.0,
        )
        for role in ROLES
    }


def intensities(document: Mapping[str, Any], pair: Pair, machine: Processor) -> list[dict[str, Any]]:
    """One account per strategy, setting, repeat and block whose calls are in the document, joined over the blocks.

    Args:
        document: Of `a1_trt.benchmarks.Comparison`.
        pair: Its pair.
        machine: From `a1_trt.benchmarks.processor.processor`.

    Raises:
        ConfigError: The document holds no calls.
    """
    models = models_of(pair)
    found = []
    for cell in document["cells"]:
        if not cell["calls"]:
            continue
        calls = [CallRecord(**dict(zip(CALL_FIELDS, call, strict=True))) for call in cell["calls"]]
        alone = strategy_of(cell["strategy"]).one_at_a_time or document["plan"]["n_in_flight"] == 1
        said = intensity(calls, document["slots"], models, machine, one_at_a_time=alone)
        keys = {key: cell[key] for key in ("strategy", "n_samples", "max_turns", "repeat", "block")}
        found.append({**keys, "wall_s": cell["wall_s"], **said})
    if not found:
        raise ConfigError(
            "the comparison holds no calls", field="file", remedy="measure again with --keep-calls first or all"
        )
    return found


def joined(accounts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per strategy and setting: the sums over blocks and repeats, their r, and its range over them."""
    groups: dict[tuple[str, int, int], list[dict[str, Any]]] = {}
    for each in accounts:
        groups.setdefault((each["strategy"], each["n_samples"], each["max_turns"]), []).append(each)
    rows = []
    for (strategy, n_samples, max_turns), mine in sorted(groups.items()):
        t_c, t_m, t_s = (sum(each[key] for each in mine) for key in ("t_c_s", "t_m_s", "t_s_s"))
        several = [each["r"] for each in mine if each["r"] is not None]
        rows.append(
            {
                "strategy": strategy,
                "n_samples": n_samples,
                "max_turns": max_turns,
                "t_c_s": t_c,
                "t_m_s": t_m,
                "t_s_s": t_s,
                "r": t_c / (t_m + t_s) if t_m + t_s else None,
                "r_range": [min(several), max(several)] if several else None,
                "n_blocks": len(mine),
            }
        )
    return rows
