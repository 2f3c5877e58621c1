"""How far many problems have come: bars that move on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
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

from a1_trt.cli.output import is_live, note, percent
from a1_trt.types import Result

_LINE_EVERY_S = 5.0


class _View:
    """Bars on standard error while a block of code runs; on a terminal only."""

    def __init__(self, *columns: ProgressColumn) -> None:
        self._live = is_live()
        self._bars = Progress(*columns, console=Console(stderr=True), disable=not self._live)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()


class SolvingView(_View):
    """Shows problems as they are solved, by one or several ways, on standard error.

    Args:
        arms: Names of the ways.
        n_problems: Problems of each.
    """

    def __init__(self, arms: Iterable[str], n_problems: int) -> None:
        super().__init__(
            TextColumn("{task.description:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[said]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._tasks = {arm: self._bars.add_task(arm, total=n_problems, said="", start=False) for arm in arms}
        self._said = {arm: [0, 0] for arm in self._tasks}
        self._started_s = self._last_line_s = time.monotonic()

    def update(self, arm: str, n_done: int, n_total: int, outcome: object) -> None:
        """One more problem is done."""
        said = self._said[arm]
        if isinstance(outcome, Result):
            said[0] += outcome.usage.n_takeovers
            said[1] += outcome.usage.n_scored
        rate = f"rejected {percent(said[0] / said[1])}" if said[1] else ""
        self._bars.start_task(self._tasks[arm])
        self._bars.update(self._tasks[arm], completed=n_done, said=rate)
        now_s = time.monotonic()
        if not self._live and (n_done == n_total or now_s - self._last_line_s > _LINE_EVERY_S):
            self._last_line_s = now_s
            left_s = (now_s - self._started_s) / n_done * (n_total - n_done)
            left = f"about {left_s:.0f} s left" if n_done < n_total else ""
            note(" ".join(filter(None, (f"{arm}: {n_done} of {n_total} problems", rate, left))))


class StepsView(_View):
    """Shows the steps of a build, on standard error.

    Args:
        n_steps: How many there are.
    """

    def __init__(self, n_steps: int) -> None:
        super().__init__(TextColumn("{task.description:<18}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._n_steps = n_steps
        self._task = self._bars.add_task("starting", total=n_steps)

    def update(self, n_done: int, step: str, state: str) -> None:
        """A step begins, was done before, or is done now."""
        self._bars.update(self._task, completed=n_done, description=step)
        if not self._live:
            note(f"[{n_done}/{self._n_steps}] {step} {state}")


class CountView(_View):
    """Shows how many of something are done, on standard error.

    Args:
        what: What is counted, in the plural.
        n_total: How many there are, where that is known.
    """

    def __init__(self, what: str, n_total: int | None = None) -> None:
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._what = what
        self._task = self._bars.add_task(what, total=n_total)
        self._n_done = 0
        self._last_line_s = time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.update(self._task, completed=self._n_done, refresh=True)
        super().__exit__(kind, error, trace)

    def step(self) -> None:
        """One more is done; cheap enough for millions."""
        self._n_done += 1
        if not self._n_done % 256:
            self._show()

    def show(self, n_done: int, n_total: int) -> None:
        """So many are done, of so many."""
        self._n_done = n_done
        self._bars.update(self._task, total=n_total)
        self._show()

    def _show(self) -> None:
        self._bars.update(self._task, completed=self._n_done)
        now_s = time.monotonic()
        if not self._live and now_s - self._last_line_s > _LINE_EVERY_S:
            self._last_line_s = now_s
            total = self._bars.tasks[self._task].total
            note(f"{self._n_done:,}{f' of {total:,.0f}' if total else ''} {self._what}")
