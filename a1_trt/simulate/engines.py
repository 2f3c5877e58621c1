"""Engines as JSON: what `fit` writes and ``--engines`` reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from a1_trt.errors import InvalidRequestError
from a1_trt.files import first_mistake, read_document
from a1_trt.simulate.engine_model.costs import EngineCosts, EngineLimits
from a1_trt.simulate.fleet import EnginePlan
from a1_trt.types import ROLES, Role

_Cost = Annotated[float, Field(ge=0, lt=1e6)]
_Count = Annotated[int, Field(ge=1, lt=2**31)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Limits(_Strict):
    max_sequences: _Count
    max_num_batched_tokens: _Count
    kv_blocks: _Count
    block_tokens: _Count
    max_context_tokens: _Count
    prefix_reuse: bool
    logits_tokens: _Count | None

    def limits(self) -> EngineLimits:
        return EngineLimits(**self.model_dump())

    @model_validator(mode="after")
    def _agree(self) -> Self:
        self.limits()
        return self


class _Engines(_Strict):
    costs: dict[str, _Cost]
    limits: _Limits
    engines: int = Field(ge=1, le=100_000)
    max_in_flight: _Count
    call_s: _Cost

    @field_validator("costs")
    @classmethod
    def _are_known(cls, costs: dict[str, float]) -> dict[str, float]:
        unknown = costs.keys() - {field.name for field in fields(EngineCosts)}
        if unknown:
            raise ValueError(f"an iteration has no {', '.join(sorted(unknown))}")
        return costs

    def plan(self) -> EnginePlan:
        costs, limits = EngineCosts(**self.costs), self.limits.limits()
        return EnginePlan(costs, limits, self.engines, self.max_in_flight, self.call_s)


class _EnginesDocument(_Strict):
    shared_processor: bool
    draft: _Engines
    target: _Engines


def engine_document(plan: EnginePlan) -> dict[str, Any]:
    return {
        "costs": asdict(plan.costs),
        "limits": asdict(plan.limits),
        "engines": plan.n_engines,
        "max_in_flight": plan.max_in_flight,
        "call_s": plan.call_s,
    }


def engines_document(plans: Mapping[Role, EnginePlan], shared: bool) -> dict[str, Any]:
    return {"shared_processor": shared, **{role: engine_document(plans[role]) for role in ROLES}}


def read_engines(path: Path) -> tuple[dict[Role, EnginePlan], bool]:
    """Engines that `fit` wrote, alone or in its whole result, and whether they share one processor."""
    document = read_document(path, "engines")
    if isinstance(document, dict) and isinstance(document.get("engines"), dict):
        document = document["engines"]
    try:
        engines = _EnginesDocument.model_validate(document)
    except ValidationError as error:
        message = f"{path} holds no engines: {first_mistake(error)}"
        remedy = "write them with 'a1-trt simulate fit RUN.json --output FILE'"
        raise InvalidRequestError(message, field="engines", remedy=remedy) from None
    return {"draft": engines.draft.plan(), "target": engines.target.plan()}, engines.shared_processor
