"""Which GPUs serve a role, and with which settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from a1_trt.config import Pair
from a1_trt.types import ROLES, Role

Profile = Literal["cpu", "pytorch", "tensorrt"]
Gpus = tuple[int, ...]
PROFILES: tuple[Profile, ...] = ("cpu", "pytorch", "tensorrt")


@dataclass(frozen=True, slots=True)
class RolePlacement:
    """How one role is served on GPUs.

    Args:
        replicas: The GPUs of each copy of the model.
        max_batch_size: Most requests at once in a copy.
        max_context_tokens: Longest prompt plus generation that it is built for; the model's own when None.
        n_scores: Whole contexts at once for whose logits there is memory.
        settings: Keyword arguments of `tensorrt_llm.LLM` (profile "pytorch").
        parameters: Parameters of the `tensorrt_llm` model that differ from their usual text (profile "tensorrt").
    """

    replicas: tuple[Gpus, ...]
    max_batch_size: int
    max_context_tokens: int | None = None
    n_scores: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        replicas = tuple(tuple(gpus) for gpus in document.get("replicas", ()))
        if not replicas or not all(gpus and all(isinstance(gpu, int) for gpu in gpus) for gpus in replicas):
            raise TypeError("replicas are not numbers of GPUs")
        return cls(**{**document, "replicas": replicas})

    def models(self, role: Role) -> dict[str, Gpus]:
        """Name of the Triton model of each copy -> its GPUs."""
        return {role if index == 0 else f"{role}_{index + 1}": gpus for index, gpus in enumerate(self.replicas)}

    def alone(self) -> RolePlacement:
        """One copy that sees no GPUs but its own, as in a container of its own."""
        return replace(self, replicas=(tuple(range(len(self.replicas[0]))),))


Placement = Mapping[Role, RolePlacement]


def default_placement(pair: Pair) -> dict[Role, RolePlacement]:
    """Placement without a plan: GPUs of its own for each copy that the pair asks for; sizes are TensorRT-LLM's own."""
    placement: dict[Role, RolePlacement] = {}
    first = 0
    for role in ROLES:
        config = pair.role(role)
        size = (config.gpu.tensor_parallel or 1) * config.gpu.pipeline_parallel
        starts = range(first, first + size * config.gpu.replicas, size)
        first += size * config.gpu.replicas
        replicas = tuple(tuple(range(start, start + size)) for start in starts)
        placement[role] = RolePlacement(replicas, config.max_in_flight)
    return placement
