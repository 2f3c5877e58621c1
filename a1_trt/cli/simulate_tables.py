"""What simulated figures look like on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from a1_trt.cli.tables import number, percent, print_table, seconds, signed_percent, times
from a1_trt.simulate.report import layout_words
from a1_trt.types import ROLES

_COMPARED = ("recorded", "simulated", "error")


def show_run(document: dict[str, Any]) -> None:
    latency, tokens = document["problem_latency_s"] or {}, document["tokens"]
    rows = [
        ("layout", _layout(document["layout"])),
        ("makespan", seconds(document["makespan_s"], 1)),
        ("lower bound", f"{seconds(document['lower_bound_s'], 1)} ({percent(document['lower_bound_share'])})"),
        ("problems a minute", number(document["problems_per_min"], 2)),
        ("latency of a problem p50, p95", ", ".join(seconds(latency.get(name), 1) for name in ("p50", "p95"))),
        *((f"utilisation of the {role}", percent(document["utilisation"][role])) for role in ROLES),
        ("rejection rate", percent(document["rejection_rate"])),
        ("tokens draft, target, scored", ", ".join(f"{tokens[name]:,}" for name in ("draft", "target", "scored"))),
        ("simulated in", f"{seconds(document['wall_s'])}, {document['events']:,} events"),
    ]
    title = f"{document['strategy']}, {document['problems']} x {document['samples']} samples, simulated"
    print_table(("", document["pair"]), rows, title=title)


def show_sweep(document: dict[str, Any]) -> None:
    axes = list(document["axes"])
    rows = [
        [
            *(point["at"][name] for name in axes),
            seconds(point["makespan_s"], 1),
            times(point.get("speedup")),
            *_busy(point),
            percent(point["rejection_rate"]),
        ]
        for point in document["points"]
    ]
    columns = [*axes, "makespan", "over target-only", "draft busy", "target busy", "rejected"]
    print_table(columns, rows, title="simulated")


def show_plan(document: dict[str, Any]) -> None:
    goal, best = document["goal"], document["best"]
    percentile = f"p{goal['percentile']}"
    layouts = [best, *document["runners_up"]] if best else [document["nearest"]]
    rows = [
        [
            _layout(row["layout"]),
            f"{row['cost_per_hour']:g}",
            f"{row['alpha']:g}",
            seconds(row[f"latency_{percentile}_s"], 1),
            *_busy(row),
            "yes" if row["meets"] else "no",
        ]
        for row in layouts
    ]
    title = f"{goal['load_per_min']:g} problems a minute within {goal['latency_s']:g} s, simulated"
    title += "" if best else ": no layout meets it; the nearest one"
    columns = ("layout", "cost", "alpha", percentile, "draft busy", "target busy", "meets")
    print_table(columns, rows, title=title, prose="layout")
    changes = [
        (row["change"], seconds(row[f"latency_{percentile}_s"], 1), "yes" if row["meets"] else "no")
        for row in document["sensitivity"] or ()
    ]
    if changes:
        print_table(("the best layout, if", percentile, "meets"), changes, title=" ")


def show_fit(document: dict[str, Any]) -> None:
    names = ("overhead_s", "decode_s", "prefill_s", "call_s")
    constants = [
        (role, *(number(1e6 * values[name], 1, " us") for name in names), number(values["slowdown"], 2))
        for role, values in document["constants"].items()
    ]
    print_table(("fitted", "an iteration", "a token", "a prefilled token", "a call", "slowdown"), constants)
    runs = [
        (f"{run['strategy']} {run['repeat'] + 1}", "no" if run["held_out"] else "yes", *_compared(run["makespan_s"]))
        for run in document["runs"]
    ]
    print_table(("makespan of", "seen", *_COMPARED), runs, title=" ")
    calls = [
        (f"{run['strategy']}, {name}", *_compared(values, 3))
        for run in document["calls"]
        for name, values in run["call_s"].items()
    ]
    if calls:
        print_table(("calls of problems that were not seen", *_COMPARED), calls, title=" ")
    ratios = [(" / ".join(ratio["strategies"]), *_compared(ratio, 2, "")) for ratio in document["ratios"]]
    if ratios:
        print_table(("ratio of the makespans of", *_COMPARED), ratios, title=" ")


def show_gain(document: dict[str, Any]) -> None:
    simulated = document["simulated"]
    rows = [
        ("with the barrier", seconds(document["barrier_s"], 0), seconds(simulated["barrier_s"], 0)),
        ("without", seconds(document["list_s"], 0), seconds(simulated["list_s"], 0)),
        ("gain", times(document["gain"]), times(simulated["gain"])),
    ]
    title = f"{document['samples']} samples of {document['problems']} problems in {document['slots']} slots"
    print_table(("", "list scheduling", "simulator"), rows, title=title)


def show_paper(document: dict[str, Any]) -> None:
    rows = []
    for row in document["rows"]:
        paper = f"{row['paper']['marginal']:g} x, {row['paper']['conditional']:g} x"
        for name, speedup in row["speedup"].items():
            first = name == "published"
            rows.append((row["dataset"] if first else "", name, *map(times, speedup.values()), paper if first else ""))
    bases = document["rows"][0]["speedup"]["a1"]
    columns = ("", "rule", *(f"over {base}" for base in bases), "the paper: marginal, conditional")
    print_table(columns, rows, title="speed-up, simulated")


def _compared(values: Mapping[str, float], digits: int = 2, unit: str = " s") -> tuple[str, str, str]:
    recorded, simulated = (number(values[name], digits, unit) for name in ("recorded", "simulated"))
    return recorded, simulated, signed_percent(values["error"])


def _busy(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(percent(row["utilisation"][role]) for role in ROLES)


def _layout(layout: Mapping[str, Any] | None) -> str:
    return "fitted engines" if layout is None else layout_words(layout)
