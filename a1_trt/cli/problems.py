"""Options that say which problems, and the problems that they choose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from a1_trt.cli.output import FILE
from a1_trt.config import Pair
from a1_trt.errors import ConfigError, InvalidRequestError
from a1_trt.types import Problem

N_WARM_UP = 2

data_option = click.option(
    "--data", type=FILE, help="JSON lines with problem, id, answer and level; the pair's own when not given."
)
calibration_problems_option = click.option(
    "--allow-calibration-problems", is_flag=True, help="Go on when the pair was calibrated on some of the problems."
)


def count_option(default: int, *, least: int = 1) -> Callable[[Any], Any]:
    """`--problems N`."""
    return click.option(
        "--problems",
        "n_problems",
        type=click.IntRange(least, 100_000),
        default=default,
        show_default=True,
        help="How many problems.",
    )


def level_option(default: str | None = None) -> Callable[[Any], Any]:
    """`--level`."""
    return click.option(
        "--level", default=default, show_default=True, help="Only problems of this level: easy, middle or hard."
    )


def problems_path(pair: Pair) -> Path:
    """Where a pair's held-out problems are.

    Raises:
        ConfigError: The pair names none.
    """
    if pair.problems is None or pair.path is None:
        raise ConfigError(
            f"the pair {pair.name} names no problems",
            path=str(pair.path),
            field="problems",
            remedy="set problems in the pair file, or give --data",
        )
    return pair.path.resolve().parent / pair.problems


def read_problems(pair: Pair, data: Path | None, **rules: Any) -> list[Problem]:
    """The problems of `--data`, or the pair's own; see `a1_trt.benchmarks.problems.read_problems` for the rules.

    Raises:
        ConfigError: The pair names none.
        InvalidRequestError: They cannot be read.
    """
    from a1_trt.benchmarks.problems import read_problems as read

    return read(data or problems_path(pair), **rules)


def choose_problems(
    pair: Pair, data: Path | None, level: str | None, n_problems: int
) -> tuple[list[Problem], list[Problem]]:
    """Problems to measure on, and others to warm up with: some of the same where there are no others.

    Raises:
        ConfigError: The pair names none.
        InvalidRequestError: They cannot be read, or are fewer than `n_problems`.
    """
    problems = read_problems(pair, data, level=level, with_answers=True)
    if len(problems) < n_problems:
        raise InvalidRequestError(
            f"{data or problems_path(pair)} has {len(problems)} problems{f' of level {level}' if level else ''}",
            field="problems",
            remedy="ask for fewer",
        )
    chosen = problems[:n_problems]
    return chosen, problems[n_problems : n_problems + N_WARM_UP] or chosen[:1]
