"""Busy time and utilisation of a timeline, worked out by hand."""

from __future__ import annotations

from a1_trt.benchmarks.blocks import union_s, utilisation, work_of
from a1_trt.benchmarks.strategies import CallRecord


def test_busy_time_is_a_union() -> None:
    assert union_s([]) == 0.0
    assert union_s([(0.0, 5.0), (1.0, 2.0), (4.0, 6.0), (8.0, 9.0)]) == 7.0


def test_work_and_utilisation_of_a_timeline() -> None:
    def call(role, started_s, ended_s, end="done"):
        return CallRecord(role, "draft", 0, 0, 0, started_s - 0.5, started_s, ended_s, 7, 3, 0, end)

    calls = [call("draft", 1.0, 3.0), call("draft", 2.0, 4.0, "cancelled"), call("target", 3.0, 9.0)]
    work = {role: work_of(calls, role) for role in ("draft", "target")}
    assert (work["draft"].busy_s, work["draft"].slot_s, work["draft"].waiting_s) == (3.0, 4.0, 1.0)
    assert (work["draft"].calls, work["draft"].cancelled_calls, work["draft"].new_tokens) == (2, 1, 6)
    shares = utilisation(work, {"draft": 2, "target": 1}, 10.0)
    assert (shares["draft"], shares["target"], shares["target_slots"]) == (0.3, 0.6, 0.6)
    assert shares["lower_bound_s"] == 6.0
    assert shares["of_lower_bound"] == 0.6
