"""Controllers: generators that say which tasks to carry out; the framework runs many of them at once."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Sequence
from hashlib import blake2b
from typing import Any, ClassVar

from tensorrt_llm.scaffolding import Controller, ParallelProcess, Task

from a1_trt.backends.scaffolding import tasks as a1_tasks
from a1_trt.backends.scaffolding.bridge import SchedulerBridge
from a1_trt.backends.scaffolding.output import A1Output
from a1_trt.backends.scaffolding.tasks import A1Task
from a1_trt.core.scheduler import Scheduler
from a1_trt.errors import InvalidRequestError
from a1_trt.types import Parameters, Problem, SampleKey


class A1Controller(Controller):  # type: ignore[misc]
    """Solves a problem by asynchronous test-time scaling: a `ParallelProcess` of one controller a sample.

    Samples advance turn by turn, each on its own. Clones share the scheduler, and with it calibration and the limits of
    calls in flight: `ScaffoldingLlm` clones the controller for every request.

    Args:
        scheduler: Decides; nobody else may use it.
        parameters: How problems are solved.
        forget: Told of a finished problem's number and of its samples: `Caller.forget` of the workers' caller.

    Example:
        >>> caller = Caller(engines, ledgers_of(pair, engines))  # doctest: +SKIP
        >>> controller = A1Controller(scheduler, pair.parameters(), caller.forget)  # doctest: +SKIP
        >>> llm = ScaffoldingLlm(controller, make_workers(caller))  # doctest: +SKIP
        >>> (await llm.generate_async("What is 6 * 7?")).outputs[0].text  # doctest: +SKIP
    """

    WorkerTag: ClassVar[type[a1_tasks.WorkerTag]] = a1_tasks.WorkerTag

    def __init__(self, scheduler: Scheduler, parameters: Parameters, forget: Callable[[int, int], None]) -> None:
        super().__init__()
        self._bridge = SchedulerBridge(scheduler, forget)
        self._parameters = parameters

    def clone(self) -> A1Controller:
        """A controller for another request; what requests share is not copied."""
        other = copy.copy(self)
        other.task_collections = {}
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> A1Controller:
        return self.clone()

    def process(
        self, tasks: Sequence[Task], parameters: Parameters | None = None, **_: Any
    ) -> Generator[ParallelProcess, None, None]:
        """Solve the problems whose text the tasks hold; each task's `result` becomes an `A1Output`.

        Raises:
            A1Error: No sample of a problem could be worked on; the first one's error. Or too many segments of it could
                not be scored.
        """
        how = parameters or self._parameters
        samples = [self._bridge.add(_problem(task), how) for task in tasks]
        try:
            keys = [key for of_problem in samples for key in of_problem]
            controllers = [A1CandidateController(self._bridge, key) for key in keys]
            yield ParallelProcess(controllers, [[] for _ in keys], [{} for _ in keys])
        finally:
            results = [self._bridge.close(of_problem[0].problem) for of_problem in samples]
        for task, result in zip(tasks, results, strict=True):
            if result.error is not None:
                raise result.error
            task.result = A1Output.of(result)


class A1CandidateController(Controller):  # type: ignore[misc]
    """One sample: one task after the other, each decided by what came of the last."""

    WorkerTag: ClassVar[type[a1_tasks.WorkerTag]] = a1_tasks.WorkerTag

    def __init__(self, bridge: SchedulerBridge, key: SampleKey) -> None:
        super().__init__()
        self._bridge = bridge
        self._key = key

    def process(self, tasks: Sequence[Task], **_: Any) -> Generator[list[Task], None, None]:
        del tasks  # the scheduler holds the problem
        while (task := self._bridge.next(self._key)) is not None:
            yield [task]
            if isinstance(task, A1Task):
                self._bridge.book(task)


def _problem(task: Task) -> Problem:
    text = task.input_str
    if not isinstance(text, str) or not text:
        raise InvalidRequestError(
            "the task has no input_str", field="input_str", remedy="give the problem as text, not as tokens"
        )
    # The id takes part in every seed: the same problem gives the same samples.
    return Problem(text, id=blake2b(text.encode(), digest_size=8).hexdigest())
