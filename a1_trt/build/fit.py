"""Whether a pair fits GPUs, and what remains for the KV caches: the sizes of every plan and of every simulation."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from a1_trt.build import memory
from a1_trt.build.hardware import Gpu, GpuSpec, ModelDimensions, model_dimensions
from a1_trt.build.memory import GIB, RESERVE, MemoryRow, Split
from a1_trt.build.placement import Placement, placements
from a1_trt.build.quantization import Quantization, combinations
from a1_trt.build.sizes import TOKENS_PER_BLOCK, Profile, Sizes, derive
from a1_trt.config import Pair
from a1_trt.errors import ConfigError
from a1_trt.types import ROLES, Role

_COUNTS = (1, 2, 4, 8)
_LARGEST_FRACTION = 0.95


@dataclass(frozen=True, slots=True)
class Fit:
    """What came of a placement; `memory` is on each GPU of a role, `kv_tokens` of each copy.

    `short_gib` is what is missing on the fullest GPU; negative is what is left. `kv_fraction` is the share of the free
    memory that the KV cache takes. What serves the target must not exceed `max_scoring_requests`.
    """

    fits: bool
    short_gib: float
    placement: Placement
    quantization: dict[Role, Quantization]
    sizes: dict[Role, Sizes]
    memory: tuple[MemoryRow, ...]
    kv_tokens: dict[Role, int]
    kv_fraction: dict[Role, float]
    max_scoring_requests: int

    @property
    def is_shared(self) -> bool:
        return bool(self.placement["draft"].gpus & self.placement["target"].gpus)


@dataclass(frozen=True, slots=True)
class Sizing:
    """A pair on one kind of GPU, before it is placed: the shape of each role's model and the limits of its engine.

    Example:
        >>> from a1_trt.config import make_pair
        >>> pair = make_pair({"name": "p", "draft": {"model": "Qwen/Qwen2.5-7B-Instruct"},
        ...     "target": {"model": "Qwen/QwQ-32B", "max_in_flight": 4}})
        >>> Sizing.of(pair, "pytorch", GpuSpec.parse("h100-80g").gpu).best(2).placement["target"].replicas
        ((0, 1),)
    """

    pair: Pair
    profile: Profile
    gpu: Gpu
    models: dict[Role, ModelDimensions]
    sizes: dict[Role, Sizes]

    @classmethod
    def of(cls, pair: Pair, profile: Profile, gpu: Gpu) -> Self:
        models = {role: _model(pair, role) for role in ROLES}
        return cls(pair, profile, gpu, models, {role: derive(pair, role, profile, models) for role in ROLES})

    def best(self, n_gpus: int) -> Fit:
        """The first placement on `n_gpus` that fits, with the least quantisation; or else the one that lacks least."""
        return self.first(list(placements(self.pair, self.models, n_gpus)))

    def first(self, candidates: Iterable[Placement]) -> Fit:
        tried: list[Fit] = []
        candidates = list(candidates)
        for quantization in combinations(self.pair, self.gpu, self.models):
            for placement in candidates:
                tried.append(self.fit(placement, quantization))
                if tried[-1].fits:
                    return tried[-1]
        return min(tried, key=lambda fit: fit.short_gib)

    def fit(self, placement: Placement, quantization: dict[Role, Quantization]) -> Fit:
        """Add up what one placement needs; as many scores at once as fit, at least one."""
        n_scoring = self.sizes["target"].max_batch_size
        fewer_help = self.sizes["target"].scoring == "context_logits" and self.profile == "pytorch"
        fit = self._fit(placement, quantization, n_scoring)
        while fewer_help and not fit.fits and n_scoring > 1:
            n_scoring -= 1
            fit = self._fit(placement, quantization, n_scoring)
        return fit

    def remedies(self, n_gpus: int) -> Iterator[str]:
        """Changes that fit, found by trying them: quantisation on these GPUs, and the least number of more of them."""
        automatic = replace(self, pair=_automatic(self.pair))
        more = [(sizing, count) for count in _COUNTS if count > n_gpus for sizing in (self, automatic)]
        for sizing, count in ((automatic, n_gpus), *more):
            try:
                fit = sizing.best(count)
            except ConfigError:
                continue
            if fit.fits:
                yield _remedy(self.pair, GpuSpec(self.gpu, count) if count > n_gpus else None, fit)
                if count > n_gpus:
                    return

    def _fit(self, placement: Placement, quantization: dict[Role, Quantization], n_scoring: int) -> Fit:
        fixed = {role: self._fixed_rows(role, placement[role].split, quantization[role], n_scoring) for role in ROLES}
        room = _Room(self, placement, {role: sum(row.gib for row in fixed[role]) for role in ROLES})
        kv_gib = room.divided()
        seen = {role: sum(row.gib for row in fixed[role] if row.part != "logits") for role in ROLES}
        fraction = {role: room.fraction(role, seen[role], kv_gib) for role in ROLES}
        chosen: dict[Role, float] = {}
        for role in ROLES:
            share = self.pair.role(role).gpu.kv_cache_fraction
            if share is not None:
                kv_gib[role] = chosen[role] = kv_gib[role] * share / fraction[role]
                fraction[role] = share
        short_gib = max(room.short_gib(chosen), room.planned_gib(kv_gib) - room.usable_gib if chosen else -math.inf)
        kv_tokens = {
            role: int(kv_gib[role] / room.kv_gib_per_token[role] / TOKENS_PER_BLOCK + 1e-9) * TOKENS_PER_BLOCK
            for role in ROLES
        }
        rows = [
            replace(row, role=role)
            for role in ROLES
            for row in (*fixed[role], _kv_row(role, kv_gib[role], kv_tokens[role], self.sizes[role]))
        ]
        rows += _gpu_rows(self.gpu, room.usable_gib, room.planned_gib(kv_gib))
        return Fit(
            fits=short_gib <= 1e-9,
            short_gib=round(short_gib, 3),
            placement=placement,
            quantization=quantization,
            sizes=self.sizes,
            memory=tuple(rows),
            kv_tokens=kv_tokens,
            kv_fraction=fraction,
            max_scoring_requests=n_scoring,
        )

    def _fixed_rows(self, role: Role, split: Split, quantization: Quantization, n_scoring: int) -> list[MemoryRow]:
        model, sizes = self.models[role], self.sizes[role]
        return [
            memory.weights(model, split, quantization),
            memory.runtime(self.profile, split),
            memory.activations(model, split, sizes),
            memory.logits(model, sizes, self.profile, n_scoring),
        ]


class _Room:
    """What is left on each GPU of a placement beside what does not depend on the KV cache; all sizes in GiB."""

    def __init__(self, sizing: Sizing, placement: Placement, fixed_gib: dict[Role, float]) -> None:
        self.usable_gib = sizing.gpu.memory_gib * (1 - RESERVE)
        self.kv_gib_per_token: dict[Role, float] = {
            role: memory.kv_bytes_per_token(
                sizing.models[role], placement[role].split, sizing.pair.role(role).gpu.kv_cache_dtype
            )
            / GIB
            for role in ROLES
        }
        self._total_gib = sizing.gpu.memory_gib
        self._fixed_gib = fixed_gib
        self._needed = {role: sizing.sizes[role].kv_tokens * self.kv_gib_per_token[role] for role in ROLES}
        gpus = sorted(placement["draft"].gpus | placement["target"].gpus)
        self._roles = {gpu: [role for role in ROLES if gpu in placement[role].gpus] for gpu in gpus}
        self._free = {gpu: self.usable_gib - sum(fixed_gib[role] for role in self._roles[gpu]) for gpu in gpus}

    def divided(self) -> dict[Role, float]:
        """KV cache of each role: those that share a GPU divide what is free in proportion to what they need."""
        growth = {gpu: self._free[gpu] / sum(self._needed[role] for role in held) for gpu, held in self._roles.items()}
        # A copy is as large as its fullest GPU allows.
        return {
            role: self._needed[role] * max(1.0, min(growth[gpu] for gpu, held in self._roles.items() if role in held))
            for role in ROLES
        }

    def fraction(self, role: Role, seen_gib: float, kv_gib: dict[Role, float]) -> float:
        """The share of the free memory that gives this KV cache when the engine looks, its neighbour being up."""
        free = self._total_gib - seen_gib
        if any(len(held) > 1 for held in self._roles.values() if role in held):
            other: Role = "target" if role == "draft" else "draft"
            free -= self._fixed_gib[other] + kv_gib[other]
        return round(min(_LARGEST_FRACTION, max(0.01, kv_gib[role] / free if free > 0 else 0.01)), 3)

    def short_gib(self, chosen_kv_gib: dict[Role, float]) -> float:
        """What is missing on the fullest GPU, or in a KV cache whose size the pair chooses."""
        missing = [sum(self._needed[role] for role in held) - self._free[gpu] for gpu, held in self._roles.items()]
        return max(*missing, *(self._needed[role] - kv_gib for role, kv_gib in chosen_kv_gib.items()), -math.inf)

    def planned_gib(self, kv_gib: dict[Role, float]) -> float:
        """On the fullest GPU."""
        return max(sum(self._fixed_gib[role] + kv_gib[role] for role in held) for held in self._roles.values())


def _model(pair: Pair, role: Role) -> ModelDimensions:
    model = pair.role(role).model
    base = pair.path.resolve().parent if pair.path else Path()
    try:
        return model_dimensions(model, base / Path(model).expanduser())
    except ConfigError as error:
        raise ConfigError(error.message, path=str(pair.path), field=f"{role}.model", remedy=error.remedy) from None


def _kv_row(role: Role, kv_gib: float, kv_tokens: int, sizes: Sizes) -> MemoryRow:
    text = f"{kv_tokens} tokens; at least {sizes.kv_tokens}: {sizes.why['kv_tokens']}"
    text += "; the rest keeps prefixes of samples between their turns" if role == "target" else ""
    return MemoryRow(role, "kv_cache", kv_gib, text)


def _gpu_rows(gpu: Gpu, usable_gib: float, planned_gib: float) -> list[MemoryRow]:
    return [
        MemoryRow("gpu", "total", gpu.memory_gib, f"what the driver of {gpu.name} reports"),
        MemoryRow("gpu", "reserve", gpu.memory_gib - usable_gib, f"{RESERVE:.0%} are left alone"),
        MemoryRow("gpu", "planned", planned_gib, "on the fullest GPU"),
        MemoryRow("gpu", "free", usable_gib - planned_gib, "total - reserve - planned"),
    ]


def _automatic(pair: Pair) -> Pair:
    roles: dict[str, Any] = {
        role: pair.role(role).model_copy(
            update={"gpu": pair.role(role).gpu.model_copy(update={"quantization": "auto", "tensor_parallel": None})}
        )
        for role in ROLES
    }
    return pair.model_copy(update=roles)


def _remedy(pair: Pair, larger: GpuSpec | None, fit: Fit) -> str:
    parts = [f"{larger}"] if larger else []
    parts += [
        f'{role}.gpu.quantization = "{fit.quantization[role]}"'
        for role in ROLES
        if pair.role(role).gpu.quantization not in ("auto", fit.quantization[role])
    ]
    return f"fits with {' and '.join(parts) or 'tensor_parallel left out'}"
