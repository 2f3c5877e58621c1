"""Controllers: generators that say which tasks to carry out; the framework runs many of them at once."""

import copy
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, ClassVar, Self

from tensorrt_llm.scaffolding import Controller, ParallelProcess, Task

from a1_trt.backends.scaffolding import tasks as a1_tasks
from a1_trt.backends.scaffolding.bridge import SchedulerBridge
from a1_trt.backends.scaffolding.tasks import A1Task
from a1_trt.core.reasoning.answers import normalise
from a1_trt.core.scheduler import Scheduler
from a1_trt.errors import InvalidRequestError
from a1_trt.types import Parameters, Problem, Result, SampleKey, Trajectory


@dataclass(frozen=True, slots=True)
class A1Completion:
    """A chain, as an element of `outputs`."""

    text: str
    token_ids: tuple[int, ...] = ()  # of more than one tokenizer where draft and target have different ones
    finish_reason: str | None = None
    answer: str | None = None  # the problem's, by vote of all samples
    index: int = 0
    cumulative_logprob: float | None = None
    logprobs: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class A1Output:
    """What `ScaffoldingLlm` returns; `outputs` is the first sample that voted for the answer, else the first sample."""

    result: Result
    outputs: tuple[A1Completion, ...] = ()
    context_logits: None = None
    finished: bool = True

    @property
    def text(self) -> str:
        return self.outputs[0].text if self.outputs else ""

    @classmethod
    def of(cls, result: Result) -> Self:
        voted = [chain for chain in result.trajectories if chain.answer and normalise(chain.answer) == result.answer]
        return cls(result, tuple(_completion(chain, result.answer) for chain in (voted or result.trajectories)[:1]))


class A1Controller(Controller):  # type: ignore[misc]
    """Solves a problem by asynchronous test-time scaling: a `ParallelProcess` of one controller a sample.

    Samples advance turn by turn, each on its own. Clones share the scheduler, and with it calibration and the limits of
    calls in flight: `ScaffoldingLlm` clones the controller for every request.

    Args:
        scheduler: Decides; nobody else may use it.
        parameters: How problems are solved.
        forget: Told of a finished problem's number and of its samples: `CallRunner.forget` of the workers' caller.

    Example:
        >>> caller = CallRunner(engines, ledgers_of(pair, engines))  # doctest: +SKIP
        >>> controller = A1Controller(scheduler, pair.parameters(), caller.forget)  # doctest: +SKIP
        >>> llm = ScaffoldingLlm(controller, make_workers(caller))  # doctest: +SKIP
        >>> (await llm.generate_async("What is 6 * 7?")).outputs[0].text  # doctest: +SKIP
    """

    WorkerTag: ClassVar[type[a1_tasks.WorkerTag]] = a1_tasks.WorkerTag

    def __init__(self, scheduler: Scheduler, parameters: Parameters, forget: Callable[[int, int], None]) -> None:
        super().__init__()
        self._bridge = SchedulerBridge(scheduler, forget)
        self._parameters = parameters

    def clone(self) -> Self:
        """A controller for another request; what requests share is not copied."""
        other = copy.copy(self)
        other.task_collections = {}
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.clone()

    def process(
        self, tasks: Sequence[Task], parameters: Parameters | None = None, **_: Any
    ) -> Generator[ParallelProcess, None, None]:
        """Solve the problems whose text the tasks hold: each task's `result` becomes an `A1Output`."""
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
        remedy = "give the problem as text, not as tokens"
        raise InvalidRequestError("the task has no input_str", field="input_str", remedy=remedy)
    # The id takes part in every seed: the same problem gives the same samples.
    return Problem(text, id=blake2b(text.encode(), digest_size=8).hexdigest())


def _completion(chain: Trajectory, answer: str | None) -> A1Completion:
    ids = tuple(token for turn in chain.turns for segment in turn.segments for token in segment.token_ids)
    return A1Completion(chain.text, ids, chain.end.value, answer, chain.sample)
