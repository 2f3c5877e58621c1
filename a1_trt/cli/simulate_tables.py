"""What simulated figures look like on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from a1_trt.cli.output import percent
from a1_trt.simulate.report import layout_words
from a1_trt.types import ROLES


def _print(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def _layout(said: Mapping[str, Any] | None) -> str:
    return "fitted engines" if said is None else layout_words(said)


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} x"


def say_run(document: dict[str, Any]) -> None:
    """One run."""
    latency, tokens = document["problem_latency_s"] or {}, document["tokens"]
    rows = [
        ("layout", _layout(document["layout"])),
        ("makespan", f"{document['makespan_s']:.1f} s"),
        ("lower bound", f"{document['lower_bound_s']:.1f} s ({percent(document['lower_bound_share'])})"),
        ("problems a minute", f"{document['problems_per_min'] or 0:.2f}"),
        ("latency of a problem p50, p95", f"{latency.get('p50', 0):.1f} s, {latency.get('p95', 0):.1f} s"),
        *((f"utilisation of the {role}", percent(document["utilisation"][role])) for role in ROLES),
        ("rejection rate", percent(document["rejection_rate"])),
        ("tokens draft, target, scored", f"{tokens['draft']:,}, {tokens['target']:,}, {tokens['scored']:,}"),
        ("simulated in", f"{document['wall_s']:.2f} s, {document['events']:,} events"),
    ]
    title = f"{document['strategy']}, {document['problems']} x {document['samples']} samples, simulated"
    _print(title, ("", document["pair"]), rows)


def say_sweep(document: dict[str, Any]) -> None:
    """All points."""
    names = list(document["axes"])
    rows = [
        [
            *(str(point["at"][name]) for name in names),
            f"{point['makespan_s']:.1f} s",
            _times(point.get("speedup")),
            *(percent(point["utilisation"][role]) for role in ROLES),
            percent(point["rejection_rate"]),
        ]
        for point in document["points"]
    ]
    columns = [*names, "makespan", "over target-only", "draft busy", "target busy", "rejected"]
    _print("simulated", columns, rows)


def say_plan(document: dict[str, Any]) -> None:
    """The best layout, the runners-up and the sensitivity."""
    goal, key = document["goal"], f"latency_p{document['goal']['percentile']}_s"
    found = [document["best"], *document["runners_up"]] if document["best"] else [document["nearest"]]
    rows = [
        [
            _layout(row["layout"]),
            f"{row['cost_per_hour']:g}",
            f"{row['alpha']:g}",
            f"{row[key]:.1f} s",
            *(percent(row["utilisation"][role]) for role in ROLES),
            "yes" if row["meets"] else "no",
        ]
        for row in found
    ]
    title = f"{goal['load_per_min']:g} problems a minute within {goal['latency_s']:g} s, simulated"
    title += "" if document["best"] else ": no layout meets it; the nearest one"
    _print(title, ("layout", "cost", "alpha", f"p{goal['percentile']}", "draft busy", "target busy", "meets"), rows)
    if document["sensitivity"]:
        rows = [
            [row["change"], f"{row[key]:.1f} s", "yes" if row["meets"] else "no"] for row in document["sensitivity"]
        ]
        _print("the best layout, if", ("", f"p{goal['percentile']}", "meets"), rows)


def say_fit(document: dict[str, Any]) -> None:
    """Constants and errors."""
    constants = [
        [
            role,
            *(f"{1e6 * said[name]:.1f} us" for name in ("overhead_s", "decode_s", "prefill_s", "call_s")),
            f"{said['slowdown']:.2f}",
        ]
        for role, said in document["constants"].items()
    ]
    _print("fitted", ("", "an iteration", "a token", "a prefilled token", "a call", "slowdown"), constants)
    rows = [
        [
            f"{run['strategy']} {run['repeat'] + 1}",
            "no" if run["held_out"] else "yes",
            f"{run['makespan_s']['recorded']:.2f} s",
            f"{run['makespan_s']['simulated']:.2f} s",
            f"{100 * run['makespan_s']['error']:+.1f} %",
        ]
        for run in document["runs"]
    ]
    _print("makespans", ("run", "seen", "recorded", "simulated", "error"), rows)
    calls = [
        [f"{run['strategy']}, {name}", *_compared(said)]
        for run in document["calls"]
        for name, said in run["call_s"].items()
    ]
    if calls:
        _print("calls of problems that were not seen", ("", "recorded", "simulated", "error"), calls)
    ratios = [
        [
            " / ".join(item["strategies"]),
            f"{item['recorded']:.2f}",
            f"{item['simulated']:.2f}",
            f"{100 * item['error']:+.1f} %",
        ]
        for item in document["ratios"]
    ]
    if ratios:
        _print("ratios", ("makespans of", "recorded", "simulated", "error"), ratios)


def _compared(said: Mapping[str, float]) -> tuple[str, str, str]:
    return f"{said['recorded']:.3f} s", f"{said['simulated']:.3f} s", f"{100 * said['error']:+.1f} %"


def say_gain(document: dict[str, Any]) -> None:
    """What the barrier between problems costs."""
    simulated = document["simulated"]
    rows = [
        ["with the barrier", f"{document['barrier_s']:.0f} s", f"{simulated['barrier_s']:.0f} s"],
        ["without", f"{document['list_s']:.0f} s", f"{simulated['list_s']:.0f} s"],
        ["gain", _times(document["gain"]), _times(simulated["gain"])],
    ]
    title = f"{document['samples']} samples of {document['problems']} problems in {document['slots']} slots"
    _print(title, ("", "list scheduling", "simulator"), rows)


def say_paper(document: dict[str, Any]) -> None:
    """The table of the paper beside the simulation."""
    rows = []
    for row in document["rows"]:
        for name, speedup in row["speedup"].items():
            rows.append(
                [
                    row["dataset"] if name == "published" else "",
                    name,
                    *(_times(speedup[base]) for base in speedup),
                    f"{row['paper']['marginal']:g} x, {row['paper']['conditional']:g} x" if name == "published" else "",
                ]
            )
    bases = list(document["rows"][0]["speedup"]["a1"])
    _print(
        "speed-up, simulated", ("", "", *(f"over {base}" for base in bases), "the paper: marginal, conditional"), rows
    )
