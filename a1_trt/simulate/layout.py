"""Where a pair's models stand: how many GPUs of a kind each role has, and how its engines are cut out of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from a1_trt.build.hardware import Gpu, GpuSpec, ModelDimensions, known_models, model_dimensions
from a1_trt.config import Pair, load_pair, make_pair
from a1_trt.errors import ConfigError, InvalidRequestError
from a1_trt.locations import find_model
from a1_trt.simulate.engine_model.costs import EngineCosts
from a1_trt.simulate.engine_model.roofline import Assumptions, Placement, engine_costs, engine_limits
from a1_trt.simulate.fleet import EnginePlan
from a1_trt.types import ROLES, Role

MAX_GPUS = 100_000
_MANY = re.compile(
    r"\s*(?:(?P<before>\d+)\s*[x*]\s*)?(?P<name>[A-Za-z][A-Za-z0-9._-]*?)\s*(?:[x*]\s*(?P<after>\d+))?\s*"
)
_PARALLEL = (1, 2, 4, 8, 16)


@dataclass(frozen=True, slots=True)
class RoleLayout:
    """The engines of one role.

    Args:
        n_engines: Engines; calls are spread over them, a chain stays with one.
        tensor_parallel: GPUs of each.
    """

    n_engines: int
    tensor_parallel: int

    @property
    def n_gpus(self) -> int:
        """GPUs of the role."""
        return self.n_engines * self.tensor_parallel


@dataclass(frozen=True, slots=True)
class Layout:
    """A deployment.

    Args:
        gpu: The kind of GPU.
        draft: The draft's engines.
        target: The target's engines.
        colocated: Both roles share the same GPUs, and their memory.
    """

    gpu: Gpu
    draft: RoleLayout
    target: RoleLayout
    colocated: bool = False

    @property
    def n_gpus(self) -> int:
        """GPUs in all."""
        return max(self.draft.n_gpus, self.target.n_gpus) if self.colocated else self.draft.n_gpus + self.target.n_gpus

    def role(self, role: Role) -> RoleLayout:
        """One role's engines."""
        return self.draft if role == "draft" else self.target

    def document(self) -> dict[str, object]:
        """The layout for a report.

        Example:
            >>> Layout(known_gpus()["l4-24g"], RoleLayout(1, 1), RoleLayout(2, 2)).document()["gpus"]
            5
        """
        roles: dict[str, object] = {
            role: {"engines": self.role(role).n_engines, "tensor_parallel": self.role(role).tensor_parallel}
            for role in ROLES
        }
        return {"gpu": self.gpu.name, "gpus": self.n_gpus, **roles, "colocated": self.colocated}


def parse_gpus(text: str) -> tuple[Gpu, int]:
    """Read "H100x8", "8 x h100-80g" or "L4": the largest GPU of a name that several share.

    Raises:
        ConfigError: There is no such GPU, or no such number of them.

    Example:
        >>> gpu, count = parse_gpus("H100x8")
        >>> gpu.name, count
        ('h100-80g', 8)
    """
    found = _MANY.fullmatch(text[:200])
    counts = [int(number[:9]) for number in (found["before"], found["after"]) if number] if found else []
    if found is None or len(counts) > 1 or not 1 <= (counts or [1])[0] <= MAX_GPUS:
        raise ConfigError(f"{text[:60]!r} is no number of GPUs", field="gpu", remedy="write NAMExN, such as H100x8")
    # Only the number may be larger here than on one machine.
    return GpuSpec.parse(found["name"].lower()).gpu, (counts or [1])[0]


def open_pair(text: str) -> Pair:
    """A pair by name or file, or "DRAFT+TARGET" of two models whose dimensions are known.

    Raises:
        ConfigError: There is no such pair.

    Example:
        >>> open_pair("Qwen/Qwen2.5-7B-Instruct+Qwen/QwQ-32B").target.model
        'Qwen/QwQ-32B'
    """
    draft, plus, target = text.partition("+")
    if not plus or not {draft, target} <= known_models().keys():
        return load_pair(text)
    roles = {
        role: {"model": model, "engine": "tensorrt_llm", "prompt": "chat"}
        for role, model in (("draft", draft), ("target", target))
    }
    return make_pair({"name": f"{draft.split('/')[-1]}-{target.split('/')[-1]}", **roles})


