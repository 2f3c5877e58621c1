"""How busy the engines were, from the calls of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from a1_trt.benchmarks.strategies import CallRecord
from a1_trt.types import ROLES, Role


def union_s(spans: Iterable[tuple[float, float]]) -> float:
    """Length of the union of time spans, seconds.

    Example:
        >>> union_s([(0.0, 2.0), (1.0, 3.0), (5.0, 6.0)])
        4.0
    """
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def work_of(calls: Sequence[CallRecord], role: Role) -> dict[str, Any]:
    """What an engine did: calls, tokens, seconds in which it had any call (busy), and seconds of all calls added up."""
    mine = [call for call in calls if call.role == role]
    return {
        "calls": len(mine),
        "cancelled_calls": sum(call.end == "cancelled" for call in mine),
        "failed_calls": sum(call.end == "failed" for call in mine),
        "new_tokens": sum(call.n_new_tokens for call in mine),
        "prompt_tokens": sum(call.n_prompt_tokens for call in mine),
        "scored_tokens": sum(call.n_scored_tokens for call in mine),
        "busy_s": union_s((call.started_s, call.ended_s) for call in mine),
        "slot_s": sum(call.duration_s for call in mine),
        "waiting_s": sum(call.started_s - call.wanted_s for call in mine),
    }


def utilisation(work: Mapping[Any, Mapping[str, float]], slots: Mapping[str, int], wall_s: float) -> dict[str, Any]:
    """How much of the time the engines were at work.

    Returns:
        Per role the share of wall time in which it had any call (`draft`, `target`) and the share of its slots that
        were taken (`draft_slots`, `target_slots`); `lower_bound_s`, the largest slot_s / slots of a role: no order of
        these very calls ends sooner with these slots; and `of_lower_bound`, the bound over wall time.

    Example:
        >>> work = {"draft": {"busy_s": 1.0, "slot_s": 2.0}, "target": {"busy_s": 4.0, "slot_s": 6.0}}
        >>> utilisation(work, {"draft": 2, "target": 2}, 5.0)["of_lower_bound"]
        0.6
    """
    bounds = {role: work[role]["slot_s"] / slots[role] for role in ROLES}
    lower_bound_s = max(bounds.values())
    return {
        **{role: work[role]["busy_s"] / wall_s if wall_s else None for role in ROLES},
        **{f"{role}_slots": bounds[role] / wall_s if wall_s else None for role in ROLES},
        "lower_bound_s": lower_bound_s,
        "of_lower_bound": lower_bound_s / wall_s if wall_s else None,
    }
