"""One process that solves problems: a pair, its engines, one scheduler and the online calibration they share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from a1_trt.config import Pair
from a1_trt.core.conformal import SCORES, Controller
from a1_trt.core.scheduler import Scheduler
from a1_trt.engine import Engine
from a1_trt.errors import Cancelled, EngineUnavailable
from a1_trt.runtime.calibration import CalibrationWriter, Recorded, controller_of
from a1_trt.runtime.driver import CallRunner, Driver, OnCall
from a1_trt.runtime.metrics import Metrics
from a1_trt.runtime.opening import ledgers_of, open_controller, open_engines
from a1_trt.types import ROLES, Event, Parameters, Problem, ProblemFinished, Result, Role


class Session:
    """Solves any number of problems at once on one pair of engines.

    Use it from one event loop. Problems do not wait for each other; they share the calls in flight and the calibration.

    Args:
        pair: The pair.
        engines: One engine per role.
        controller: Decides about takeovers; the pair's own, without any past, when None.
        writer: Keeps the decisions; the session closes it.
        call_timeout_s: Longest time of one call to an engine, seconds.
        on_call: Told of every request to an engine when it is over; its call's problem is the number of the problem in
            this session, 0, 1 and so on in the order in which they were given to it.
        closes_engines: Close the engines with the session.
        canary_s: Pause between canary scores that fail, while scoring is unavailable, seconds.

    Example:
        >>> problem = Problem("a = 3, b = a+4, c = b*2, d = c-a. What is d modulo 100?")
        >>> async def main() -> None:
        ...     async with await open_session(load_pair("reference")) as session:
        ...         print((await session.solve(problem)).answer)
    """

    def __init__(
        self,
        pair: Pair,
        engines: Mapping[Role, Engine],
        *,
        controller: Controller | None = None,
        writer: CalibrationWriter | None = None,
        call_timeout_s: float = 600.0,
        on_call: OnCall | None = None,
        closes_engines: bool = True,
        canary_s: float = 1.0,
    ) -> None:
        conformal = pair.conformal
        self.pair = pair
        self.controller = controller_of(pair) if controller is None else controller
        self._writer = writer
        self.metrics = Metrics()
        self.engines = engines
        self._scheduler = Scheduler(
            self.controller if writer is None else Recorded(self.controller, writer.append),
            SCORES[conformal.score],
            {role: pair.role(role).max_in_flight for role in ROLES},
            category=conformal.category,
            max_takeovers=conformal.max_takeovers,
            max_unscored=conformal.max_unscored,
        )
        runner = CallRunner(engines, ledgers_of(pair, engines), call_timeout_s=call_timeout_s, on_call=on_call)
        self._driver = Driver(self._scheduler, runner, self._on_event, canary_s=canary_s)
        self._closes_engines = closes_engines
        self._listeners: dict[int, asyncio.Queue[Event]] = {}
        self._closed = False

    @property
    def is_scoring(self) -> bool:
        """Whether segments can be scored; while too many cannot, problems fail. See `a1_trt.core.scheduler.Scoring`."""
        return self._scheduler.scoring.is_available

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def solve(self, problem: Problem, parameters: Parameters | None = None) -> Result:
        """Solve one problem; cancelling the task stops all work on it.

        Raises:
            A1Error: No sample of the problem could be worked on; the first one's error.
            ScoringUnavailable: Too many segments could not be scored.
        """
        async with aclosing(self.stream(problem, parameters)) as events:
            async for event in events:
                if isinstance(event, ProblemFinished):
                    return event.result
        raise Cancelled("the session was closed")

    async def stream(self, problem: Problem, parameters: Parameters | None = None) -> AsyncGenerator[Event, None]:
        """Solve one problem and tell what happens, `ProblemFinished` last; closing it early stops the work.

        Raises:
            A1Error: No sample of the problem could be worked on; the first one's error.
            ScoringUnavailable: Too many segments could not be scored.
        """
        if self._closed:
            raise EngineUnavailable("the session is closed", remedy="open a new one")
        clock = asyncio.get_running_loop().time
        started_s = clock()
        number = self._scheduler.add(problem, parameters or self.pair.parameters())
        events = self._listeners[number] = asyncio.Queue()
        self._driver.pump()
        try:
            while True:
                event = await events.get()
                if isinstance(event, ProblemFinished):
                    if event.result.error is not None:
                        raise event.result.error
                    yield ProblemFinished(replace(event.result, wall_s=clock() - started_s))
                    return
                yield event
        finally:
            self._driver.dispatch(self._scheduler.cancel(number))
            del self._listeners[number]
            self._driver.pump()

    def snapshot(self) -> dict[str, Any]:
        """The totals of `metrics`, with the calls in flight per role and the size of the calibration set."""
        return {
            **self.metrics.snapshot(),
            "calls_in_flight": {role: self._scheduler.n_in_flight(role) for role in ROLES},
            "calls_waiting": {role: len(self._scheduler.waiting[role]) for role in ROLES},
            "calibration_size": len(self.controller),
            "scoring_available": self.is_scoring,
        }

    async def aclose(self) -> None:
        """Stop all work and close the engines; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        for number in list(self._listeners):
            self._driver.dispatch(self._scheduler.cancel(number))
        await self._driver.aclose()
        for engine in self.engines.values() if self._closes_engines else ():
            await engine.aclose()
        if self._writer is not None:
            self._writer.close()

    def _on_event(self, number: int, event: Event) -> None:
        self.metrics.fold(event)
        listener = self._listeners.get(number)
        if listener is not None:
            listener.put_nowait(event)


async def open_session(
    pair: Pair,
    *,
    url: str | None = None,
    replicas: Mapping[Role, Sequence[str]] | None = None,
    engines: Mapping[Role, Engine] | None = None,
    controller: Controller | None = None,
) -> Session:
    """A session on the pair's engines.

    Args:
        pair: The pair.
        url: ``host:port`` of a Triton gRPC endpoint that serves the models "draft" and "target"; None loads both into
            this process.
        replicas: Addresses of a role's replicas, ``host:port`` or ``host:port/model``, where it has several or is not
            at `url`. With a `url`, the addresses that the pair gives (``[serving]``) come before these.
        engines: Engines to use in place of the pair's; the session closes them.
        controller: Decides about takeovers; when None the pair's own, in the state of the pair's calibration file.

    Raises:
        CalibrationError: The calibration file cannot be read, or belongs to another pair.
        ConfigError: A model is missing or cannot be loaded.
        EngineUnavailable: The server cannot be reached.
    """
    controller, writer = open_controller(pair) if controller is None else (controller, None)
    try:
        engines = engines or await open_engines(pair, url=url, replicas=replicas)
    except BaseException:
        if writer is not None:
            writer.close()
        raise
    return Session(pair, engines, controller=controller, writer=writer)
