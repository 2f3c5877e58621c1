"""What commands print: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import click


def say_json(document: Mapping[str, Any], *, indent: int | None = 2) -> None:
    """Print one JSON object."""
    click.echo(json.dumps(document, indent=indent, ensure_ascii=False))


def note(text: str) -> None:
    """Tell how things go; never part of the result."""
    click.echo(text, err=True)


def is_live() -> bool:
    """Whether somebody looks at standard error, so that lines on it may be redrawn."""
    return sys.stderr.isatty()


def percent(rate: float | None) -> str:
    """A rate for people.

    Example:
        >>> percent(0.256), percent(None)
        ('25.6 %', '-')
    """
    return "-" if rate is None else f"{100 * rate:.1f} %"
