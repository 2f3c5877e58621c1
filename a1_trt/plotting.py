"""One look for all plots, and what becomes of a figure: bytes of a PNG, an inline SVG, or a file.

matplotlib is imported inside the functions: it belongs to the extra `report`, and importing this module stays cheap.
"""

from __future__ import annotations

import html
import io
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from a1_trt.errors import ConfigError
from a1_trt.files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")

STYLE: Mapping[str, Any] = MappingProxyType(
    {
        "axes.axisbelow": True,
        "axes.grid": True,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 10,
        "figure.dpi": 120,
        "font.size": 9,
        "grid.alpha": 0.25,
        "legend.fontsize": 8,
        "legend.frameon": False,
        "lines.linewidth": 1.3,
        "svg.hashsalt": "a1_trt",
    }
)
"""matplotlib's settings; with a fixed salt the same figure gives the same SVG."""


def new_figure(n_rows: int = 1, n_columns: int = 1, *, width: float = 8.0, height: float = 3.2) -> tuple[Figure, Any]:
    """An empty figure, in inches (height is that of a row), and its Axes[n_rows, n_columns]; it needs no display."""
    with _styled():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width, height * n_rows), layout="constrained")
        axes = figure.subplots(n_rows, n_columns, squeeze=False)
        for ax in axes.flat:
            ax.set_prop_cycle(color=COLOURS)
        return figure, axes


def inline_svg(figure: Figure, title: str = "") -> str:
    """The figure as an SVG element for a page of HTML, with a title for readers who do not see it."""
    drawn = _drawn(figure, "svg").decode()
    return f'<figure role="img" aria-label="{html.escape(title)}">{drawn[drawn.index("<svg") :]}</figure>'


def write_figure(figure: Figure, path: Path, title: str = "") -> None:
    """Write the figure as .png, .svg or .html, as the name says; at once or not at all."""
    kind = path.suffix.lower()
    if kind == ".html":
        head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        content = f"{head}<h1>{html.escape(title)}</h1>{inline_svg(figure, title)}</html>\n".encode()
    elif kind in (".png", ".svg"):
        content = _drawn(figure, kind[1:])
    else:
        message = f"{path} is not a kind of plot"
        raise ConfigError(message, path=str(path), field="plot", remedy="name it .png, .svg or .html")
    try:
        write_whole(path, [content])
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}"
        raise ConfigError(message, path=str(path), field="plot", remedy="give another name") from None


def _drawn(figure: Figure, kind: str) -> bytes:
    stream = io.BytesIO()
    with _styled():
        # A date would make every file another one.
        figure.savefig(stream, format=kind, metadata={"Date": None} if kind == "svg" else {})
    return stream.getvalue()


def _styled() -> Any:
    try:
        import matplotlib as mpl
    except ImportError:
        message = "matplotlib, which draws the plots, is not installed"
        raise ConfigError(message, field="plot", remedy="pip install 'a1_trt[report]'") from None
    settings: Any = dict(STYLE)  # matplotlib's types list every key by name
    return mpl.rc_context(settings)
