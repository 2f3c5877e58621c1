"""Files of a study of controllers: JSON, tables in Markdown, plots."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from a1_trt.errors import ConfigError
from a1_trt.files import write_text
from a1_trt.offline import Recording, replay
from a1_trt.offline.plots import replay_figure
from a1_trt.plotting import COLOURS, new_figure, write_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARKERS = "os^vDP*Xh<>"

_NAMES = {
    "overall_error": "overall",
    "category_error_max": "turns",
    "window_error_max": "window 200",
    "problem_rate_sd": "problem sd",
    "selectivity": "AUC",
    "selectivity_local": "AUC local",
}


def write_study(studied: Mapping[str, Any], recording: Recording, folder: Path) -> list[Path]:
    """Write a study: `NAME.json`, `NAME.md` and three plots, each at once or not at all.

    Args:
        studied: From `a1_trt.offline.study`.
        recording: What it is about.
        folder: Made where it is missing.

    Returns:
        The files.

    Raises:
        ConfigError: A file cannot be written.
    """
    stem = Path(recording.name).stem
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made: {error.strerror}", path=str(folder), field="output") from None
    texts = {
        folder / f"{stem}.json": json.dumps(studied, indent=1) + "\n",
        folder / f"{stem}.md": markdown(studied),
    }
    for path, text in texts.items():
        write_text(path, text)
    shown = [row["controller"] for row in studied["rows"] if row["order"] == "served" and row["alpha"] == 0.4]
    figures = {
        folder / f"{stem}-rates.png": replay_figure([replay(recording, name, 0.4) for name in dict.fromkeys(shown)]),
        folder / f"{stem}-selectivity.png": selectivity_figure(studied["rows"]),
        folder / f"{stem}-shifts.png": shift_figure(studied["shifts"]),
    }
    for path, figure in figures.items():
        write_figure(figure, path, path.stem)
    return [*texts, *figures]


def markdown(studied: Mapping[str, Any]) -> str:
    """The tables of a study."""
    head = (
        f"{studied['trace']}: {studied['n']} scores of {studied['n_problems']} problems, worth "
        f"{studied['effective_n']:.0f} independent ones at alpha 0.4; {studied['n_seeds']} seeds, worst in brackets."
    )
    orders = list(dict.fromkeys(row["order"] for row in studied["rows"]))
    parts = [f"# Controllers on {studied['trace']}", head]
    for order in orders:
        parts += [f"## alpha 0.4, {order}", _rate_table(studied["rows"], order)]
    parts += ["## two-level over alpha", _alpha_table(studied["rows"])]
    parts += ["## two-level over horizons, alpha 0.4, served", _horizon_table(studied["horizons"])]
    parts += ["## What is asked, and whether it holds", _check_table(studied["checks"])]
    for order in dict.fromkeys(row["order"] for row in studied["shifts"]):
        rows = [row for row in studied["shifts"] if row["order"] == order]
        parts += [f"## Changes in the middle (simulated), alpha 0.4, {order}", _shift_table(rows)]
    split = studied["split_by_problem"]
    if split:
        parts += ["## Fixed scores of other problems", _split_words(split)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _rate_table(rows: Sequence[Mapping[str, Any]], order: str) -> str:
    chosen = [row for row in rows if row["order"] == order and row["alpha"] == 0.4]
    body = [
        [row["controller"], f"{row['overall_rate']['mean']:.3f}"]
        + [_pair(row[figure]) for figure in _NAMES]
        + [f"{row['n_forced']['mean']:.0f}", f"{row['n_alarms']:.1f}"]
        for row in chosen
    ]
    return _table(["controller", "rate", *_NAMES.values(), "forced", "alarms"], body)


def _alpha_table(rows: Sequence[Mapping[str, Any]]) -> str:
    chosen = [row for row in rows if row["controller"] == "two-level"]
    body = [
        [row["order"], f"{row['alpha']:g}", f"{row['overall_rate']['mean']:.4f}"]
        + [_pair(row[figure]) for figure in _NAMES]
        + [f"{row['n_forced']['mean']:.0f}"]
        for row in chosen
    ]
    return _table(["order", "alpha", "rate", *_NAMES.values(), "forced"], body)


def _horizon_table(rows: Sequence[Mapping[str, Any]]) -> str:
    body = [
        [f"{row['horizon']:g}"] + [_pair(row[figure]) for figure in _NAMES] + [f"{row['n_forced']['mean']:.0f}"]
        for row in rows
    ]
    return _table(["horizon", *_NAMES.values(), "forced"], body)


def _check_table(checks: Sequence[Mapping[str, Any]]) -> str:
    """How many of the demands each controller meets, by order: with the mean, and with every seed."""
    body = []
    for name in dict.fromkeys(check["controller"] for check in checks):
        for order in dict.fromkeys(check["order"] for check in checks):
            own = [check for check in checks if check["controller"] == name and check["order"] == order]
            missed = [f"{_NAMES[each['figure']]} at {each['alpha']:g}" for each in own if not each["every_seed_holds"]]
            met = sum(each["every_seed_holds"] for each in own)
            means = sum(each["mean_holds"] for each in own)
            said = ", ".join(missed[:4]) + (f" and {len(missed) - 4} more" if len(missed) > 4 else "")
            body.append([name, order, f"{means} of {len(own)}", f"{met} of {len(own)}", said or "none"])
    return _table(["controller", "order", "met by the mean", "met by every seed", "missed"], body)


def _shift_table(rows: Sequence[Mapping[str, Any]]) -> str:
    body = [[row["shift"], row["controller"], f"{row['rate']:.3f}", *_shift_figures(row)] for row in rows]
    return _table(["change", "controller", "rate", "error", "worst window", "seeds within 0.05"], body)


def _shift_figures(row: Mapping[str, Any]) -> list[str]:
    return [_pair(row["error"]), _pair(row["worst_window"]), f"{row['share_back']:.0%}"]


def _split_words(split: Mapping[str, Any]) -> str:
    return (
        f"Half of the problems calibrate, first turns of the others are decided, {split['n_splits']} splits: rate "
        f"{split['rate']:.3f}, standard deviation {split['sd']:.3f} where independent scores would give "
        f"{split['sd_if_independent']:.3f}. {split['n_calibration']} calibration scores are worth "
        f"{split['effective_n']:.0f}."
    )


def _pair(figure: Mapping[str, float] | None) -> str:
    return "-" if figure is None else f"{figure['mean']:.3f} ({figure['worst']:.3f})"


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    if not body:
        return ""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def selectivity_figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Worst window against local selectivity at 0.4: a rule should be low and to the right."""
    orders = list(dict.fromkeys(row["order"] for row in rows))
    figure, axes = new_figure(1, max(1, len(orders)), width=3.2 * max(2, len(orders)), height=4.0)
    for ax, order in zip(axes[0], orders, strict=False):
        shown = [row for row in rows if row["order"] == order and row["alpha"] == 0.4 and row["selectivity_local"]]
        for place, row in enumerate(shown):
            ax.plot(
                row["selectivity_local"]["mean"],
                row["window_error_max"]["mean"],
                _MARKERS[place % len(_MARKERS)],
                color=COLOURS[place % len(COLOURS)],
                label=row["controller"],
            )
        ax.set(title=order, xlabel="AUC local", ylabel="worst window of 200", xlim=(0.4, 1.05), ylim=(0, 0.5))
    axes[0, 0].legend(fontsize=7)
    return figure


