"""The client, written once, in asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Unpack

from a1_trt.client._target import Target, connect
from a1_trt.client._transport import Events, Overrides, within
from a1_trt.errors import A1Error, Cancelled, EngineError, EngineUnavailable, InvalidRequestError
from a1_trt.requests import Options, check_problem, make_options
from a1_trt.types import Problem, ProblemFinished, Result


@dataclass(frozen=True, slots=True)
class Progress:
    """One more problem of `solve_many` is done.

    Args:
        n_done: Problems done, this one included.
        n_total: Problems in all.
        index: Which one it was, from 0.
        outcome: Its result or error.
    """

    n_done: int
    n_total: int
    index: int
    outcome: Result | A1Error = field(repr=False)


class AsyncClient:
    """Solves problems on a server or in this process. Use it from one event loop.

    The target is ``grpc://host:port``, ``http://host:port``, a pair (name, file or `Pair`) or a `Session`. A pair is
    loaded on first use and freed on close; a session stays open, since it is the caller's.

    Example:
        >>> problem = "a = 3, b = a+4, c = b*2, d = c-a. What is d modulo 100?"
        >>> async def main() -> None:
        ...     async with AsyncClient("grpc://localhost:8001") as client:
        ...         result = await client.solve(problem, n_samples=8, alpha=0.3)
        ...         print(result.answer, result.rejection_rate)
    """

    def __init__(self, target: Target) -> None:
        self._transport = connect(target)
        self._closed = False

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def solve(
        self, problem: str | Problem, *, deadline_s: float | None = None, **parameters: Unpack[Overrides]
    ) -> Result:
        """Solve one problem.

        Args:
            problem: Its text, or a `Problem`, whose id takes part in every seed.
            deadline_s: Seconds it may take; then the work on it is cancelled, on the server too.
            **parameters: See `Overrides`.

        Raises:
            A1Error: InvalidRequestError, DeadlineExceeded, EngineUnavailable, or what a server says in its own words.
        """
        return await self._solve(_checked(problem), self._options(parameters, deadline_s))

    async def solve_many(
        self,
        problems: Iterable[str | Problem],
        *,
        concurrency: int = 64,
        on_progress: Callable[[Progress], object] | None = None,
        deadline_s: float | None = None,
        **parameters: Unpack[Overrides],
    ) -> list[Result | A1Error]:
        """Solve many problems at once; none waits for another, and none is harmed by another's failure.

        Args:
            problems: The problems; texts are named by their place.
            concurrency: Most problems in flight; the next starts as soon as one is done.
            on_progress: Called after every problem.
            deadline_s: Seconds each problem may take, from its own start.
            **parameters: See `Overrides`; the same for all.

        Returns:
            A result or an error for every problem, in the order of `problems`; a wrong parameter is raised.
        """
        options = self._options(parameters, deadline_s)
        if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
            remedy = "give a whole number of at least 1"
            raise InvalidRequestError(f"concurrency is {concurrency!r}", field="concurrency", remedy=remedy)
        waiting = list(enumerate(problems))
        outcomes: dict[int, Result | A1Error] = {}
        queue = iter(waiting)

        async def work() -> None:
            # All workers draw from one queue, so a slow problem holds back nobody but its own worker.
            for index, problem in queue:
                try:
                    outcomes[index] = await self._solve(_checked(problem, id=str(index)), options)
                except A1Error as error:
                    outcomes[index] = error
                except Exception as error:  # noqa: BLE001  the results of the others are not lost with it
                    outcomes[index] = EngineError(f"{type(error).__name__}: {error}")
                if on_progress is not None:
                    on_progress(Progress(len(outcomes), len(waiting), index, outcomes[index]))

        await _all(work, min(concurrency, len(waiting)))
        return [outcomes[index] for index, _ in waiting]

    def stream(
        self, problem: str | Problem, *, deadline_s: float | None = None, **parameters: Unpack[Overrides]
    ) -> Events:
        """Solve one problem and tell what happens; closing the iterator early stops the work, on the server too.

        Arguments and errors are those of `solve`.

        Yields:
            `SegmentWritten`, `SegmentScored` and `SampleFinished` as they happen; last, `ProblemFinished`.
        """
        return self.events(_checked(problem), self._options(parameters, deadline_s))

    def events(self, problem: Problem, options: Options, *, live: bool = True) -> Events:
        """The same as `stream`, for what is checked already.

        Args:
            problem: The problem.
            options: How to solve it.
            live: Tell everything as it happens; otherwise the final `ProblemFinished` is enough.
        """
        return within(self._transport.events(problem, options, live=live), options.deadline_s)

    async def aclose(self) -> None:
        """Let go of connections and of engines loaded here; a second call does nothing."""
        self._closed = True
        await self._transport.aclose()

    async def _solve(self, problem: Problem, options: Options) -> Result:
        async with aclosing(self.events(problem, options, live=False)) as events:
            async for event in events:
                if isinstance(event, ProblemFinished):
                    return event.result
        raise Cancelled("the work was stopped before its end", remedy="ask again")

    def _options(self, parameters: Mapping[str, Any], deadline_s: float | None) -> Options:
        if self._closed:
            raise EngineUnavailable("the client is closed", remedy="make a new one")
        return make_options(self._transport.defaults, parameters, deadline_s)


def _checked(problem: str | Problem, *, id: str = "0") -> Problem:
    if isinstance(problem, Problem):
        return check_problem(problem.text, id=problem.id, answer=problem.answer)
    return check_problem(problem, id=id)


async def _all(work: Callable[[], Coroutine[Any, Any, None]], n: int) -> None:
    """Run n copies of `work` at once; the first failure stops the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(n):
                tasks.create_task(work())
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
