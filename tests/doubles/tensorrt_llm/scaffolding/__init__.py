"""A strict double of tensorrt_llm.scaffolding, as tests/contracts/tensorrt_llm_scaffolding.json says."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import json
from collections import deque
from enum import Enum
from pathlib import Path
from typing import Any

CONTRACT = json.loads(
    (Path(__file__).parents[3] / "contracts" / "tensorrt_llm_scaffolding.json").read_text(encoding="utf-8")
)
TaskStatus = Enum("TaskStatus", CONTRACT["TaskStatus"])


def _dataclass(name: str, bases: tuple[type, ...] = ()) -> type:
    fields = []
    for said in CONTRACT[name]:
        default = said["default"]
        made = (
            dataclasses.field(default_factory=lambda default=default: copy.copy(default))
            if isinstance(default, list | dict)
            else dataclasses.field(default=default)
        )
        fields.append((said["name"], Any, made))
    return dataclasses.make_dataclass(name, fields, bases=bases)


Task = _dataclass("Task")


class GenerationTask(_dataclass("GenerationTask", (Task,))):  # type: ignore[misc]
    _result: Any = None

    @property
    def result(self) -> Any:
        return self._result

    @result.setter
    def result(self, result: Any) -> None:
        self._result = result

    @property
    def output_str(self) -> Any:
        return self._result.outputs[0].text if self._result else None

    @staticmethod
    def create_from_prompt(prompt: str) -> GenerationTask:
        task = GenerationTask()
        task.input_str = prompt
        return task

    def create_scaffolding_output(self) -> Any:
        return self._result


class Controller:
    def __init__(self) -> None:
        self.task_collections: dict[str, Any] = {}

    def clone(self) -> Any:
        return copy.deepcopy(self)

    def generate(self, prompt: str, **kwargs: Any) -> Any:
        task = GenerationTask.create_from_prompt(prompt)
        yield from self.process([task], **kwargs)
        return task.create_scaffolding_output()

    def process(self, tasks: list[Any], **kwargs: Any) -> Any:
        raise NotImplementedError


class ParallelProcess:
    def __init__(self, controllers: list[Any], tasks_list: list[Any], kwargs_list: list[Any]) -> None:
        self.sub_gens = [
            controller.process(tasks, **kwargs)
            for controller, tasks, kwargs in zip(controllers, tasks_list, kwargs_list, strict=True)
        ]


class Worker:
    task_handlers: dict[type, Any] = {}  # noqa: RUF012  one for all workers, as in the original

    def register_task_handler(self, task_cls: type, handler: Any) -> None:
        type(self).task_handlers[task_cls] = handler

    async def run_task(self, task: Any) -> Any:
        if type(task) not in type(self).task_handlers:
            return TaskStatus.WORKER_NOT_SUPPORTED
        status = await type(self).task_handlers[type(task)](self, task)
        if not isinstance(status, TaskStatus):
            raise TypeError("a handler returns a TaskStatus")
        return status

    def shutdown(self) -> None:
        pass


class ScaffoldingResult:
    def __init__(self) -> None:
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        self.cur_output: Any = None

    def set_output(self, output: Any) -> None:
        self._queue.put_nowait(output)

    @property
    def outputs(self) -> Any:
        return self.cur_output.outputs if self.cur_output else None

    @property
    def finished(self) -> bool:
        return self.cur_output is not None and self.cur_output.finished

    async def aresult(self) -> ScaffoldingResult:
        while not self.finished:
            output = await self._queue.get()
            if output is None:
                raise Exception("ScaffoldingLlm execution failed")  # noqa: TRY002  as in the original
            self.cur_output = output
        return self

    def __await__(self) -> Any:
        return self.aresult().__await__()


class ScaffoldingLlm:
    """In a running event loop only."""

    def __init__(self, prototype_controller: Controller, workers: dict[Any, Worker]) -> None:
        if not isinstance(prototype_controller, Controller):
            raise TypeError("prototype_controller is no Controller")
        self.prototype_controller = prototype_controller
        self.workers = workers
        self.loop = asyncio.get_running_loop()
        self.running_req_count = 0
        self.max_parallel_requests = CONTRACT["ScaffoldingLlm"]["max_parallel_requests"]
        self.pending_queue: deque[Any] = deque()
        self.requests: set[asyncio.Task[None]] = set()

    def generate_async(self, prompt: str) -> ScaffoldingResult:
        if not isinstance(prompt, str):
            raise TypeError("prompt is no text")
        result = ScaffoldingResult()
        self.pending_queue.append((prompt, self.prototype_controller.clone(), result))
        self._schedule()
        return result

    def shutdown(self) -> None:
        self.pending_queue.clear()

    def _schedule(self) -> None:
        while self.running_req_count < self.max_parallel_requests and self.pending_queue:
            self.running_req_count += 1
            task = self.loop.create_task(self._request(*self.pending_queue.popleft()))
            self.requests.add(task)
            task.add_done_callback(self.requests.discard)

    async def _request(self, prompt: str, controller: Controller, result: ScaffoldingResult) -> None:
        def generator() -> Any:
            result.set_output((yield from controller.generate(prompt)))

        try:
            await self._follow(generator())
        except Exception as error:  # noqa: BLE001  printed and dropped, as in the original
            print(f"ScaffoldingLLM request exception: {error!r}")  # noqa: T201
            result.set_output(None)
        finally:
            self.running_req_count -= 1
            self._schedule()

    async def _follow(self, generator: Any) -> None:
        for said in generator:
            if isinstance(said, ParallelProcess):
                await asyncio.gather(*(asyncio.create_task(self._follow(one)) for one in said.sub_gens))
            elif isinstance(said, list) and said and all(isinstance(task, Task) for task in said):
                await asyncio.gather(
                    *(asyncio.create_task(self.workers[task.worker_tag].run_task(task)) for task in said)
                )
            else:
                raise TypeError(f"a controller yields lists of tasks or a ParallelProcess, not {said!r}")
