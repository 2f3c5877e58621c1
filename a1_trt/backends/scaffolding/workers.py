"""Workers: what carries tasks out, on any engines."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Protocol

from tensorrt_llm.scaffolding import Task, TaskStatus, Worker

from a1_trt.backends.scaffolding.tasks import A1Task, DraftTask, ScoreTask, TakeoverTask, WaitTask, WorkerTag
from a1_trt.errors import A1Error, Cancelled
from a1_trt.types import Call, Logprobs, Segment

Handler = Callable[[Any, Any], Coroutine[Any, Any, TaskStatus]]


class Makes(Protocol):
    """What makes calls: `a1_trt.runtime.driver.CallRunner`."""

    async def make(self, call: Call) -> Segment | Logprobs | A1Error:
        """What a call comes to; it never raises, unless it is cancelled."""


class _EngineWorker(Worker):  # type: ignore[misc]
    task_handlers: ClassVar[dict[type[Task], Handler]] = {}

    def __init__(self, caller: Makes) -> None:
        self.caller = caller


async def _carry_out(worker: _EngineWorker, task: A1Task) -> TaskStatus:
    """Make the task's call. The framework looks at no status, so whatever happens is the task's outcome."""
    clock = asyncio.get_running_loop().time
    assert task.call is not None  # noqa: S101
    task.started_s = clock()
    task.outcome = Cancelled("the call is no longer needed")
    if not task.cancel_flag:
        task.request_handle = asyncio.ensure_future(worker.caller.make(task.call))
        try:
            task.outcome = await task.request_handle
        except asyncio.CancelledError:
            if not task.cancel_flag:  # it is the request that is cancelled, not this task alone
                task.request_handle.cancel()
                raise
        finally:
            task.request_handle = None
    task.ended_s = clock()
    return TaskStatus.WORKER_EXECEPTION if isinstance(task.outcome, A1Error) else TaskStatus.SUCCESS


async def _wait(worker: _EngineWorker, task: WaitTask) -> TaskStatus:
    del worker
    assert task.ready is not None  # noqa: S101
    await task.ready()
    return TaskStatus.SUCCESS


# Each has a table of its own: the framework's is one for all workers that have none.
class DraftWorker(_EngineWorker):
    task_handlers: ClassVar[dict[type[Task], Handler]] = {DraftTask: _carry_out, WaitTask: _wait}


class ScoreWorker(_EngineWorker):
    task_handlers: ClassVar[dict[type[Task], Handler]] = {ScoreTask: _carry_out}


class TargetWorker(_EngineWorker):
    task_handlers: ClassVar[dict[type[Task], Handler]] = {TakeoverTask: _carry_out}


def make_workers(caller: Makes) -> dict[WorkerTag, Worker]:
    return {
        WorkerTag.DRAFT: DraftWorker(caller),
        WorkerTag.SCORE: ScoreWorker(caller),
        WorkerTag.TARGET: TargetWorker(caller),
    }
