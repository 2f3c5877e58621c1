"""How a role is served: on which GPUs, and with which settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from a1_trt.config import Pair
from a1_trt.types import ROLES, Role

Profile = Literal["cpu", "pytorch", "tensorrt"]
PROFILES: tuple[Profile, ...] = ("cpu", "pytorch", "tensorrt")


@dataclass(frozen=True, slots=True)
class Hosting:
    """How one role is served on GPUs.

    Args:
        replicas: The GPUs of each copy of the model.
        max_batch_size: Most requests at once in a copy.
        max_context_tokens: Longest prompt plus generation that it is built for; the model's own when None.
        n_scores: Whole contexts at once for whose logits there is memory.
        settings: Keyword arguments of `tensorrt_llm.LLM` (profile "pytorch").
        parameters: Parameters of the `tensorrt_llm` model that differ from their usual text (profile "tensorrt").

    Example:
        >>> Hosting(((0,), (1,)), 16).models("target")
        {'target': (0,), 'target_2': (1,)}
    """

    replicas: tuple[tuple[int, ...], ...]
    max_batch_size: int
    max_context_tokens: int | None = None
    n_scores: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)

    def models(self, role: Role) -> dict[str, tuple[int, ...]]:
        """Name of the Triton model of each copy -> its GPUs."""
        return {role if index == 0 else f"{role}_{index + 1}": gpus for index, gpus in enumerate(self.replicas)}

    def alone(self) -> Hosting:
        """One copy that sees no GPUs but its own, as in a container of its own."""
        return replace(self, replicas=(tuple(range(len(self.replicas[0]))),))


def usual_hosting(pair: Pair) -> dict[Role, Hosting]:
    """Hosting without a plan: what the pair says, on GPUs of its own for each copy; sizes are TensorRT-LLM's own."""
    found: dict[Role, Hosting] = {}
    first = 0
    for role in ROLES:
        said = pair.role(role)
        size = (said.gpu.tensor_parallel or 1) * said.gpu.pipeline_parallel
        spots = range(first, first + size * said.gpu.replicas, size)
        first += size * said.gpu.replicas
        found[role] = Hosting(tuple(tuple(range(spot, spot + size)) for spot in spots), said.max_in_flight)
    return found
