"""Asynchronous arithmetic intensity: what the time of a run went into, and classical intensity beside it.

    r = T_c / (T_m + T_s)                                    (arXiv 2509.15148, section 3)

T_c is time in computation, T_m time in memory access and T_s time spent waiting for synchronisation. All three are
counted in sample-seconds: a second in which one sample is computed, or waits. *Measured*: the time that samples spend
in the engines, and the time that they wait. *Estimated*: how the time in the engines divides into T_c and T_m, by the
roofline of the machine from the model's dimensions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from a1_trt.benchmarks.strategies import CallRecord
from a1_trt.benchmarks.utilization import union_s
from a1_trt.build.hardware import ModelDimensions
from a1_trt.types import ROLES, Role


@dataclass(frozen=True, slots=True)
class Processor:
    """The two ends of the roofline.

    Args:
        flop_per_s: Peak arithmetic, FLOP/s.
        bytes_per_s: Peak memory traffic, bytes/s.
        source: Where the figures are from: a measurement, or a data sheet.
    """

    flop_per_s: float
    bytes_per_s: float
    source: str


@dataclass(frozen=True, slots=True)
class Model:
    """A model and how its engine runs it.

    Args:
        dimensions: Its shape.
        weight_bytes: Bytes of a weight.
        kv_bytes: Bytes of a value in the KV cache.
        chunk_tokens: Most prompt tokens in an iteration.
    """

    dimensions: ModelDimensions
    weight_bytes: float = 2.0
    kv_bytes: float = 4.0
    chunk_tokens: int = 256


@dataclass(frozen=True, slots=True)
class Work:
    """What an engine did in a run, *estimated* from its calls and its model's dimensions.

    Args:
        flop: Multiplications and additions.
        n_bytes: Memory traffic: weights once an iteration, and the KV cache that decoding reads.
        busy_s: Seconds in which it had any call (measured).
    """

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


def waits_s(calls: Sequence[CallRecord], slots: Mapping[Role, int]) -> dict[str, float]:
    """Sample-seconds between being ready for a call and its start, measured.

    Returns:
        "slot_s": while all slots of its engine were taken, so that somebody else was served; "barrier_s": while a slot
        was free, so that only the schedule held the sample back.

    Example:
        >>> first = CallRecord("draft", "draft", 0, 0, 0, 0.0, 0.0, 2.0, 8, 4, 0)
        >>> second = CallRecord("draft", "draft", 0, 1, 0, 0.0, 3.0, 4.0, 8, 4, 0)
        >>> waits_s([first, second], {"draft": 1, "target": 1})
        {'slot_s': 2.0, 'barrier_s': 1.0}
    """
    found = {"slot_s": 0.0, "barrier_s": 0.0}
    for role in ROLES:
        mine = [call for call in calls if call.role == role]
        if not mine:
            continue
        full = _full_s(mine, slots[role])
        for call in mine:
            taken_s = full(call.started_s) - full(call.wanted_s)
            found["slot_s"] += taken_s
            found["barrier_s"] += max(0.0, call.started_s - call.wanted_s - taken_s)
    return found


def straggling_s(calls: Iterable[CallRecord]) -> float:
    """Sample-seconds between the last call of a sample and the last one of its problem, measured.

    Under a barrier between problems a sample that is done waits for the slowest one, with its slot.
    """
    ends: dict[int, dict[int, float]] = defaultdict(dict)
    for call in calls:
        of_problem = ends[call.problem]
        of_problem[call.sample] = max(of_problem.get(call.sample, 0.0), call.ended_s)
    return sum(max(each.values()) * len(each) - sum(each.values()) for each in ends.values())


def work_of_engine(calls: Sequence[CallRecord], role: Role, model: Model) -> Work:
    """What an engine did, from its calls.

    A token costs 2 FLOP a weight of the layers and 4 FLOP a layer, head dimension and token of context; the head is
    paid for tokens that are generated or scored. A prompt is paid as far as the same sample's earlier calls, and for
    the problem's own text an earlier sample, have not left it in the KV cache.
    """
    mine = sorted((call for call in calls if call.role == role), key=lambda call: call.started_s)
    said = model.dimensions
    per_token, per_context = 2.0 * said.n_layer_parameters, 4.0 * said.n_layers * said.n_heads * said.head_dim
    head = 2.0 * said.n_embedding_parameters
    flop = prompt_tokens = new_tokens = context_read = 0.0
    cached: dict[tuple[int, int], int] = {}
    shared: dict[int, int] = {}
    for call in mine:
        key = (call.problem, call.sample)
        read = call.n_prompt_tokens + call.n_scored_tokens
        known = min(cached.get(key, shared.setdefault(call.problem, 0)), read)
        shared[call.problem] = shared[call.problem] or call.n_prompt_tokens
        cached[key] = read + call.n_new_tokens
        fresh = read - known
        tokens = fresh + call.n_new_tokens
        context = read + call.n_new_tokens / 2.0
        flop += tokens * (per_token + per_context * context) + head * (call.n_new_tokens + call.n_scored_tokens)
        prompt_tokens, new_tokens = prompt_tokens + fresh, new_tokens + call.n_new_tokens
        context_read += call.n_new_tokens * context
    busy_s = union_s((call.started_s, call.ended_s) for call in mine)
    together = sum(call.duration_s for call in mine) / busy_s if busy_s else 1.0
    iterations = prompt_tokens / model.chunk_tokens + new_tokens / max(together, 1.0)
    weights = said.n_parameters * model.weight_bytes
    return Work(flop, iterations * weights + context_read * said.kv_bytes_per_token(model.kv_bytes), busy_s)


def intensity(
    calls: Sequence[CallRecord],
    slots: Mapping[Role, int],
    models: Mapping[Role, Model],
    processor: Processor,
    *,
    one_at_a_time: bool,
) -> dict[str, Any]:
    """The account of a run, ready for JSON.

    Args:
        calls: All calls of the run.
        slots: Most calls in flight per role.
        models: The models.
        processor: The machine.
        one_at_a_time: Whether the next problem waits for the slowest sample: then done samples wait, too.

    Returns:
        "t_c_s" and "t_m_s" (estimated division of the measured time in the engines), "t_s_s" (measured), "r",
        "waits" (what T_s is made of, and the time in slot queues, which is not synchronisation and not in T_s), and per
        role "flop", "bytes", "intensity", "busy_s", "flop_per_s" and "compute_share".
    """
    works = {role: work_of_engine(calls, role, models[role]) for role in ROLES}
    waits = waits_s(calls, slots)
    waits["straggling_s"] = straggling_s(calls) if one_at_a_time else 0.0
    t_c = t_m = 0.0
    for role in ROLES:
        in_engine_s = sum(call.duration_s for call in calls if call.role == role)
        share = works[role].compute_share(processor)
        t_c, t_m = t_c + share * in_engine_s, t_m + (1.0 - share) * in_engine_s
    t_s = waits["barrier_s"] + waits["straggling_s"]
    return {
        "t_c_s": t_c,
        "t_m_s": t_m,
        "t_s_s": t_s,
        "r": t_c / (t_m + t_s) if t_m + t_s else None,
        "waits": waits,
        "roles": {role: _figures(works[role], processor) for role in ROLES},
        "processor": asdict(processor),
        "measured": ["t_s_s", "waits", "busy_s", "t_c_s + t_m_s"],
        "estimated": ["t_c_s : t_m_s", "flop", "bytes", "intensity", "flop_per_s", "compute_share"],
    }


def _figures(work: Work, processor: Processor) -> dict[str, Any]:
    return {
        "flop": work.flop,
        "bytes": work.n_bytes,
        "intensity": work.intensity,
        "busy_s": work.busy_s,
        "flop_per_s": work.flop / work.busy_s if work.busy_s else 0.0,
        "compute_share": work.compute_share(processor),
    }


def _full_s(calls: Sequence[CallRecord], slots: int) -> Any:
    """How long, up to a time, all slots were taken: a function of the time."""
    times = np.array([each for call in calls for each in (call.started_s, call.ended_s)])
    steps = np.array([each for _ in calls for each in (1, -1)])
    order = np.lexsort((steps, times))  # an end comes before a start at the same time
    times, in_flight = times[order], np.cumsum(steps[order])
    full = np.concatenate(([0.0], np.cumsum(np.diff(times) * (in_flight[:-1] >= slots))))
    return lambda time_s: float(np.interp(time_s, times, full))
