"""Tables on a terminal, and how numbers look in them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import click
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

_UNBOUNDED = 10_000
_GAP = 3


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str = "",
    prose: str = "",
    shorten: bool = False,
    width: int | None = None,
) -> None:
    """Print a table: the first column and `prose` to the left, all others, which are numbers, to the right.

    Where the terminal is too narrow for all (`width` characters, its own when not given), the column `prose` gives way:
    it is cut with `shorten`, and otherwise takes several lines. Where there is no terminal there is no limit.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    fixed = 0
    for number, name in enumerate(columns):
        widest = max(cell_len(row[number]) for row in [columns, *cells])
        if name and name == prose:
            table.add_column(name)
        else:
            fixed += widest + _GAP
            table.add_column(name, justify="right" if number else "left", no_wrap=True, min_width=widest)
    for row in cells:
        table.add_row(*(Text(cell, no_wrap=shorten, overflow="ellipsis" if shorten else "fold") for cell in row))
    if width is None:
        width = Console().width if sys.stdout.isatty() else _UNBOUNDED
    console = Console(width=max(width, fixed))
    with console.capture() as text:
        console.print(table)
    if title:
        click.echo(title.rstrip())
    click.echo("\n".join(line.rstrip() for line in text.get().splitlines()))


def number(value: float | None, digits: int = 3, unit: str = "") -> str:
    return "-" if value is None else f"{value:.{digits}f}{unit}"


def percent(rate: float | None) -> str:
    return number(None if rate is None else 100 * rate, 1, " %")


def signed_percent(rate: float) -> str:
    return f"{100 * rate:+.1f} %"


def seconds(time_s: float | None, digits: int = 2) -> str:
    return number(time_s, digits, " s")


def times(factor: float | None) -> str:
    return number(factor, 2, " x")


def megabytes(n_bytes: int) -> str:
    return number(n_bytes / 1e6, 1, " MB")


def interval(low: float | None, high: float | None, digits: int = 2, scale: float = 1.0) -> str:
    return "-" if low is None or high is None else f"[{scale * low:.{digits}f}, {scale * high:.{digits}f}]"
