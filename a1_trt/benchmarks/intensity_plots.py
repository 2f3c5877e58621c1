"""Plots of asynchronous arithmetic intensity and of the roofline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from a1_trt.plotting import COLOURS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARKERS = {"draft": "o", "target": "s"}


def intensity_figure(document: Mapping[str, Any]) -> Figure:
    """The ratio r against samples and turns, what the time went into, and the engines on the roofline."""
    rows: Sequence[Mapping[str, Any]] = document["joined"]
    figure, axes = new_figure(2, 2, width=10.0, height=3.4)
    _against(axes[0][0], rows, "n_samples", "max_turns", "samples")
    _against(axes[0][1], rows, "max_turns", "n_samples", "most turns")
    _shares(axes[1][0], rows)
    _roofline(axes[1][1], document)
    return figure


def _against(ax: Any, rows: Sequence[Mapping[str, Any]], key: str, other: str, name: str) -> None:
    most = max(row[other] for row in rows)
    for colour, strategy in zip(COLOURS, _strategies(rows), strict=False):
        own = [row for row in rows if row["strategy"] == strategy and row[other] == most and row["r"] is not None]
        own.sort(key=lambda row: row[key])
        x = [row[key] for row in own]
        ax.plot(x, [row["r"] for row in own], "o-", color=colour, label=strategy)
        low, high = ([row["r_range"][end] for row in own] for end in (0, 1))
        ax.fill_between(x, low, high, color=colour, alpha=0.15)
    ax.set(title=f"r = T_c / (T_m + T_s), {other.replace('_', ' ')} {most}", xlabel=name, ylabel="r", ylim=(0, None))
    ax.set_xscale("log", base=2)
    ax.legend()


def _shares(ax: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    names = [f"{row['strategy']}\n{row['n_samples']} x {row['max_turns']}" for row in rows]
    bottom = np.zeros(len(rows))
    parts = {"t_c_s": "computing", "t_m_s": "memory", "t_s_s": "waiting beside free slots"}
    for colour, (key, label) in zip(COLOURS, parts.items(), strict=False):
        shares = np.array([row[key] / max(row["t_c_s"] + row["t_m_s"] + row["t_s_s"], 1e-12) for row in rows])
        ax.bar(range(len(rows)), shares, bottom=bottom, color=colour, label=label)
        bottom += shares
    ax.set_xticks(range(len(rows)), names, rotation=60, fontsize=6)
    ax.set(title="sample-seconds (computing : memory is estimated)", ylim=(0, 1))
    ax.legend(loc="lower left")


def _roofline(ax: Any, document: Mapping[str, Any]) -> None:
    machine = document["processor"]
    places = np.logspace(-1, 4, 100)
    roof = np.minimum(machine["flop_per_s"], places * machine["bytes_per_s"]) / 1e9
    ax.loglog(places, roof, color="black", linewidth=1.0)
    rows = document["accounts"]
    for colour, strategy in zip(COLOURS, _strategies(rows), strict=False):
        for role, marker in _MARKERS.items():
            engines = [row["roles"][role] for row in rows if row["strategy"] == strategy]
            points = [(engine["intensity"], engine["flop_per_s"] / 1e9) for engine in engines if engine["bytes"]]
            x, y = ([point[axis] for point in points] for axis in (0, 1))
            ax.plot(x, y, marker, color=colour, markersize=3, alpha=0.6, label=f"{strategy}, {role}")
    ax.set(title="roofline (work estimated, time measured)", xlabel="FLOP / byte", ylabel="GFLOP/s")
    ax.legend(fontsize=6)


def _strategies(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["strategy"] for row in rows))
