"""How far many problems, steps or samples have come: bars on standard error, on a terminal only."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Self

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


class _View:
    """Bars while a block of code runs."""

    def __init__(self, *columns: ProgressColumn) -> None:
        self._live = is_live()
        self._bars = Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            *columns,
            console=Console(stderr=True),
            disable=not self._live,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()


class SolvingView(_View):
    """Shows problems as they are solved, by one or several strategies.

    Args:
        arms: Names of the strategies.
        n_problems: Problems of each.
    """

    def __init__(self, arms: Iterable[str], n_problems: int) -> None:
        super().__init__(TextColumn("{task.fields[rejected]}"), TimeElapsedColumn(), TimeRemainingColumn())
        self._tasks = {arm: self._bars.add_task(arm, total=n_problems, rejected="", start=False) for arm in arms}
        self._counts = {arm: [0, 0] for arm in self._tasks}

    def update(self, arm: str, n_done: int, n_total: int, outcome: object) -> None:
        """One more problem is done."""
        counts = self._counts[arm]
        if isinstance(outcome, Result):
            counts[0] += outcome.usage.n_takeovers
            counts[1] += outcome.usage.n_scored
        rejected = f"rejected {percent(counts[0] / counts[1])}" if counts[1] else ""
        self._bars.start_task(self._tasks[arm])
        self._bars.update(self._tasks[arm], completed=n_done, rejected=rejected)


class StepsView(_View):
    """Shows the steps of a build; where there is no terminal, a line for each: they are few, and take long.

    Args:
        n_steps: How many there are.
    """

    def __init__(self, n_steps: int) -> None:
        super().__init__(TimeElapsedColumn())
        self._n_steps = n_steps
        self._task = self._bars.add_task("starting", total=n_steps)

    def update(self, n_done: int, step: str, state: str) -> None:
        """A step begins, was done before, or is done now."""
        self._bars.update(self._task, completed=n_done, description=step)
        if not self._live:
            note(f"[{n_done}/{self._n_steps}] {step} {state}")


class CountView(_View):
    """Shows how many of something are done.

    Args:
        what: What is counted, in the plural.
        n_total: How many there are, where that is known.
    """

    def __init__(self, what: str, n_total: int | None = None) -> None:
        super().__init__(TimeElapsedColumn(), TimeRemainingColumn())
        self._task = self._bars.add_task(what, total=n_total)
        self._n_done = 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.update(self._task, completed=self._n_done, refresh=True)
        super().__exit__(kind, error, trace)

    def step(self) -> None:
        """One more is done; cheap enough for millions."""
        self._n_done += 1
        if not self._n_done % 256:
            self._bars.update(self._task, completed=self._n_done)

    def show(self, n_done: int, n_total: int) -> None:
        """So many are done, of so many."""
        self._n_done = n_done
        self._bars.update(self._task, completed=n_done, total=n_total)
