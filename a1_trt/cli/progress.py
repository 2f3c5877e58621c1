"""How far many problems, steps or samples have come: bars on standard error, on a terminal only."""

from __future__ import annotations

from collections.abc import Iterable

from rich import progress
from rich.console import Console

from a1_trt.cli.output import is_live, note
from a1_trt.cli.tables import percent
from a1_trt.types import Result


class _View(progress.Progress):
    def __init__(self, *columns: progress.ProgressColumn) -> None:
        first = (progress.TextColumn("{task.description:<12}"), progress.BarColumn(), progress.MofNCompleteColumn())
        super().__init__(*first, *columns, console=Console(stderr=True), disable=not is_live())


class SolvingView(_View):
    """Shows problems as they are solved, `n_problems` by each of the strategies `arms`, while a block of code runs."""

    def __init__(self, arms: Iterable[str], n_problems: int) -> None:
        super().__init__(
            progress.TextColumn("{task.fields[rejected]}"), progress.TimeElapsedColumn(), progress.TimeRemainingColumn()
        )
        self._arms = {arm: self.add_task(arm, total=n_problems, rejected="", start=False) for arm in arms}
        self._n_takeovers = dict.fromkeys(self._arms, 0)
        self._n_scored = dict.fromkeys(self._arms, 0)

    def solved(self, arm: str, n_done: int, n_total: int, outcome: object) -> None:
        if isinstance(outcome, Result):
            self._n_takeovers[arm] += outcome.usage.n_takeovers
            self._n_scored[arm] += outcome.usage.n_scored
        n_scored = self._n_scored[arm]
        rejected = f"rejected {percent(self._n_takeovers[arm] / n_scored)}" if n_scored else ""
        self.start_task(self._arms[arm])
        self.update(self._arms[arm], completed=n_done, rejected=rejected)


class StepsView(_View):
    """Shows the steps of a build; where there is no terminal, a line for each: they are few, and take long."""

    def __init__(self, n_steps: int) -> None:
        super().__init__(progress.TimeElapsedColumn())
        self._n_steps = n_steps
        self._steps = self.add_task("starting", total=n_steps)

    def step(self, n_done: int, title: str, state: str) -> None:
        self.update(self._steps, completed=n_done, description=title)
        if self.disable:
            note(f"[{n_done}/{self._n_steps}] {title} {state}")


class CountView(_View):
    """Shows how many of something, named in the plural, are done."""

    def __init__(self, what: str, n_total: int | None = None) -> None:
        super().__init__(progress.TimeElapsedColumn(), progress.TimeRemainingColumn())
        self._count = self.add_task(what, total=n_total)

    def step(self) -> None:
        if not self.disable:
            self.advance(self._count)

    def show(self, n_done: int, n_total: int) -> None:
        self.update(self._count, completed=n_done, total=n_total)
