"""One scheduler behind all samples of all requests."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Self

from tensorrt_llm.scaffolding import Task

from a1_trt.backends.scaffolding.tasks import TASKS, A1Task, WaitTask, WorkerTag
from a1_trt.core.scheduler import Scheduler
from a1_trt.errors import A1Error, Cancelled, EngineError
from a1_trt.types import (
    Call,
    Completion,
    Logprobs,
    Parameters,
    Problem,
    ProblemFinished,
    Result,
    SampleFinished,
    SampleKey,
    Segment,
)


class SchedulerBridge:
    """Hands the scheduler's calls to the samples that they are for, and what came of them back to it.

    The framework runs the samples; this is all that they share, so it is never copied with a controller. Used from one
    event loop. `forget` is told of a finished problem's number and of its samples.
    """

    def __init__(self, scheduler: Scheduler, forget: Callable[[int, int], None]) -> None:
        self._scheduler = scheduler
        self._forget = forget
        self._calls: dict[SampleKey, Call] = {}
        self._tasks: dict[int, A1Task] = {}
        self._waiting: dict[SampleKey, asyncio.Future[None]] = {}
        self._open: set[int] = set()
        self._ended: set[SampleKey] = set()
        self._results: dict[int, Result] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def add(self, problem: Problem, parameters: Parameters) -> list[SampleKey]:
        number = self._scheduler.add(problem, parameters)
        self._open.add(number)
        self._pump()
        return [SampleKey(number, sample) for sample in range(parameters.n_samples)]

    def next(self, key: SampleKey) -> Task | None:
        """What a sample does next; None when it has ended."""
        call = self._calls.pop(key, None)
        if call is not None:
            kind, tag = TASKS[call.kind]
            task = self._tasks[call.id] = kind(call=call, worker_tag=tag)
            return task
        if self._has_ended(key):
            return None
        return WaitTask(ready=partial(self._ready, key), worker_tag=WorkerTag.DRAFT)

    def book(self, task: A1Task) -> None:
        call = task.call
        assert call is not None  # noqa: S101  tasks are made in `next`
        del self._tasks[call.id]
        outcome = task.outcome or EngineError(
            f"no worker carried out a {call.kind} call", role=call.role, remedy="give ScaffoldingLlm `make_workers`"
        )
        self._report(call, outcome, task.started_s, task.ended_s)
        self._pump()

    def close(self, number: int) -> Result:
        """The result of a problem; work on it that is not done is stopped."""
        self._follow(self._scheduler.cancel(number))
        self._pump()
        self._open.discard(number)
        result = self._results.pop(number)
        self._ended -= {key for key in self._ended if key.problem == number}
        return result

    async def _ready(self, key: SampleKey) -> None:
        if key in self._calls or self._has_ended(key):
            return
        turn = self._waiting[key] = asyncio.get_running_loop().create_future()
        try:
            await turn
        finally:
            del self._waiting[key]

    def _has_ended(self, key: SampleKey) -> bool:
        return key in self._ended or key.problem not in self._open

    def _pump(self) -> None:
        """Start and cancel what the scheduler wants started and cancelled, and wake the samples that this is for."""
        while True:
            plan = self._scheduler.schedule()
            self._calls |= {call.key: call for call in plan.start}
            for call_id in plan.cancel:
                self._drop(call_id)
            if not plan.cancel:
                break
        for key, turn in self._waiting.items():
            if (key in self._calls or self._has_ended(key)) and not turn.done():
                turn.set_result(None)

    def _drop(self, call_id: int) -> None:
        if call_id in self._tasks:
            self._tasks[call_id].cancel()
            return
        for key, call in list(self._calls.items()):
            if call.id == call_id:  # no worker has it yet
                del self._calls[key]
                self._report(call, Cancelled("the call is no longer needed"), 0.0, 0.0)

    def _report(self, call: Call, outcome: Segment | Logprobs | A1Error, started_s: float, ended_s: float) -> None:
        self._follow(self._scheduler.update(Completion(call, outcome, started_s, ended_s)))

    def _follow(self, events: list[tuple[int, Any]]) -> None:
        for number, event in events:
            if isinstance(event, SampleFinished):
                self._ended.add(SampleKey(number, event.sample))
            elif isinstance(event, ProblemFinished):
                self._results[number] = event.result
                self._forget(number, len(event.result.trajectories))
