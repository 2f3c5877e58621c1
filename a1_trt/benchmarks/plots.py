"""The plots of a comparison."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from a1_trt.benchmarks.blocks import BlockRecord
from a1_trt.benchmarks.document import blocks_of
from a1_trt.benchmarks.strategies import CallRecord
from a1_trt.plotting import COLOURS, new_figure
from a1_trt.types import ROLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_KINDS = {"draft": COLOURS[0], "score": COLOURS[4], "takeover": COLOURS[1]}
_WINDOW = 200
_MAX_CALLS = 4000
_BARRIERS = ("sync-rank", "sync-threshold", "a1-barrier", "sync-rank-overlapped", "published")


def plots(document: Mapping[str, Any]) -> dict[str, tuple[str, Figure]]:
    drawing = _Drawing(document)
    figures = {
        "accuracy": ("Accuracy against time", drawing.accuracy_against_time()),
        "speedup_samples": ("Speed-up against samples", drawing.speedup_against("n_samples", "max_turns", "samples")),
        "speedup_turns": ("Speed-up against turns", drawing.speedup_against("max_turns", "n_samples", "most turns")),
        "rejections": ("Rejection rate", drawing.rejection_rate()),
        "latency": ("Latency", drawing.latency()),
        "utilisation": ("Engine utilisation", drawing.utilisation()),
        "timeline": ("Calls in time", drawing.timeline()),
    }
    return {name: (title, figure) for name, (title, figure) in figures.items() if figure is not None}


class _Drawing:
    """The document by strategy: rows of figures, and the blocks of the last setting, the largest of a sweep."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._rows: dict[str, list[Mapping[str, Any]]] = {name: [] for name in document["plan"]["strategies"]}
        for row in document["overall"]:
            self._rows[row["strategy"]].append(row)
        self._rows = {name: rows for name, rows in self._rows.items() if rows}
        self._blocks: dict[str, list[BlockRecord]] = {name: [] for name in self._rows}
        for block in blocks_of(document):
            last = self._rows[block.strategy][-1]
            if (block.n_samples, block.max_turns) == (last["n_samples"], last["max_turns"]):
                self._blocks[block.strategy].append(block)
        self._colours = {name: COLOURS[at % len(COLOURS)] for at, name in enumerate(self._rows)}

    def accuracy_against_time(self) -> Figure:
        figure, ((ax,),) = new_figure(height=3.6)
        for name, rows in self._rows.items():
            seconds, accuracies = [row["wall_s"] / row["n_problems"] for row in rows], _column(rows, "accuracy", 100)
            bars = _errors(accuracies, [row["accuracy_ci95"] for row in rows], 100)
            ax.errorbar(seconds, accuracies, bars, fmt="o-", color=self._colours[name], capsize=2, label=name)
        ax.set(xscale="log", xlabel="seconds a problem", ylabel="accuracy of the vote, %")
        ax.legend()
        return figure

    def speedup_against(self, key: str, other: str, title: str) -> Figure | None:
        """Speed-up of the first strategy over each other one, against what was swept; None where it was not."""
        overall, ratios = self._document["overall"], self._document["ratios"]
        values, most = sorted({row[key] for row in overall}), max(row[other] for row in overall)
        if len(values) < 2 or not ratios:
            return None
        figure, ((ax,),) = new_figure()
        for name, colour in self._colours.items():
            rows = [ratio for ratio in ratios if ratio["against"] == name and ratio[other] == most]
            if rows:
                heights = _column(rows, "speedup")
                bars = _errors(heights, [row["speedup_ci95"] for row in rows])
                ax.errorbar(_column(rows, key), heights, bars, fmt="o-", color=colour, capsize=2, label=name)
        ax.axhline(1.0, color="black", linewidth=0.8)
        first = self._document["plan"]["strategies"][0]
        ax.set(xlabel=title, ylabel=f"speed-up of {first}", xticks=values, ylim=(0, None))
        ax.legend(title="over")
        return figure

    def rejection_rate(self) -> Figure | None:
        """Over time, as the mean of the last 200 decisions, and by turn with intervals; alpha is the line."""
        takeovers = {name: [row[-1] for b in blocks for row in b.decisions] for name, blocks in self._blocks.items()}
        if not any(takeovers.values()):
            return None
        figure, ((running, turns),) = new_figure(1, 2)
        for name, taken in takeovers.items():
            if taken:
                running.plot(range(1, len(taken) + 1), _running_rate(taken), color=self._colours[name], label=name)
                by_turn = self._rows[name][-1]["rejection_rate_by_turn"]
                rates, places = _column(by_turn, "rate"), [row["turn"] + 1 for row in by_turn]
                bars = _errors(rates, [row["ci95"] for row in by_turn])
                turns.errorbar(places, rates, bars, fmt="o-", color=self._colours[name], capsize=2)
        for ax in (running, turns):
            ax.axhline(self._document["parameters"]["alpha"], color="black", linewidth=0.8, linestyle="--")
            ax.set(ylim=(0, 1), ylabel="rejection rate")
        running.set(xlabel=f"decisions (mean of the last {_WINDOW})")
        turns.set(xlabel="turn")
        running.legend()
        return figure

    def latency(self) -> Figure:
        figure, ((problems, samples),) = new_figure(1, 2)
        for name, blocks in self._blocks.items():
            records = [record for block in blocks for record in block.problems]
            _distribution(problems, [record.latency_s or 0.0 for record in records], self._colours[name], name)
            times_s = [time_s for record in records for time_s in record.sample_latencies_s]
            _distribution(samples, times_s, self._colours[name], name)
        problems.set(xscale="log", xlabel="seconds to a problem's vote", ylabel="share")
        samples.set(xscale="log", xlabel="seconds to a sample's end")
        problems.legend()
        return figure

    def utilisation(self) -> Figure:
        figure, ((ax,),) = new_figure()
        rows = [rows[-1]["utilisation"] for rows in self._rows.values()]
        bars = (("draft", "draft busy"), ("target", "target busy"), ("of_lower_bound", "lower bound / makespan"))
        for place, (key, title) in enumerate(bars):
            x = [at + (place - 1) * 0.26 for at in range(len(rows))]
            ax.bar(x, [row[key] or 0.0 for row in rows], width=0.24, label=title)
        ax.set(xticks=range(len(rows)), ylim=(0, 1.05), ylabel="share of wall time")
        ax.set_xticklabels(list(self._rows), rotation=20, ha="right")
        ax.legend(ncols=3)
        return figure

    def timeline(self) -> Figure | None:
        """Calls per engine, one line a slot, of a barrier strategy and of the first one: what is white is waiting."""
        with_calls = {name: blocks[0] for name, blocks in self._blocks.items() if blocks and blocks[0].calls}
        barrier = [name for name in _BARRIERS if name in with_calls][:1]
        names = list(dict.fromkeys([*barrier, *list(with_calls)[:1]]))
        if not names:
            return None
        figure, axes = new_figure(2, len(names), height=2.6)
        for column, name in zip(axes.T, names, strict=True):
            _columns_of_calls(column, with_calls[name].named_calls(), name)
        for ax, role in zip(axes[:, 0], ROLES, strict=True):
            ax.set(ylabel=f"{role} slots")
        for ax in axes.flat:
            ax.set_xlim(0, max(with_calls[name].wall_s for name in names))
        for kind, colour in _KINDS.items():
            axes[0, -1].bar(0, 0, color=colour, label=kind)
        axes[0, -1].legend(loc="upper right", frameon=True, ncols=3)
        return figure


