"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from a1_trt.parameters import DECLARED, FORMER_NAMES
from a1_trt.requests import PAIR_ONLY

_F = TypeVar("_F", bound=Callable[..., Any])

DEFAULT_PAIR = "reference"

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")

pair_option = click.option(
    "-p", "--pair", default=DEFAULT_PAIR, show_default=True, metavar="PAIR", help="Name or file of a pair."
)

problems_option = click.option(
    "--problems-file",
    type=click.Path(path_type=Path),
    help="JSON lines with problem, id, answer and level; the pair's own when not given.",
)

calibration_problems_option = click.option(
    "--allow-calibration-problems", is_flag=True, help="Go on when the pair was calibrated on some of the problems."
)

# Ranges and choices are checked where Python, gRPC and HTTP callers are checked too, so that they say the same.
_FLAGS = {"n_samples": ("-n", "--samples")}
_SIZES = ("n_samples", "max_turns")
_POLICIES = ("strategy", "admission")
_SETTINGS = tuple(name for name in DECLARED if name not in {*_SIZES, *_POLICIES, *PAIR_ONLY})
_BUDGET = click.option(
    "--budget", type=int, help="Instead of alpha: takeovers among the samples, alpha = budget / samples."
)


def parameter_options(function: _F) -> _F:
    """Everything that may be said about how a problem is solved."""
    return _with(function, (*_SIZES, *_SETTINGS, *_POLICIES))


def setting_options(function: _F) -> _F:
    """The same, for commands that choose strategy and admission themselves."""
    return _with(function, (*_SIZES, *_SETTINGS))


def sweep_options(function: _F) -> _F:
    """The same, for commands that also take several numbers of samples and turns."""
    return _with(function, _SETTINGS)


def parameter_option(name: str) -> Callable[[_F], _F]:
    """The option of one parameter; its former names are options, too, which no help shows."""

    def add(function: _F) -> _F:
        for former in (old for old, new in FORMER_NAMES.items() if new == name):
            function = _option(former, name, hidden=True)(function)
        return _option(name, name)(function)

    return add


def _option(spelling: str, name: str, *, hidden: bool = False) -> Callable[[_F], _F]:
    declared, dashed = DECLARED[name], spelling.replace("_", "-")
    if declared.kind is bool:
        return click.option(f"--{dashed}/--no-{dashed}", default=None, help=declared.help, hidden=hidden)
    flags = _FLAGS.get(spelling, (f"--{dashed}",))
    values = declared.values[0].upper() + declared.values[1:]
    return click.option(*flags, spelling, type=declared.kind, help=f"{declared.help} {values}.", hidden=hidden)


def _with(function: _F, names: tuple[str, ...]) -> _F:
    for name in reversed(names):
        if name == "alpha":
            function = _BUDGET(function)
        function = parameter_option(name)(function)
    return function