def dimensions(pair: Pair, role: Role) -> ModelDimensions:
    """The shape of a role's model.

    Raises:
        ConfigError: It is not known.
    """
    model = pair.role(role).model
    if model in known_models():
        return known_models()[model]
    return model_dimensions(model, find_model(model, pair.path, f"{role}.model"))


@dataclass(frozen=True, slots=True)
class Deployment:
    """A pair on a layout, ready to be simulated.

    Args:
        pair: The pair.
        layout: Where its models stand.
        assumed: What the data sheets do not say.
        in_flight: Most calls in flight of one engine; as the pair has it when not given.
    """

    pair: Pair
    layout: Layout
    assumed: Assumptions = field(default_factory=Assumptions.stated)
    in_flight: Mapping[Role, int] = field(default_factory=dict)

    def placement(self, role: Role) -> Placement:
        """A role's model on one of its engines' GPUs."""
        said, shape = self.pair.role(role).gpu, dimensions(self.pair, role)
        return Placement(
            shape,
            self.layout.gpu,
            self.layout.role(role).tensor_parallel,
            quantization=_quantization(said.quantization, shape),
            kv_cache_dtype=said.kv_cache_dtype,
            memory_share=self._memory_share(role),
            keeps_logits=role == "target" and said.scoring == "context_logits",
        )

    def plan(self, role: Role) -> EnginePlan:
        """A role's engines for the fleet.

        Raises:
            ConfigError: The model does not fit.
        """
        placement, layout, said = self.placement(role), self.layout.role(role), self.pair.role(role)
        costs: EngineCosts = engine_costs(placement, self.assumed)
        if self.layout.colocated:
            costs = replace(costs, shared_slowdown=self.assumed.colocated_slowdown)
        limits = engine_limits(placement, self.assumed, said.max_context_tokens)
        in_flight = self.in_flight.get(role, said.max_in_flight)
        return EnginePlan(costs, limits, layout.n_engines, in_flight * layout.n_engines)

    def _memory_share(self, role: Role) -> float:
        """Colocated models get what their weights take of both, so that each has KV cache in proportion."""
        if not self.layout.colocated:
            return 1.0
        sizes = {each: float(dimensions(self.pair, each).n_parameters) for each in ROLES}
        return max(0.1, min(0.9, sizes[role] / sum(sizes.values())))


def _quantization(said: str, shape: ModelDimensions) -> str:
    if said not in ("none", "auto"):
        return said
    named = (shape.quantization or "none").lower()
    for kind in ("nvfp4", "fp8"):
        if kind in named:
            return kind
    return "int4_awq" if "awq" in named or "w4a16" in named else "none"


def smallest_parallel(pair: Pair, role: Role, gpu: Gpu, assumed: Assumptions) -> int:
    """The fewest GPUs, a power of two, on which a role's model leaves as much room as it takes itself.

    Raises:
        ConfigError: Sixteen are not enough.
    """
    said, shape = pair.role(role).gpu, dimensions(pair, role)
    weights = Placement(shape, gpu, quantization=_quantization(said.quantization, shape)).weight_bytes
    for count in _PARALLEL:
        if shape.n_kv_heads % min(count, shape.n_kv_heads) == 0 and 1.6 * weights <= count * gpu.memory_gib * 2**30:
            return count
    raise ConfigError(f"{shape.name} does not fit {_PARALLEL[-1]} x {gpu.name}", field="gpu", remedy="take larger GPUs")


def default_layout(pair: Pair, gpu: Gpu, n_gpus: int, assumed: Assumptions) -> Layout:
    """A third of the GPUs for the draft, as the published code has it, the others for the target; one GPU for both.

    Raises:
        ConfigError: The models do not fit.
    """
    widths = {role: pair.role(role).gpu.tensor_parallel for role in ROLES}
    draft = widths["draft"] or smallest_parallel(pair, "draft", gpu, assumed)
    target = widths["target"] or smallest_parallel(pair, "target", gpu, assumed)
    if n_gpus == 1:
        return Layout(gpu, RoleLayout(1, 1), RoleLayout(1, 1), colocated=True)
    if draft + target > n_gpus:
        raise InvalidRequestError(
            f"{n_gpus} x {gpu.name} are not enough: the draft needs {draft} and the target {target}",
            field="gpu",
            remedy=f"take at least {draft + target}",
        )
    n_target = max(1, (n_gpus - max(draft, n_gpus // 3)) // target)
    n_draft = max(1, (n_gpus - n_target * target) // draft)
    return Layout(gpu, RoleLayout(n_draft, draft), RoleLayout(n_target, target))
