"""How far many problems, steps or samples have come: bars on standard error, on a terminal only."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from a1_trt.cli.output import is_live, note
from a1_trt.cli.tables import percent
from a1_trt.types import Result


class _View(Progress):
    def __init__(self, *columns: ProgressColumn) -> None:
        first = (TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn())
        super().__init__(*first, *columns, console=Console(stderr=True), disable=not is_live())


class SolvingView(_View):
    """Shows problems as they are solved, by one or several strategies, while a block of code runs.

    Args:
        arms: Names of the strategies.
        n_problems: Problems of each.
    """

    def __init__(self, arms: Iterable[str], n_problems: int) -> None:
        super().__init__(TextColumn("{task.fields[rejected]}"), TimeElapsedColumn(), TimeRemainingColumn())
        self._arms = {arm: self.add_task(arm, total=n_problems, rejected="", start=False) for arm in arms}
        self._n_takeovers = dict.fromkeys(self._arms, 0)
        self._n_scored = dict.fromkeys(self._arms, 0)

    def solved(self, arm: str, n_done: int, n_total: int, outcome: object) -> None:
        """One more problem is done."""
        if isinstance(outcome, Result):
            self._n_takeovers[arm] += outcome.usage.n_takeovers
            self._n_scored[arm] += outcome.usage.n_scored
        n_scored = self._n_scored[arm]
        rejected = f"rejected {percent(self._n_takeovers[arm] / n_scored)}" if n_scored else ""
        self.start_task(self._arms[arm])
        self.update(self._arms[arm], completed=n_done, rejected=rejected)


class StepsView(_View):
    """Shows the steps of a build; where there is no terminal, a line for each: they are few, and take long.

    Args:
        n_steps: How many there are.
    """

    def __init__(self, n_steps: int) -> None:
        super().__init__(TimeElapsedColumn())
        self._n_steps = n_steps
        self._steps = self.add_task("starting", total=n_steps)

    def step(self, n_done: int, title: str, state: str) -> None:
        """A step begins, was done before, or is done now."""
        self.update(self._steps, completed=n_done, description=title)
        if self.disable:
            note(f"[{n_done}/{self._n_steps}] {title} {state}")


class CountView(_View):
    """Shows how many of something are done.

    Args:
        what: What is counted, in the plural.
        n_total: How many there are, where that is known.
    """

    def __init__(self, what: str, n_total: int | None = None) -> None:
        super().__init__(TimeElapsedColumn(), TimeRemainingColumn())
        self._count = self.add_task(what, total=n_total)

    def step(self) -> None:
        """One more is done."""
        if not self.disable:
            self.advance(self._count)

    def show(self, n_done: int, n_total: int) -> None:
        """So many are done, of so many."""
        self.update(self._count, completed=n_done, total=n_total)
