"""Which GPU holds which role."""

from collections.abc import Iterator
from dataclasses import dataclass

from a1_trt.build.hardware import ModelDimensions
from a1_trt.build.memory import Split
from a1_trt.config import Pair
from a1_trt.errors import ConfigError
from a1_trt.types import Role

WIDTHS = (1, 2, 4, 8)  # GPUs that share each layer, where the pair does not say how many


@dataclass(frozen=True, slots=True)
class RolePlacement:
    """How a copy of a role's model is spread, and the GPUs of each copy, by index."""

    split: Split
    replicas: tuple[tuple[int, ...], ...]

    @property
    def gpus(self) -> frozenset[int]:
        return frozenset(gpu for replica in self.replicas for gpu in replica)


Placement = dict[Role, RolePlacement]


def place(split: Split, start: int = 0, n_replicas: int = 1) -> RolePlacement:
    starts = range(start, start + n_replicas * split.n_gpus, split.n_gpus)
    return RolePlacement(split, tuple(tuple(range(first, first + split.n_gpus)) for first in starts))


def placements(pair: Pair, models: dict[Role, ModelDimensions], n_gpus: int) -> Iterator[Placement]:
    """Every way to place a pair on `n_gpus` that makes sense, the best first.

    Roles on GPUs of their own come before roles that share GPUs: they neither wait for each other's kernels nor divide
    the memory. Within these, the draft takes as few GPUs and the target as many as it can.
    """
    drafts = splits(pair, "draft", models["draft"], n_gpus)
    targets = splits(pair, "target", models["target"], n_gpus)[::-1]
    n_draft, n_target = pair.draft.gpu.replicas, pair.target.gpu.replicas
    for shared in (False, True):
        for draft in drafts:
            for target in targets:
                start = 0 if shared else draft.n_gpus * n_draft
                if max(draft.n_gpus * n_draft, start + target.n_gpus * n_target) <= n_gpus:
                    yield {"draft": place(draft, 0, n_draft), "target": place(target, start, n_target)}


def splits(pair: Pair, role: Role, model: ModelDimensions, n_gpus: int) -> list[Split]:
    """Ways to spread one copy of a role over at most `n_gpus`, the smallest first; ConfigError where there is none."""
    options = pair.role(role).gpu
    if options.pipeline_parallel > model.n_layers:
        layers = f"{model.n_layers} layers"
        raise _does_not_divide(pair, f"{role}.gpu.pipeline_parallel", options.pipeline_parallel, layers)
    widths = [options.tensor_parallel] if options.tensor_parallel else WIDTHS
    dividing = [Split(width, options.pipeline_parallel) for width in widths if _divides(width, model)]
    if not dividing:
        heads = f"{model.n_heads} heads, {model.n_kv_heads} of keys and values"
        raise _does_not_divide(pair, f"{role}.gpu.tensor_parallel", options.tensor_parallel or 1, heads)
    fitting = [split for split in dividing if split.n_gpus * options.replicas <= n_gpus]
    if not fitting:
        smallest, copies = dividing[0], f", {options.replicas} replicas" if options.replicas > 1 else ""
        message = f"the {role} needs {smallest.n_gpus * options.replicas} GPUs ({smallest}{copies}), there are {n_gpus}"
        remedy = "give more GPUs, or lower tensor_parallel, pipeline_parallel or replicas"
        raise ConfigError(message, path=str(pair.path), field=f"{role}.gpu", remedy=remedy)
    return fitting


def _divides(width: int, model: ModelDimensions) -> bool:
    n_kv = model.n_kv_heads
    return model.n_heads % width == 0 and (n_kv % width == 0 or width % n_kv == 0) and model.intermediate % width == 0


def _does_not_divide(pair: Pair, field: str, value: int, what: str) -> ConfigError:
    message = f"{field} is {value}, which does not divide a model with {what}"
    remedy = "choose a number that divides them, or leave the key out"
    return ConfigError(message, path=str(pair.path), field=field, remedy=remedy)
