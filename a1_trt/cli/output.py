"""What commands print, write and draw: `--json` prints the document, `--output` writes it, `--plot` draws it."""

from __future__ import annotations

import functools
import json
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from a1_trt.errors import A1Error, ConfigError
from a1_trt.files import write_document

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
Figures = Callable[[], Mapping[str, tuple[str, "Figure"]]]
"""Makes the figures: name -> title, figure."""


@dataclass(frozen=True)
class Output:
    """Where the document of a command goes: printed, as JSON or not, into the file `path`, drawn into `plots`."""

    as_json: bool
    path: Path | None = None
    plots: tuple[Path, ...] = ()

    def deliver(self, document: Mapping[str, Any], show: Callable[[dict[str, Any]], object]) -> None:
        """Write the document, and print it: as JSON, or by `show`."""
        if self.path is not None:
            write_document(self.path, document)
            note(f"wrote {self.path}")
        if self.as_json:
            say_json(document)
        else:
            show(dict(document))

    def draw(self, figures: Figures, write_page: Callable[[Path], object] | None = None) -> None:
        """Draw; where there are several figures, there is a .png or .svg of each, with its name in the file's.

        `write_page` makes the .html file, where that is more than a figure.
        """
        from a1_trt.plotting import write_figure

        for path in self.plots:
            if write_page is not None and path.suffix.lower() == ".html":
                write_page(path)
                note(f"wrote {path}")
                continue
            drawn = figures()
            for name, (title, figure) in drawn.items():
                file = path if len(drawn) == 1 else path.with_stem(f"{path.stem}-{name}")
                write_figure(figure, file, title)
                note(f"wrote {file}")


def _check_plots(context: click.Context, option: click.Parameter, paths: tuple[Path, ...]) -> tuple[Path, ...]:
    """Refuse a suffix before the work is done, not after it."""
    for path in paths:
        if path.suffix.lower() not in (".png", ".svg", ".html"):
            error = f"{path} is not a kind of plot"
            raise ConfigError(error, path=str(path), field="plot", remedy="name it .png, .svg or .html")
    return paths


_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
_OUTPUT = click.option("--output", "path", type=FILE, help="Also write the JSON document to this file.")
_PLOT_HELP = "Also draw it: a .png, .svg or .html file; may be given several times."
_PLOT = click.option("--plot", "plots", type=FILE, multiple=True, callback=_check_plots, help=_PLOT_HELP)


def output_options(*, document: bool = True, plot: bool = False) -> Callable[[Any], Any]:
    """`--json`, `--output FILE` and `--plot FILE`, which reach the command as `out`, an `Output`."""

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def command(*, as_json: bool, path: Path | None = None, plots: tuple[Path, ...] = (), **options: Any) -> Any:
            return function(**options, out=Output(as_json, path, plots))

        for option in (*([_PLOT] if plot else []), *([_OUTPUT] if document else []), _JSON):
            option(command)
        return command

    return decorate


json_option = output_options(document=False)
"""`--json` alone, for commands with little to say, or whose `--output` is what they make."""


def say_json(document: Mapping[str, Any], *, indent: int | None = 2) -> None:
    click.echo(json.dumps(document, indent=indent, ensure_ascii=False))


def error_document(error: A1Error) -> dict[str, str | None]:
    return {"code": error.code, "field": error.field, "message": error.message, "remedy": error.remedy}


def note(text: str) -> None:
    """Tell how things go, on standard error; never part of the result."""
    click.echo(text, err=True)


def progress(text: str) -> None:
    """A `note`, to a terminal only."""
    if is_live():
        note(text)


def is_live() -> bool:
    """Whether standard error is a terminal, so that lines on it may be redrawn."""
    return sys.stderr.isatty()


def command_line() -> str:
    return shlex.join(["a1-trt", *sys.argv[1:]])
