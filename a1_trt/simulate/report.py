"""The page of a sweep or a plan: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from a1_trt.errors import ConfigError
from a1_trt.files import write_text
from a1_trt.plotting import inline_svg, new_figure
from a1_trt.types import ROLES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TEMPLATES = Path(__file__).parent / "templates"
_NUMERIC = ("samples", "turns", "alpha", "replicas")
Rows = Sequence[Sequence[str]]


def write_page(document: Mapping[str, Any], path: Path) -> None:
    """Write the page of what `sweep` or `make_plan` returned."""
    write_text(path, page(document))


def page(document: Mapping[str, Any]) -> str:
    """The page as HTML."""
    try:
        import jinja2
    except ImportError:
        message = "jinja2, which fills the page, is not installed"
        raise ConfigError(message, field="plot", remedy="pip install 'a1_trt[report]'") from None
    loader = jinja2.FileSystemLoader(_TEMPLATES)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    is_sweep = "points" in document
    tables = _sweep_tables(document) if is_sweep else _plan_tables(document)
    drawn = [(heading, inline_svg(figure, heading)) for heading, figure in plots(document)]
    first = document["points"][0] if is_sweep else document
    workload = {f"{name} (workload)": value for name, value in first["workload"].items()}
    return environment.get_template("simulate.html").render(
        title=f"{'Sweep' if is_sweep else 'Plan'} of {first['pair']}, simulated",
        tables=tables,
        plots=drawn,
        assumptions={**workload, **first["parameters"], **first["assumptions"]},
        command=document.get("command", ""),
    )


def plots(document: Mapping[str, Any]) -> list[tuple[str, Figure]]:
    """Headings and figures: of a sweep one for each number that was varied, of a plan cost against latency."""
    if "points" not in document:
        return [("Cost and latency", _costs(document))]
    axes = document["axes"]
    varied = [name for name in _NUMERIC if len(axes.get(name, ())) > 1]
    return [(f"Makespan and speed-up against {name}", _against(document, name)) for name in varied]


def _against(document: Mapping[str, Any], name: str) -> Figure:
    """A line for each combination of the other values."""
    lines: dict[str, list[tuple[float, float, float | None]]] = {}
    for point in document["points"]:
        others = ", ".join(f"{key} {value}" for key, value in point["at"].items() if key != name) or "makespan"
        at = (float(point["at"][name]), point["makespan_s"], point.get("speedup"))
        lines.setdefault(others, []).append(at)
    has_speedup = any(speedup is not None for values in lines.values() for _, _, speedup in values)
    figure, axes = new_figure(1, 2 if has_speedup else 1, height=3.6)
    for label, values in lines.items():
        ordered = sorted(values)
        axes[0, 0].plot([x for x, _, _ in ordered], [makespan for _, makespan, _ in ordered], "o-", label=label)
        gains = [(x, speedup) for x, _, speedup in ordered if speedup is not None]
        if has_speedup and gains:
            axes[0, 1].plot([x for x, _ in gains], [speedup for _, speedup in gains], "o-", label=label)
    for ax, what in zip(axes.flat, ("makespan, s", "speed-up over target-only"), strict=False):
        ax.set(xlabel=name, ylabel=what, ylim=(0, None))
    axes[0, 0].legend()
    return figure


def _costs(document: Mapping[str, Any]) -> Figure:
    key = f"latency_p{document['goal']['percentile']}_s"
    figure, axes = new_figure(height=3.6)
    ax = axes[0, 0]
    for row in _rows(document):
        ax.plot(row["cost_per_hour"], row[key], "o" if row["meets"] else "x", label=layout_words(row["layout"]))
    ax.axhline(document["goal"]["latency_s"], color="#999999", linestyle="--", label="goal")
    ax.set(xlabel="cost per hour", ylabel=f"{key[8:-2]} of the latency, s", ylim=(0, None))
    ax.legend()
    return figure


def layout_words(layout: Mapping[str, Any]) -> str:
    """A layout in a few words.

    Example:
        >>> draft = {"engines": 4, "tensor_parallel": 1, "pipeline_parallel": 1, "quantization": "none"}
        >>> target = {"engines": 2, "tensor_parallel": 2, "pipeline_parallel": 1, "quantization": "fp8"}
        >>> layout_words({"gpus": 8, "gpu": "h100-80g", "draft": draft, "target": target, "colocated": False})
        '8 x h100-80g: draft 4 x tp1, target 2 x tp2 fp8'
    """
    roles = ", ".join(f"{role} {_role_words(layout[role])}" for role in ROLES)
    return f"{layout['gpus']} x {layout['gpu']}: {roles}{', on the same' if layout['colocated'] else ''}"


def _role_words(role: Mapping[str, Any]) -> str:
    words = f"{role['engines']} x tp{role['tensor_parallel']}"
    words += f" pp{role['pipeline_parallel']}" if role["pipeline_parallel"] > 1 else ""
    return words if role["quantization"] == "none" else f"{words} {role['quantization']}"


def _rows(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [document["best"], *document["runners_up"]] if document["best"] else [document["nearest"]]


def _sweep_tables(document: Mapping[str, Any]) -> list[tuple[str, list[str], Rows]]:
    names = list(document["axes"])
    columns = [*names, "makespan, s", "lower bound, s", "over target-only", "draft busy", "target busy", "rejected"]
    columns += ["draft tokens", "target tokens"]
    rows = [
        [
            *(str(point["at"][name]) for name in names),
            f"{point['makespan_s']:.1f}",
            f"{point['lower_bound_s']:.1f}",
            "–" if point.get("speedup") is None else f"{point['speedup']:.2f}",
            *(_rate(point["utilisation"][role]) for role in ROLES),
            _rate(point["rejection_rate"]),
            *(f"{point['tokens'][role]:,}" for role in ROLES),
        ]
        for point in document["points"]
    ]
    return [("All combinations", columns, rows)]


def _plan_tables(document: Mapping[str, Any]) -> list[tuple[str, list[str], Rows]]:
    goal = document["goal"]
    key = f"latency_p{goal['percentile']}_s"
    columns = ["layout", "cost per hour", "alpha", f"{key[8:-2]}, s", "draft busy", "target busy", "meets"]
    rows = [
        [
            layout_words(row["layout"]),
            f"{row['cost_per_hour']:g}",
            f"{row['alpha']:g}",
            f"{row[key]:.1f}",
            *(_rate(row["utilisation"][role]) for role in ROLES),
            "yes" if row["meets"] else "no",
        ]
        for row in _rows(document)
    ]
    heading = f"{goal['load_per_min']:g} problems a minute, each within {goal['latency_s']:g} s"
    changes = [[row["change"], f"{row[key]:.1f}", "yes" if row["meets"] else "no"] for row in document["sensitivity"]]
    return [(heading, columns, rows), ("The best layout, if", ["change", f"{key[8:-2]}, s", "meets"], changes)]


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"
