"""One placement tried: what each GPU then holds, whether that fits, and what remains for the KV caches."""

from __future__ import annotations

from dataclasses import dataclass, replace

from a1_trt.build import memory
from a1_trt.build.hardware import Gpu, ModelDimensions
from a1_trt.build.memory import GIB, RESERVE, MemoryRow, Quantization
from a1_trt.build.placement import Placement
from a1_trt.build.sizes import TOKENS_PER_BLOCK, Profile, Sizes
from a1_trt.config import Pair
from a1_trt.types import ROLES, Role

_LARGEST_FRACTION = 0.95


@dataclass(frozen=True, slots=True)
class Fit:
    """What came of a placement.

    Args:
        fits: Every GPU has room for what it has to hold.
        short_gib: What is missing on the fullest GPU; negative is what is left.
        placement: Which GPU holds which role.
        quantization: Role -> weights.
        sizes: Role -> limits.
        memory: GiB by role and part, on each GPU of the role.
        kv_tokens: Role -> tokens that the KV cache holds.
        kv_fraction: Role -> share of the free memory that it takes.
        n_scoring: Scores at once.
    """

    fits: bool
    short_gib: float
    placement: Placement
    quantization: dict[Role, Quantization]
    sizes: dict[Role, Sizes]
    memory: tuple[MemoryRow, ...]
    kv_tokens: dict[Role, int]
    kv_fraction: dict[Role, float]
    n_scoring: int


def try_placement(
    pair: Pair,
    profile: Profile,
    gpu: Gpu,
    models: dict[Role, ModelDimensions],
    sizes: dict[Role, Sizes],
    placement: Placement,
    quantization: dict[Role, Quantization],
) -> Fit:
    """Add up what a placement needs; as many scores at once as fit, at least one."""
    tried = _tried(pair, profile, gpu, models, sizes, placement, quantization, sizes["target"].max_batch_size)
    if sizes["target"].scoring != "context_logits" or profile == "tensorrt":
        return tried
    for n_scoring in range(sizes["target"].max_batch_size - 1, 0, -1):
        if tried.fits:
            break
        tried = _tried(pair, profile, gpu, models, sizes, placement, quantization, n_scoring)
    return tried


def _tried(
    pair: Pair,
    profile: Profile,
    gpu: Gpu,
    models: dict[Role, ModelDimensions],
    sizes: dict[Role, Sizes],
    placement: Placement,
    quantization: dict[Role, Quantization],
    n_scoring: int,
) -> Fit:
    fixed: dict[Role, list[MemoryRow]] = {
        role: [
            memory.weights(models[role], placement[role].split, quantization[role]),
            memory.runtime(profile, placement[role].split),
            memory.activations(models[role], placement[role].split, sizes[role]),
            memory.logits(models[role], sizes[role], profile, n_scoring),
        ]
        for role in ROLES
    }
    per_token = {
        role: memory.kv_bytes_per_token(models[role], placement[role].split, pair.role(role).gpu.kv_cache_dtype) / GIB
        for role in ROLES
    }
    needed = {role: sizes[role].kv_tokens * per_token[role] for role in ROLES}
    usable = gpu.memory_gib * (1 - RESERVE)
    fixed_gib = {role: sum(row.gib for row in fixed[role]) for role in ROLES}
    gpus = sorted(placement["draft"].gpus | placement["target"].gpus)
    held = {index: [role for role in ROLES if index in placement[role].gpus] for index in gpus}
    free = {index: usable - sum(fixed_gib[role] for role in held[index]) for index in gpus}
    short = max(sum(needed[role] for role in held[index]) - free[index] for index in gpus)
    # Roles that share a GPU divide what is free in proportion to what they need; a copy is as large as its fullest GPU.
    growth = {index: free[index] / sum(needed[role] for role in held[index]) for index in gpus}
    kv_gib = {role: needed[role] * max(1.0, min(growth[index] for index in placement[role].gpus)) for role in ROLES}
    fractions = {
        role: _fraction(
            role, gpu, fixed, fixed_gib, kv_gib, shared=any(len(held[index]) > 1 for index in placement[role].gpus)
        )
        for role in ROLES
    }
    fits, kv_gib, fractions, short = _with_overrides(pair, needed, kv_gib, fractions, short, free, placement)
    kv_tokens = {
        role: int(kv_gib[role] / per_token[role] / TOKENS_PER_BLOCK + 1e-9) * TOKENS_PER_BLOCK for role in ROLES
    }
    rows = [
        replace(row, role=role) for role in ROLES for row in (*fixed[role], _kv_row(role, kv_gib, kv_tokens, sizes))
    ]
    rows += _gpu_rows(gpu, usable, max(sum(fixed_gib[r] + kv_gib[r] for r in held[index]) for index in gpus))
    return Fit(fits, round(short, 3), placement, quantization, sizes, tuple(rows), kv_tokens, fractions, n_scoring)


def _kv_row(role: Role, kv_gib: dict[Role, float], kv_tokens: dict[Role, int], sizes: dict[Role, Sizes]) -> MemoryRow:
    text = f"{kv_tokens[role]} tokens; at least {sizes[role].kv_tokens}: {sizes[role].why['kv_tokens']}"
    if role == "target":
        text += "; the rest keeps prefixes of samples between their turns"
    return MemoryRow(role, "kv_cache", kv_gib[role], text)


def _gpu_rows(gpu: Gpu, usable: float, planned: float) -> list[MemoryRow]:
    return [
        MemoryRow("gpu", "total", gpu.memory_gib, f"what the driver of {gpu.name} reports"),
        MemoryRow("gpu", "reserve", gpu.memory_gib - usable, f"{RESERVE:.0%} are left alone"),
        MemoryRow("gpu", "planned", planned, "on the fullest GPU"),
        MemoryRow("gpu", "free", usable - planned, "total - reserve - planned"),
    ]


def _fraction(
    role: Role,
    gpu: Gpu,
    fixed: dict[Role, list[MemoryRow]],
    fixed_gib: dict[Role, float],
    kv_gib: dict[Role, float],
    *,
    shared: bool,
) -> float:
    """The share of the free memory that gives this KV cache when the engine looks, after weights and a trial run.

    With a neighbour, the worst case is that it is up already; where it is not, the number of tokens is the limit.
    """
    seen = gpu.memory_gib - sum(row.gib for row in fixed[role] if row.part != "logits")
    if shared:
        other: Role = "target" if role == "draft" else "draft"
        seen -= fixed_gib[other] + kv_gib[other]
    return round(min(_LARGEST_FRACTION, max(0.01, kv_gib[role] / seen if seen > 0 else 0.01)), 3)


def _with_overrides(
    pair: Pair,
    needed: dict[Role, float],
    kv_gib: dict[Role, float],
    fractions: dict[Role, float],
    short: float,
    free: dict[int, float],
    placement: Placement,
) -> tuple[bool, dict[Role, float], dict[Role, float], float]:
    """A fraction that the pair gives scales the KV cache; more than there is, or less than is needed, does not fit."""
    for role in ROLES:
        said = pair.role(role).gpu.kv_cache_fraction
        if said is None:
            continue
        kv_gib = {**kv_gib, role: kv_gib[role] * said / fractions[role]}
        fractions = {**fractions, role: said}
        short = max(short, needed[role] - kv_gib[role])
    for index, room in free.items():
        if any(pair.role(role).gpu.kv_cache_fraction is not None for role in ROLES):
            short = max(short, sum(kv_gib[role] for role in ROLES if index in placement[role].gpus) - room)
    return short <= 1e-9, kv_gib, fractions, short
