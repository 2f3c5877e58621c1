"""Which GPU holds which role."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from a1_trt.build.hardware import ModelDimensions
from a1_trt.build.memory import Split
from a1_trt.config import Pair
from a1_trt.errors import ConfigError
from a1_trt.pair_sections import GpuRole
from a1_trt.types import Role


@dataclass(frozen=True, slots=True)
class Place:
    """The GPUs of one role.

    Args:
        split: How a copy is spread.
        replicas: The GPUs of each copy.
    """

    split: Split
    replicas: tuple[tuple[int, ...], ...]

    @property
    def gpus(self) -> frozenset[int]:
        """All GPUs of the role."""
        return frozenset(gpu for replica in self.replicas for gpu in replica)


Placement = dict[Role, Place]


def placements(pair: Pair, models: dict[Role, ModelDimensions], n_gpus: int) -> Iterator[Placement]:
    """Every way to place a pair on `n_gpus` that makes sense, the best first.

    Roles on GPUs of their own come before roles that share GPUs: they neither wait for each other's kernels nor divide
    the memory. Within these, the draft takes as few GPUs and the target as many as it can.

    Raises:
        ConfigError: What the pair says needs more GPUs than there are, or does not divide the model.
    """
    drafts = list(_splits(pair, "draft", models, n_gpus))
    targets = list(reversed(list(_splits(pair, "target", models, n_gpus))))
    n_draft, n_target = pair.draft.gpu.replicas, pair.target.gpu.replicas
    for draft in drafts:
        for target in targets:
            if draft.n_gpus * n_draft + target.n_gpus * n_target <= n_gpus:
                start = draft.n_gpus * n_draft
                yield {"draft": _place(draft, n_draft, 0), "target": _place(target, n_target, start)}
    for draft in drafts:
        for target in targets:
            if max(draft.n_gpus * n_draft, target.n_gpus * n_target) <= n_gpus:
                yield {"draft": _place(draft, n_draft, 0), "target": _place(target, n_target, 0)}


def _place(split: Split, n_replicas: int, start: int) -> Place:
    size = split.n_gpus
    return Place(split, tuple(tuple(range(start + i * size, start + (i + 1) * size)) for i in range(n_replicas)))


def _splits(pair: Pair, role: Role, models: dict[Role, ModelDimensions], n_gpus: int) -> Iterator[Split]:
    """Ways to spread one copy of a role, the smallest first."""
    said, model = pair.role(role).gpu, models[role]
    if said.pipeline_parallel > model.n_layers:
        raise _wrong(pair, f"{role}.gpu.pipeline_parallel", said.pipeline_parallel, f"{model.n_layers} layers")
    wanted = [said.tensor_parallel] if said.tensor_parallel else [1, 2, 4, 8]
    found = [Split(n, said.pipeline_parallel) for n in wanted if _divides(n, model)]
    if not found:
        heads = f"{model.n_heads} heads, {model.n_kv_heads} of keys and values"
        raise _wrong(pair, f"{role}.gpu.tensor_parallel", said.tensor_parallel or 1, heads)
    fitting = [split for split in found if split.n_gpus * said.replicas <= n_gpus]
    if not fitting:
        raise ConfigError(
            f"the {role} needs {found[0].n_gpus * said.replicas} GPUs ({_said(said, found[0])}), there are {n_gpus}",
            path=str(pair.path),
            field=f"{role}.gpu",
            remedy="give more GPUs, or lower tensor_parallel, pipeline_parallel or replicas",
        )
    yield from fitting


def _divides(n: int, model: ModelDimensions) -> bool:
    kv = model.n_kv_heads
    return model.n_heads % n == 0 and (kv % n == 0 or n % kv == 0) and model.intermediate % n == 0


def _said(said: GpuRole, split: Split) -> str:
    return f"{split}" + (f", {said.replicas} replicas" if said.replicas > 1 else "")


def _wrong(pair: Pair, field: str, value: int, what: str) -> ConfigError:
    return ConfigError(
        f"{field} is {value}, which does not divide a model with {what}",
        path=str(pair.path),
        field=field,
        remedy="choose a number that divides them, or leave the key out",
    )
