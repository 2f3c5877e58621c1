"""Engines as JSON: what `fit` writes and ``--engines`` reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from a1_trt.errors import A1Error, InvalidRequestError
from a1_trt.files import read_document
from a1_trt.simulate.engine_model.costs import EngineCosts, EngineLimits
from a1_trt.simulate.fleet import EnginePlan
from a1_trt.types import ROLES, Role


def engine_document(plan: EnginePlan) -> dict[str, Any]:
    """One role's engines."""
    return {
        "costs": asdict(plan.costs),
        "limits": asdict(plan.limits),
        "engines": plan.n_engines,
        "max_in_flight": plan.max_in_flight,
        "call_s": plan.call_s,
    }


def engines_document(plans: Mapping[Role, EnginePlan], shared: bool) -> dict[str, Any]:
    """All engines, and whether they share one processor."""
    return {"shared_processor": shared, **{role: engine_document(plans[role]) for role in ROLES}}


def read_engines(path: Path) -> tuple[dict[Role, EnginePlan], bool]:
    """Engines that `fit` wrote, and whether they share one processor.

    Raises:
        InvalidRequestError: The file holds none.
    """
    document = read_document(path, "engines")
    if isinstance(document, dict) and isinstance(document.get("engines"), dict):
        document = document["engines"]
    try:
        plans: dict[Role, EnginePlan] = {}
        for role in ROLES:
            said = document[role]
            costs = EngineCosts(**{name: _cost(value) for name, value in said["costs"].items()})
            limits = EngineLimits(**{field.name: said["limits"][field.name] for field in fields(EngineLimits)})
            plans[role] = EnginePlan(
                costs, limits, int(said["engines"]), int(said["max_in_flight"]), _cost(said["call_s"])
            )
        return plans, bool(document["shared_processor"])
    except A1Error:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidRequestError(
            f"{path} holds no engines ({type(error).__name__}: {error})",
            field="engines",
            remedy="write them with 'a1-trt simulate fit RUN.json --output FILE'",
        ) from None


def _cost(value: Any) -> float:
    cost = float(value)
    if not 0 <= cost < 1e6:
        raise ValueError(f"{value!r} is no cost")
    return cost
