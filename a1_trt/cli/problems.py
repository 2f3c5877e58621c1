"""Options that say which problems, and the problems that they choose."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click

from a1_trt.cli.options import joined
from a1_trt.cli.output import FILE
from a1_trt.config import Pair
from a1_trt.errors import ConfigError, InvalidRequestError
from a1_trt.types import Problem

_N_WARM_UP = 2

data_option = click.option(
    "--data", type=FILE, help="JSON lines with problem, id, answer and level; the pair's own when not given."
)
calibration_problems_option = click.option(
    "--allow-calibration-problems", is_flag=True, help="Go on when the pair was calibrated on some of the problems."
)


def count_option(default: int, *, least: int = 1) -> Callable[[Any], Any]:
    count = click.IntRange(least, 100_000)
    return click.option("--problems", "n_problems", type=count, default=default, help="How many problems.")


def level_option(default: str | None = None) -> Callable[[Any], Any]:
    return click.option("--level", default=default, help="Only problems of this level: easy, middle or hard.")


class Chosen(NamedTuple):
    """Problems to measure on, others to warm up with, and how many of the first the pair was calibrated on."""

    problems: list[Problem]
    warm_up: list[Problem]
    n_calibration_problems: int


class ProblemChoice(NamedTuple):
    """What `problem_options` says."""

    n_problems: int
    level: str | None
    data: Path | None
    allow_calibration_problems: bool

    def of(self, pair: Pair) -> Chosen:
        from a1_trt.runtime.calibration import check_held_out

        problems = read_problems(pair, self.data, level=self.level, with_answers=True)
        if len(problems) < self.n_problems:
            level = f" of level {self.level}" if self.level else ""
            error = f"{self.data or problems_path(pair)} has {len(problems)} problems{level}"
            raise InvalidRequestError(error, field="problems", remedy="ask for fewer")
        chosen, others = problems[: self.n_problems], problems[self.n_problems :]
        n_used = check_held_out(pair, chosen, allow=self.allow_calibration_problems)
        return Chosen(chosen, others[:_N_WARM_UP] or chosen[:1], n_used)


def problem_options(default: int, *, least: int = 1, level: str | None = None) -> Callable[[Any], Any]:
    """Options that reach the command as `choice`, a `ProblemChoice`."""

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def command(**options: Any) -> Any:
            choice = ProblemChoice(*(options.pop(name) for name in ProblemChoice._fields))
            return function(**options, choice=choice)

        return command

    options = (count_option(default, least=least), level_option(level), data_option, calibration_problems_option)
    return joined(*options, decorate)


def problems_path(pair: Pair) -> Path:
    """Where a pair's held-out problems are."""
    if pair.problems is None or pair.path is None:
        raise ConfigError(
            f"the pair {pair.name} names no problems",
            path=str(pair.path),
            field="problems",
            remedy="set problems in the pair file, or give --data",
        )
    return pair.path.resolve().parent / pair.problems


def read_problems(pair: Pair, data: Path | None, **rules: Any) -> list[Problem]:
    """The problems of `--data`, or the pair's own; see `a1_trt.benchmarks.problems.read_problems` for the rules."""
    from a1_trt.benchmarks.problems import read_problems as read

    return read(data or problems_path(pair), **rules)
