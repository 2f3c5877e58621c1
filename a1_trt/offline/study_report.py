"""Files of a study of controllers: JSON, tables in Markdown, plots."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from operator import itemgetter
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
_Row = Mapping[str, Any]
_Columns = Mapping[str, Callable[[_Row], str]]

_NAMES = {
    "overall_error": "overall",
    "category_error_max": "turns",
    "window_error_max": "window 200",
    "problem_rate_sd": "problem sd",
    "selectivity": "AUC",
    "selectivity_local": "AUC local",
}


def _mean_and_worst(figure: str) -> Callable[[_Row], str]:
    return lambda row: "-" if row[figure] is None else f"{row[figure]['mean']:.3f} ({row[figure]['worst']:.3f})"


_FIGURES: _Columns = {
    **{title: _mean_and_worst(figure) for figure, title in _NAMES.items()},
    "forced": lambda row: f"{row['n_forced']['mean']:.0f}",
}
_BY_CONTROLLER: _Columns = {
    "controller": itemgetter("controller"),
    "rate": lambda row: f"{row['overall_rate']['mean']:.3f}",
    **_FIGURES,
    "alarms": lambda row: f"{row['n_alarms']:.1f}",
}
_BY_ALPHA: _Columns = {
    "order": itemgetter("order"),
    "alpha": lambda row: f"{row['alpha']:g}",
    "rate": lambda row: f"{row['overall_rate']['mean']:.4f}",
    **_FIGURES,
}
_BY_HORIZON: _Columns = {"horizon": lambda row: f"{row['horizon']:g}", **_FIGURES}
_BY_CHANGE: _Columns = {
    "change": itemgetter("shift"),
    "controller": itemgetter("controller"),
    "rate": lambda row: f"{row['rate']:.3f}",
    "error": _mean_and_worst("error"),
    "worst window": _mean_and_worst("worst_window"),
    "seeds within 0.05": lambda row: f"{row['share_back']:.0%}",
}
_BY_DEMAND: _Columns = {
    name: itemgetter(name) for name in ("controller", "order", "met by the mean", "met by every seed", "missed")
}


def write_study(studied: Mapping[str, Any], recording: Recording, folder: Path) -> list[Path]:
    """Write a study of a recording: `NAME.json`, `NAME.md` and three plots, each at once or not at all."""
    stem = Path(recording.name).stem
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made: {error.strerror}", path=str(folder), field="output") from None
    texts = {folder / f"{stem}.json": json.dumps(studied, indent=1) + "\n", folder / f"{stem}.md": markdown(studied)}
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
    head = (
        f"{studied['trace']}: {studied['n']} scores of {studied['n_problems']} problems, worth "
        f"{studied['effective_n']:.0f} independent ones at alpha 0.4; {studied['n_seeds']} seeds, worst in brackets."
    )
    rows, changes = studied["rows"], studied["shifts"]
    parts = [f"# Controllers on {studied['trace']}", head]
    for order in _distinct(rows, "order"):
        chosen = [row for row in rows if row["order"] == order and row["alpha"] == 0.4]
        parts += [f"## alpha 0.4, {order}", _table(_BY_CONTROLLER, chosen)]
    two_level = [row for row in rows if row["controller"] == "two-level"]
    parts += ["## two-level over alpha", _table(_BY_ALPHA, two_level)]
    parts += ["## two-level over horizons, alpha 0.4, served", _table(_BY_HORIZON, studied["horizons"])]
    parts += ["## What is asked, and whether it holds", _table(_BY_DEMAND, _demands(studied["checks"]))]
    for order in _distinct(changes, "order"):
        chosen = [row for row in changes if row["order"] == order]
        parts += [f"## Changes in the middle (simulated), alpha 0.4, {order}", _table(_BY_CHANGE, chosen)]
    split = studied["split_by_problem"]
    if split:
        parts += [
            "## Fixed scores of other problems",
            f"Half of the problems calibrate, first turns of the others are decided, {split['n_splits']} splits: rate "
            f"{split['rate']:.3f}, standard deviation {split['sd']:.3f} where independent scores would give "
            f"{split['sd_if_independent']:.3f}. {split['n_calibration']} calibration scores are worth "
            f"{split['effective_n']:.0f}.",
        ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _demands(checks: Sequence[_Row]) -> list[dict[str, str]]:
    """How many of the demands each controller meets, by order: with the mean, and with every seed."""
    rows = []
    for name, order in product(_distinct(checks, "controller"), _distinct(checks, "order")):
        own = [check for check in checks if check["controller"] == name and check["order"] == order]
        missed = [f"{_NAMES[check['figure']]} at {check['alpha']:g}" for check in own if not check["every_seed_holds"]]
        more = f" and {len(missed) - 4} more" if len(missed) > 4 else ""
        met = {
            "met by the mean": f"{sum(check['mean_holds'] for check in own)} of {len(own)}",
            "met by every seed": f"{len(own) - len(missed)} of {len(own)}",
            "missed": ", ".join(missed[:4]) + more or "none",
        }
        rows.append({"controller": name, "order": order, **met})
    return rows


def _table(columns: _Columns, rows: Sequence[_Row]) -> str:
    lines = [list(columns), ["---"] * len(columns), *([cell(row) for cell in columns.values()] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) if rows else ""


def _distinct(rows: Iterable[_Row], key: str) -> list[str]:
    return list(dict.fromkeys(row[key] for row in rows))


def selectivity_figure(rows: Sequence[_Row]) -> Figure:
    """Worst window against local selectivity at 0.4: a rule should be low and to the right."""
    orders = _distinct(rows, "order")
    figure, axes = new_figure(1, max(1, len(orders)), width=3.2 * max(2, len(orders)), height=4.0)
    for ax, order in zip(axes[0], orders, strict=False):
        shown = [row for row in rows if row["order"] == order and row["alpha"] == 0.4 and row["selectivity_local"]]
        for place, row in enumerate(shown):
            x, y = row["selectivity_local"]["mean"], row["window_error_max"]["mean"]
            marker, colour = _MARKERS[place % len(_MARKERS)], COLOURS[place % len(COLOURS)]
            ax.plot(x, y, marker, color=colour, label=row["controller"])
        ax.set(title=order, xlabel="AUC local", ylabel="worst window of 200", xlim=(0.4, 1.05), ylim=(0, 0.5))
    axes[0, 0].legend(fontsize=7)
    return figure


def shift_figure(rows: Sequence[_Row]) -> Figure:
    """The error after each simulated change: mean as a bar, worst seed as a tick."""
    orders = _distinct(rows, "order")
    figure, axes = new_figure(max(1, len(orders)), 1, width=12.0, height=3.6)
    for ax, order in zip(axes[:, 0], orders, strict=False):
        _shift_bars(ax, [row for row in rows if row["order"] == order])
        ax.axhline(0.05, color="0.4", linewidth=0.8, linestyle="--")
        ax.set(title=f"{order}: |rate - alpha| over 200 decisions, 100 after the change (simulated)", ylabel="error")
    return figure


def _shift_bars(ax: Any, rows: Sequence[_Row]) -> None:
    shifts, names = _distinct(rows, "shift"), _distinct(rows, "controller")
    width = 0.85 / max(1, len(names))
    for place, name in enumerate(names):
        x = np.arange(len(shifts)) + (place - len(names) / 2) * width
        colour, opacity = COLOURS[place % len(COLOURS)], 1.0 if place < len(COLOURS) else 0.5
        errors = [row["error"] for row in rows if row["controller"] == name]
        ax.bar(x, [error["mean"] for error in errors], width, color=colour, alpha=opacity, label=name)
        ax.plot(x, [error["worst"] for error in errors], "_", color=colour, markersize=6)
    ax.set_xticks(range(len(shifts)), [textwrap.fill(shift, 24) for shift in shifts], fontsize=7)
    ax.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