def shift_figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """The error after each simulated change: mean as a bar, worst seed as a tick."""
    orders = list(dict.fromkeys(row["order"] for row in rows))
    figure, axes = new_figure(max(1, len(orders)), 1, width=12.0, height=3.6)
    for ax, order in zip(axes[:, 0], orders, strict=False):
        _shift_bars(ax, [row for row in rows if row["order"] == order])
        ax.axhline(0.05, color="0.4", linewidth=0.8, linestyle="--")
        ax.set(title=f"{order}: |rate - alpha| over 200 decisions, 100 after the change (simulated)", ylabel="error")
    return figure


def _shift_bars(ax: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    shifts = list(dict.fromkeys(row["shift"] for row in rows))
    names = list(dict.fromkeys(row["controller"] for row in rows))
    width = 0.85 / max(1, len(names))
    for place, name in enumerate(names):
        x = np.arange(len(shifts)) + (place - len(names) / 2) * width
        colour = COLOURS[place % len(COLOURS)]
        errors = [row["error"] for row in rows if row["controller"] == name]
        ax.bar(
            x,
            [error["mean"] for error in errors],
            width,
            color=colour,
            alpha=1.0 if place < len(COLOURS) else 0.5,
            label=name,
        )
        ax.plot(x, [error["worst"] for error in errors], "_", color=colour, markersize=6)
    ax.set_xticks(range(len(shifts)), [textwrap.fill(shift, 24) for shift in shifts], fontsize=7)
    ax.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