def _columns_of_calls(column: Iterable[Axes], calls: Sequence[CallRecord], title: str) -> None:
    top, bottom = column
    for ax, role in zip((top, bottom), ROLES, strict=True):
        _gantt(ax, [call for call in calls if call.role == role])
    top.set_title(title)
    bottom.set(xlabel="seconds")


def _gantt(ax: Axes, calls: Iterable[CallRecord]) -> None:
    free_s: list[float] = []
    lanes: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for call in sorted(calls, key=lambda call: call.started_s)[:_MAX_CALLS]:
        lane = next((at for at, end_s in enumerate(free_s) if end_s <= call.started_s + 1e-9), len(free_s))
        free_s[lane : lane + 1] = [call.ended_s]
        lanes.setdefault((lane, call.kind), []).append((call.started_s, call.duration_s))
    for (lane, kind), spans in lanes.items():
        ax.broken_barh(spans, (lane + 0.05, 0.9), facecolors=_KINDS[kind], edgecolor="white", linewidth=0.2)
    ax.set_ylim(0, max(1, len(free_s)))
    ax.grid(visible=False)


def _distribution(ax: Axes, values: Sequence[float], colour: str, label: str) -> None:
    if values:
        ax.ecdf(values, color=colour, label=label)


def _running_rate(takeovers: Sequence[bool]) -> Any:
    sums = np.concatenate(([0], np.cumsum(takeovers)))
    ends = np.arange(1, len(sums))
    starts = np.maximum(0, ends - _WINDOW)
    return (sums[ends] - sums[starts]) / (ends - starts)


def _column(rows: Iterable[Mapping[str, Any]], key: str, scale: float = 1) -> list[float]:
    return [scale * row[key] for row in rows]


def _errors(heights: Sequence[float], intervals: Iterable[Sequence[float] | None], scale: float = 1) -> Any:
    """Lengths of error bars below and above."""
    ends = [interval and [scale * end for end in interval] for interval in intervals]
    pairs = [(height, *(pair or (height, height))) for height, pair in zip(heights, ends, strict=True)]
    return [[max(0.0, y - low) for y, low, _ in pairs], [max(0.0, high - y) for y, _, high in pairs]]
