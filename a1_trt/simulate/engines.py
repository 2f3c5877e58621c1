"""Engines as JSON: what `fit` writes and ``--engines`` reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from a1_trt.errors import InvalidRequestError
from a1_trt.files import first_mistake, read_document
from a1_trt.simulate.engine_model.costs import EngineCosts, EngineLimits
from a1_trt.simulate.fleet import ROLES, EnginePlan
from a1_trt.types import Role

_Cost = Annotated[float, Field(ge=0, lt=1e6)]


class _Engines(BaseModel):
    """One role's engines; `EngineLimits` checks its own values."""

    model_config = ConfigDict(extra="forbid", strict=True)

    costs: dict[str, _Cost]
    limits: EngineLimits
    engines: int = Field(ge=1, le=100_000)
    max_in_flight: int = Field(ge=1, le=2**31)
    call_s: _Cost

    @field_validator("costs")
    @classmethod
    def _are_known(cls, costs: dict[str, float]) -> dict[str, float]:
        unknown = costs.keys() - {field.name for field in fields(EngineCosts)}
        if unknown:
            raise ValueError(f"an iteration has no {', '.join(sorted(unknown))}")
        return costs

    def plan(self) -> EnginePlan:
        return EnginePlan(EngineCosts(**self.costs), self.limits, self.engines, self.max_in_flight, self.call_s)


class _EnginesDocument(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    shared_processor: bool
    draft: _Engines
    target: _Engines


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
    """Engines that `fit` wrote, alone or in its whole result, and whether they share one processor.

    Raises:
        InvalidRequestError: The file cannot be read, or a value in it is missing, unknown or out of range.
    """
    document = read_document(path, "engines")
    if isinstance(document, dict) and isinstance(document.get("engines"), dict):
        document = document["engines"]
    try:
        engines = _EnginesDocument.model_validate(document)
    except ValidationError as error:
        raise InvalidRequestError(
            f"{path} holds no engines: {first_mistake(error)}",
            field="engines",
            remedy="write them with 'a1-trt simulate fit RUN.json --output FILE'",
        ) from None
    return {"draft": engines.draft.plan(), "target": engines.target.plan()}, engines.shared_processor
