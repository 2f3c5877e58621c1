"""Plots of takeover rates and p-values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from a1_trt.benchmarks.statistics import Z95, band
from a1_trt.offline import WINDOW, Replay, rolling_rate
from a1_trt.offline.held_out import HeldOut
from a1_trt.offline.rates import report
from a1_trt.plotting import COLOURS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def replay_figure(done: Sequence[Replay]) -> Figure:
    figure, axes = new_figure(len(done), 3, width=13.0, height=3.0)
    for row, run in zip(axes, done, strict=True):
        rate_over_time(row[0], run)
        category_rates(row[1], run)
        p_value_histogram(row[2], run.p_values)
    return figure


def rate_over_time(ax: Any, done: Replay) -> None:
    """The rate over the latest 200 decisions, of all and by category, with the 95 % band of 200 independent ones."""
    low, high = band(done.alpha, WINDOW, Z95)
    ax.axhspan(low, high, color="0.9", label="95 % of a coin")
    ax.axhline(done.alpha, color="0.5", linewidth=0.8)
    x = done.takeovers.astype(np.float64)
    for code, name in enumerate(done.buckets):
        places = np.flatnonzero(done.bucket == code)
        if len(places) >= WINDOW:
            rates = rolling_rate(x[places])
            ax.plot(places[WINDOW - 1 :], rates, color=COLOURS[(code + 1) % len(COLOURS)], linewidth=0.8, label=name)
    rates = rolling_rate(x)
    ax.plot(np.arange(len(x) - len(rates), len(x)), rates, color=COLOURS[0], label="all")
    ax.set(
        title=f"{done.controller}, alpha {done.alpha}, {done.order}",
        xlabel="decisions",
        ylabel=f"rate of the latest {WINDOW}",
        ylim=(0, 1.3),
    )
    ax.legend(ncols=3, loc="upper center", fontsize=7)


def category_rates(ax: Any, done: Replay) -> None:
    """The rate of each category: interval clustered by problem, band of as many independent decisions."""
    document = report(done)
    overall = {name: document[f"overall_{name}"] for name in ("rate", "low", "high")}
    _draw_rates(ax, {"all": {**overall, "count": document["n"]}, **document["category_rates"]}, done.alpha)


def _draw_rates(ax: Any, rows: Mapping[str, Mapping[str, Any]], alpha: float) -> None:
    for place, row in enumerate(rows.values()):
        low, high = band(alpha, row["count"], Z95)
        ax.fill_between([place - 0.35, place + 0.35], low, high, color="0.85", linewidth=0)
        ends = [row["rate"] if end is None else end for end in (row["low"], row["high"])]
        below, above = max(0.0, row["rate"] - ends[0]), max(0.0, ends[1] - row["rate"])
        ax.errorbar(place, row["rate"], yerr=[[below], [above]], fmt="o", color=COLOURS[0], capsize=3, markersize=4)
    ax.axhline(alpha, color="0.5", linewidth=0.8)
    ax.set_xticks(range(len(rows)), list(rows), rotation=20)
    ax.set(title="rate by category, 95 % by problem", ylabel="rate", ylim=(0, 1))


def p_value_histogram(ax: Any, p_values: Any, n_bins: int = 20) -> None:
    """The p-values, with the band in which each bar of independent uniform ones lies, 95 %."""
    low, high = band(1.0 / n_bins, len(p_values), Z95)
    ax.axhspan(low * n_bins, high * n_bins, color="0.9")
    ax.hist(p_values, bins=n_bins, range=(0, 1), density=True, color=COLOURS[0], alpha=0.7)
    ax.axhline(1.0, color="0.5", linewidth=0.8)
    ax.set(title="p-values; the band is that of independent ones", xlabel="p", ylabel="density", xlim=(0, 1))


def held_out_figure(held_out: HeldOut) -> Figure:
    figure, ((left, right),) = new_figure(1, 2, width=9.0, height=3.2)
    _draw_rates(left, held_out.report()["rates"], held_out.alpha)
    p_value_histogram(right, held_out.p_values)
    return figure


def quality_figure(document: Mapping[str, Any]) -> Figure:
    """First-turn scores by how the sample ended, AUROCs, and the effect of a takeover near the threshold."""
    figure, axes = new_figure(1, 3, width=13.0, height=3.6)
    scores, areas, effects = axes[0]
    histogram = document["histogram"]
    for name, colour in (("good", COLOURS[2]), ("other", COLOURS[1])):
        total = max(1, sum(histogram[name]))
        label = document["outcome"] if name == "good" else f"not: {document['outcome']}"
        shares = [count / total for count in histogram[name]]
        scores.stairs(shares, histogram["edges"], color=colour, label=label)
    scores.set(title="first-turn scores", xlabel="score", ylabel="share")
    scores.legend()
    named = [(score, *item) for score, rows in document["scores"].items() for item in rows.items()]
    rows = {f"{score}, {name.replace('_', ' ')}": row for score, name, row in named}
    _draw_points(areas, rows, "value", 0.5)
    areas.set(title="AUROC of a low score", xlim=(0, 1))
    near = {f"p within {row['width']:g}": row for row in document["near_threshold"] or []}
    if document["takeover_effect_within_problem"]:
        near["within problem"] = document["takeover_effect_within_problem"]
    _draw_points(effects, near, "difference", 0.0)
    effects.set(title="good ends: taken over minus kept", xlim=(-0.5, 0.5))
    return figure


def _draw_points(ax: Any, rows: Mapping[str, Mapping[str, Any]], key: str, neutral: float) -> None:
    known = {name: row for name, row in rows.items() if row[key] is not None}
    for place, row in enumerate(known.values()):
        low, high = (row[key] if row[end] is None else row[end] for end in ("low", "high"))
        ax.plot([low, high], [place, place], color=COLOURS[0])
        ax.plot(row[key], place, "o", color=COLOURS[0], markersize=4)
    ax.axvline(neutral, color="0.5", linewidth=0.8)
    ax.set_yticks(range(len(known)), list(known), fontsize=7)
    ax.invert_yaxis()
