"""The page of a comparison: one HTML file that needs nothing else, and its plots as PNG."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from a1_trt.benchmarks.document import unwritable
from a1_trt.benchmarks.plots import plots
from a1_trt.errors import ConfigError
from a1_trt.files import write_whole
from a1_trt.plotting import inline_svg, write_figure

_TEMPLATES = Path(__file__).parent / "templates"


def write_page(document: Mapping[str, Any], path: Path) -> None:
    content = page(document)
    try:
        write_whole(path, content)
    except OSError as error:
        raise unwritable(path, error, "plot") from None


def write_plots(document: Mapping[str, Any], directory: Path) -> list[Path]:
    figures = {directory / f"{name}.png": figure for name, (_, figure) in plots(document).items()}
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(directory, error, "plot") from None
    for path, figure in figures.items():
        write_figure(figure, path)
    return list(figures)


def page(document: Mapping[str, Any]) -> str:
    try:
        import jinja2
    except ImportError:
        message = "jinja2, which fills the page, is not installed"
        raise ConfigError(message, field="plot", remedy="pip install 'a1_trt[report]'") from None
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"rate": _rate, "number": _number, "interval": _interval}
    drawn = [(title, inline_svg(figure, title)) for title, figure in plots(document).values()]
    return environment.get_template("bench.html").render(document=document, plots=drawn)


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"


def _interval(value: list[float] | None, scale: float = 1.0) -> str:
    return "" if value is None else f"[{scale * value[0]:.3g}, {scale * value[1]:.3g}]"
