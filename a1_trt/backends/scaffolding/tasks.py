"""Calls as tasks. A worker is found by the tag of a task, and its handler by the task's exact type."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from tensorrt_llm.scaffolding import Task

from a1_trt.errors import A1Error
from a1_trt.types import Call, CallKind, Logprobs, Segment


class WorkerTag(Enum):
    """Which worker a task is for; SCORE and TARGET usually share an engine."""

    DRAFT = "a1_draft"
    SCORE = "a1_score"
    TARGET = "a1_target"


@dataclass
class A1Task(Task):  # type: ignore[misc]
    """A call of the scheduler, what came of it (None until carried out), and when, on the event loop's clock."""

    call: Call | None = None
    outcome: Segment | Logprobs | A1Error | None = None
    started_s: float = 0.0
    ended_s: float = 0.0
    cancel_flag: bool = False
    request_handle: Any = field(default=None, repr=False)

    def cancel(self) -> None:
        """Give the work up; the worker reports it as cancelled."""
        self.cancel_flag = True
        if self.request_handle is not None:
            self.request_handle.cancel()


@dataclass
class DraftTask(A1Task):
    """The draft writes a segment."""


@dataclass
class ScoreTask(A1Task):
    """The target scores the last segment."""


@dataclass
class TakeoverTask(A1Task):
    """The target goes on."""


@dataclass
class WaitTask(Task):  # type: ignore[misc]
    """The sample has nothing to do until `ready` comes back: all places are taken, or a barrier holds it."""

    ready: Callable[[], Awaitable[None]] | None = field(default=None, repr=False)


TASKS: dict[CallKind, tuple[type[A1Task], WorkerTag]] = {
    "draft": (DraftTask, WorkerTag.DRAFT),
    "score": (ScoreTask, WorkerTag.SCORE),
    "takeover": (TakeoverTask, WorkerTag.TARGET),
}
