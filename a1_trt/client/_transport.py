"""The one seam of the client: something that yields the events of a problem, wherever it is solved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Protocol, TypedDict

from a1_trt.addresses import proxy_note
from a1_trt.errors import DeadlineExceeded, EngineUnavailable
from a1_trt.parameters import MAX_SAMPLES, Admission, Parameters, Strategy, TakeoverFrom
from a1_trt.requests import Options
from a1_trt.types import Event, Problem

Events = AsyncGenerator[Event, None]

# A client does not know the pair that a server runs. Only a budget is judged by another parameter, n_samples: without
# it the client lets every budget pass that could be right, and the server decides.
UNKNOWN_PAIR = Parameters(n_samples=MAX_SAMPLES)

ATTEMPTS = 4


class Overrides(TypedDict, total=False):
    """Parameters of a request that replace the pair's own; `a1_trt.Parameters` says what each means.

    `budget` is another way to give alpha: the target may take over budget of n_samples segments.
    """

    n_samples: int | None
    max_turns: int | None
    max_chain_tokens: int | None
    alpha: float | None
    budget: int | None
    draft_tokens: int | None
    target_tokens: int | None
    temperature: float | None
    seed: int | None
    early_stop: bool | None
    score_answers: bool | None
    optimistic: bool | None
    exact_budget: bool | None
    takeover_from: TakeoverFrom | None
    strategy: Strategy | None
    admission: Admission | None


class Transport(Protocol):
    """A way to get problems solved."""

    @property
    def defaults(self) -> Parameters:
        """The parameters that a request leaves out; of a server, which knows them itself, `UNKNOWN_PAIR`."""

    def events(self, problem: Problem, options: Options, *, live: bool) -> Events:
        """Solve a problem; closing the generator, or cancelling the task that iterates, stops the work everywhere.

        Args:
            problem: The problem; the result holds it as it is here.
            options: How to solve it.
            live: Yield everything as it happens; otherwise the final `ProblemFinished` is enough.

        Raises:
            A1Error: The problem cannot be solved, or the other side cannot be reached.
        """

    async def aclose(self) -> None:
        """Let go of everything; a second call does nothing."""


def unreachable(url: str, reason: str) -> EngineUnavailable:
    """The error of a server that does not answer."""
    return EngineUnavailable(
        f"the server at {url} cannot be reached: {reason}{proxy_note(url)}",
        field="url",
        remedy="start the server with 'a1-trt serve', or check host and port",
    )


async def retried(open_events: Callable[[], Events]) -> Events:
    """The events, tried again while the server cannot be reached; never once an event has arrived."""
    for attempt in range(ATTEMPTS):
        events = open_events()
        try:
            first = await anext(events)
            break
        except EngineUnavailable as error:
            if error.field != "url" or attempt == ATTEMPTS - 1:
                raise
        await asyncio.sleep(0.1 * 2**attempt)
    async with aclosing(events):
        yield first
        async for event in events:
            yield event


async def within(events: Events, deadline_s: float | None) -> Events:
    """The events, until `deadline_s` seconds from now; then all work on them is cancelled."""
    loop = asyncio.get_running_loop()
    end = None if deadline_s is None else loop.time() + deadline_s
    async with aclosing(events):
        while True:
            # No timeout is open across the yield: there the caller's own code runs, which is not ours to cancel.
            try:
                async with asyncio.timeout_at(end) as limit:
                    event = await anext(events)
            except StopAsyncIteration:
                return
            except TimeoutError:
                if not limit.expired():
                    raise
                raise _late(deadline_s) from None
            if end is not None and loop.time() > end:  # an event that was waiting already is there without any await
                raise _late(deadline_s)
            yield event


def _late(deadline_s: float | None) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"the problem was not solved within {deadline_s} s", field="deadline_s", remedy="allow more time"
    )
