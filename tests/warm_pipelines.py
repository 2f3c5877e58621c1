"""Loaded pipelines for tests whose point is not that one is loaded: a load costs more than the whole test."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from a1_trt.backends.openvino.pipeline import GenerateRequest, Output, Setup
from a1_trt.backends.openvino.process import PipelineProcess
from a1_trt.errors import EngineUnavailable


class WarmPipelines:
    """Starts pipelines, and keeps those that are closed for whoever wants the same setup next.

    The KV cache stays warm as well, so that an engine may have to score a segment again without it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: defaultdict[Setup, list[PipelineProcess]] = defaultdict(list)

    def start(self, setup: Setup) -> LentPipeline:
        setup = replace(setup, model=setup.model.resolve())
        with self._lock:
            idle = self._idle[setup]
            pipeline = idle.pop() if idle else None
        return LentPipeline(self, setup, pipeline or PipelineProcess.start(setup))

    def take_back(self, setup: Setup, pipeline: PipelineProcess) -> None:
        if pipeline.in_flight:  # whoever waits for it must be told, which only the end of the process does
            pipeline.close()
            return
        with self._lock:
            self._idle[setup].append(pipeline)

    def close(self) -> None:
        for pipeline in (each for idle in self._idle.values() for each in idle):
            pipeline.close()


class LentPipeline:
    """A pipeline whose `close` gives it back; see `a1_trt.backends.openvino.pipeline.Pipeline`."""

    def __init__(self, owner: WarmPipelines, setup: Setup, pipeline: PipelineProcess) -> None:
        self._owner = owner
        self._setup = setup
        self._pipeline = pipeline
        self._is_closed = False
        self.end_tokens = pipeline.end_tokens

    @property
    def in_flight(self) -> int:
        return 0 if self._is_closed else self._pipeline.in_flight

    async def run(self, token_ids: Sequence[int], wish: GenerateRequest) -> Output:
        if self._is_closed:
            raise EngineUnavailable(f"the {self._setup.role} engine is closed", role=self._setup.role)
        return await self._pipeline.run(token_ids, wish)

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._owner.take_back(self._setup, self._pipeline)
