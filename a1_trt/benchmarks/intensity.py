"""Asynchronous arithmetic intensity: what the time of a run went into, and classical intensity beside it.

    r = T_c / (T_m + T_s)                                    (arXiv 2509.15148, section 3)

T_c is time in computation, T_m time in memory access and T_s time spent waiting for synchronisation. All three are
counted in sample-seconds: a second in which one sample is computed, or waits. *Measured*: the time that samples spend
in the engines, and the time that they wait. *Estimated*: how the time in the engines divides into T_c and T_m, by the
roofline of the machine from the model's dimensions.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from a1_trt.benchmarks.blocks import BlockRecord, union_s
from a1_trt.benchmarks.document import blocks_of
from a1_trt.benchmarks.processor import Processor, processor
from a1_trt.benchmarks.strategies import CallRecord, strategy_of
from a1_trt.build.hardware import ModelDimensions, model_dimensions
from a1_trt.config import Pair
from a1_trt.errors import ConfigError
from a1_trt.types import ROLES, Role

_TIMES = ("t_c_s", "t_m_s", "t_s_s")


@dataclass(frozen=True, slots=True)
class Model:
    """A model; bytes of a weight and of a value in its KV cache; most prompt tokens in an iteration."""

    dimensions: ModelDimensions
    weight_bytes: float = 2.0
    kv_bytes: float = 4.0
    chunk_tokens: int = 256


@dataclass(frozen=True, slots=True)
class Work:
    """What an engine did: *estimated* FLOP and bytes (weights, and KV cache that decoding reads), *measured* busy_s."""

    flop: float
    n_bytes: float
    busy_s: float

    @property
    def intensity(self) -> float:
        """Classical arithmetic intensity F / B, FLOP a byte; 0 for an engine that did nothing."""
        return self.flop / self.n_bytes if self.n_bytes else 0.0

    def compute_share(self, processor: Processor) -> float:
        """Share of the engine's time that is computation: F / peak against F / peak + B / bandwidth."""
        computing_s, moving_s = self.flop / processor.flop_per_s, self.n_bytes / processor.bytes_per_s
        return computing_s / (computing_s + moving_s) if computing_s else 0.0


def report(document: Mapping[str, Any], pair: Pair, machine: Processor | None = None) -> dict[str, Any]:
    """The account of a comparison whose calls were kept, ready for JSON.

    `joined` has one row a strategy and setting; `accounts` one a block, see `intensity`. The processor is this
    machine's when None, which takes a second to measure. ConfigError: it holds no calls, or a model's dimensions are
    not known.
    """
    machine = machine or processor()
    models = {
        role: Model(
            model_dimensions(pair.role(role).model, pair.model_path(role)),
            kv_bytes=4.0 if pair.role(role).precision == "f32" else 1.0,
        )
        for role in ROLES
    }
    blocks = [block for block in blocks_of(document) if block.calls]
    if not blocks:
        message = "the comparison holds no calls"
        raise ConfigError(message, field="file", remedy="measure again with --keep-calls first or all")
    slots, one_in_flight = document["slots"], document["plan"]["n_in_flight"] == 1

    def account(block: BlockRecord) -> dict[str, Any]:
        keys = block.model_dump(include={"strategy", "n_samples", "max_turns", "repeat", "block", "wall_s"})
        alone = one_in_flight or strategy_of(block.strategy).one_at_a_time
        return {**keys, **intensity(block.named_calls(), slots, models, machine, one_at_a_time=alone)}

    accounts = [account(block) for block in blocks]
    return {"processor": asdict(machine), "joined": _joined(accounts), "accounts": accounts}


