"""The loop: some problems in flight, each graded and on disk before it counts as done."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from a1_trt.benchmarks.evaluation.datasets import Dataset
from a1_trt.benchmarks.evaluation.folder import Folder
from a1_trt.benchmarks.evaluation.samples import sample_lines
from a1_trt.benchmarks.records import ProblemRecord, grade, record_of
from a1_trt.client import AsyncClient
from a1_trt.errors import A1Error, ContextLengthError, DeadlineExceeded, InvalidRequestError
from a1_trt.types import Problem, Result

OF_THE_PROBLEM = (ContextLengthError, DeadlineExceeded, InvalidRequestError)
"""Errors that say something about one problem, which counts as wrong then; any other one stops the evaluation."""

OnProgress = Callable[[int, int, "Result | A1Error"], object]
"""Told of each problem: how many are done of how many that were to do, and what came of it."""


@dataclass
class Evaluation:
    """Solves what is not done yet, `concurrency` problems at a time.

    `overrides` are parameters of every request; `limit` takes only the first problems; `alpha` is what the controller
    compares p-values with, None where its level moves.
    """

    client: AsyncClient
    dataset: Dataset
    folder: Folder
    overrides: Mapping[str, Any]
    _: KW_ONLY
    concurrency: int = 8
    limit: int | None = None
    deadline_s: float | None = None
    alpha: float | None = None
    _n_done: int = field(default=0, init=False)
    _disk: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    def __post_init__(self) -> None:
        done = self.folder.done
        self._places = {problem.id: place for place, problem in enumerate(self.dataset.problems)}
        self.todo = [problem for problem in self.dataset.problems[: self.limit] if problem.id not in done]

    async def run(self, on_progress: OnProgress = lambda done, total, outcome: None) -> None:
        """Solve them; cancelling, or an error of the engines or the server, loses the problems in flight alone."""
        queue = iter(self.todo)
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(min(self.concurrency, len(self.todo))):
                    tasks.create_task(self._work(queue, on_progress))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _work(self, queue: Iterator[Problem], on_progress: OnProgress) -> None:
        for problem in queue:
            outcome = await self._one(problem)
            self._n_done += 1
            on_progress(self._n_done, len(self.todo), outcome)

    async def _one(self, problem: Problem) -> Result | A1Error:
        groups, place = self.dataset.groups.get(problem.id, {}), self._places[problem.id]
        try:
            result = await self.client.solve(problem, deadline_s=self.deadline_s, **self.overrides)
        except OF_THE_PROBLEM as error:
            await self._keep(record_of(problem, error, {}, place=place, groups=groups), [])
            return error
        right = await asyncio.to_thread(grade, result)
        record = record_of(problem, result, right, place=place, groups=groups)
        await self._keep(record, sample_lines(result, right, groups, self.alpha))
        return result

    async def _keep(self, record: ProblemRecord, samples: list[dict[str, Any]]) -> None:
        async with self._disk:
            line = {**record.model_dump(mode="json"), "ended_at": time.time()}
            writing = asyncio.ensure_future(asyncio.to_thread(self.folder.append, line, samples))
            try:
                await asyncio.shield(writing)
            except asyncio.CancelledError:
                await writing  # the folder must not be closed while something is written into it
                raise