def _joined(accounts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per strategy and setting: the sums over blocks and repeats, their r, and its range over them."""
    keys = ("strategy", "n_samples", "max_turns")
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = defaultdict(list)
    for account in accounts:
        groups[tuple(account[key] for key in keys)].append(account)
    rows = []
    for setting, same in sorted(groups.items()):
        times = {name: sum(account[name] for account in same) for name in _TIMES}
        known = [account["r"] for account in same if account["r"] is not None]
        figures = {"r": _ratio(**times), "r_range": [min(known), max(known)] if known else None, "n_blocks": len(same)}
        rows.append({**dict(zip(keys, setting, strict=True)), **times, **figures})
    return rows


def _ratio(t_c_s: float, t_m_s: float, t_s_s: float) -> float | None:
    return t_c_s / (t_m_s + t_s_s) if t_m_s + t_s_s else None


def waits_s(calls: Sequence[CallRecord], slots: Mapping[Role, int]) -> dict[str, float]:
    """Sample-seconds between being ready for a call and its start, measured.

    "slot_s": while all slots of its engine were taken, so that another call was served; "barrier_s": while a slot was
    free, so that only the schedule held the sample back.
    """
    waits = {"slot_s": 0.0, "barrier_s": 0.0}
    for role in ROLES:
        own = [call for call in calls if call.role == role]
        full_until = _full_s(own, slots[role]) if own else None
        for call in own:
            taken_s = full_until(call.started_s) - full_until(call.wanted_s) if full_until else 0.0
            waits["slot_s"] += taken_s
            waits["barrier_s"] += max(0.0, call.started_s - call.wanted_s - taken_s)
    return waits


def straggling_s(calls: Iterable[CallRecord]) -> float:
    """Sample-seconds that done samples wait for the slowest one of their problem under a barrier, measured."""
    ends: dict[int, dict[int, float]] = defaultdict(dict)
    for call in calls:
        of_problem = ends[call.problem]
        of_problem[call.sample] = max(of_problem.get(call.sample, 0.0), call.ended_s)
    return sum(max(times.values()) * len(times) - sum(times.values()) for times in ends.values())


def work_of_engine(calls: Sequence[CallRecord], role: Role, model: Model) -> Work:
    """What an engine did, from its calls.

    A token costs 2 FLOP a weight of the layers and 4 FLOP a layer, head dimension and token of context; the head is
    paid for tokens that are generated or scored. A prompt is paid as far as the same sample's earlier calls, and for
    the problem's own text an earlier sample, have not left it in the KV cache.
    """
    calls = sorted((call for call in calls if call.role == role), key=lambda call: call.started_s)
    shape = model.dimensions
    per_token, per_context = 2.0 * shape.n_layer_parameters, 4.0 * shape.n_layers * shape.n_heads * shape.head_dim
    head = 2.0 * shape.n_embedding_parameters
    flop = prompt_tokens = new_tokens = context_read = 0.0
    cached: dict[tuple[int, int], int] = {}
    shared: dict[int, int] = {}
    for call in calls:
        key = (call.problem, call.sample)
        read = call.n_prompt_tokens + call.n_scored_tokens
        known = min(cached.get(key, shared.setdefault(call.problem, 0)), read)
        shared[call.problem] = shared[call.problem] or call.n_prompt_tokens
        cached[key] = read + call.n_new_tokens
        fresh = read - known
        context = read + call.n_new_tokens / 2.0
        flop += (fresh + call.n_new_tokens) * (per_token + per_context * context)
        flop += head * (call.n_new_tokens + call.n_scored_tokens)
        prompt_tokens, new_tokens = prompt_tokens + fresh, new_tokens + call.n_new_tokens
        context_read += call.n_new_tokens * context
    busy_s = union_s((call.started_s, call.ended_s) for call in calls)
    together = sum(call.duration_s for call in calls) / busy_s if busy_s else 1.0
    iterations = prompt_tokens / model.chunk_tokens + new_tokens / max(together, 1.0)
    weights = shape.n_parameters * model.weight_bytes
    return Work(flop, iterations * weights + context_read * shape.kv_bytes_per_token(model.kv_bytes), busy_s)


def intensity(
    calls: Sequence[CallRecord],
    slots: Mapping[Role, int],
    models: Mapping[Role, Model],
    processor: Processor,
    *,
    one_at_a_time: bool,
) -> dict[str, Any]:
    """The account of a run, ready for JSON.

    With `one_at_a_time` the next problem waits for the slowest sample: then done samples wait, too. "t_c_s" and "t_m_s"
    divide the measured time in the engines by estimate; "t_s_s" is measured; "waits" is what T_s is made of, and the
    time in slot queues, which is not synchronisation and not in T_s.
    """
    works = {role: work_of_engine(calls, role, models[role]) for role in ROLES}
    waits = waits_s(calls, slots)
    waits["straggling_s"] = straggling_s(calls) if one_at_a_time else 0.0
    times = dict.fromkeys(_TIMES, 0.0)
    for role in ROLES:
        in_engine_s = sum(call.duration_s for call in calls if call.role == role)
        share = works[role].compute_share(processor)
        times["t_c_s"] += share * in_engine_s
        times["t_m_s"] += (1.0 - share) * in_engine_s
    times["t_s_s"] = waits["barrier_s"] + waits["straggling_s"]
    return {
        **times,
        "r": _ratio(**times),
        "waits": waits,
        "roles": {
            role: {
                "flop": work.flop,
                "bytes": work.n_bytes,
                "intensity": work.intensity,
                "busy_s": work.busy_s,
                "flop_per_s": work.flop / work.busy_s if work.busy_s else 0.0,
                "compute_share": work.compute_share(processor),
            }
            for role, work in works.items()
        },
        "processor": asdict(processor),
        "measured": ["t_s_s", "waits", "busy_s", "t_c_s + t_m_s"],
        "estimated": ["t_c_s : t_m_s", "flop", "bytes", "intensity", "flop_per_s", "compute_share"],
    }


def _full_s(calls: Sequence[CallRecord], slots: int) -> Callable[[float], float]:
    """How long, up to a time, all slots were taken: a function of the time."""
    times = np.array([time_s for call in calls for time_s in (call.started_s, call.ended_s)])
    steps = np.array([step for _ in calls for step in (1, -1)])
    order = np.lexsort((steps, times))  # an end comes before a start at the same time
    times, in_flight = times[order], np.cumsum(steps[order])
    full = np.concatenate(([0.0], np.cumsum(np.diff(times) * (in_flight[:-1] >= slots))))
    return lambda time_s: float(np.interp(time_s, times, full))
