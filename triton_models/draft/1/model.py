"""A draft or target model behind Triton; all it does is in `a1_trt.triton.engine_model`."""

from __future__ import annotations

from typing import Any

import triton_python_backend_utils as pb_utils

from a1_trt.triton.engine_model import EngineModel


class TritonPythonModel:
    """What Triton's Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the engine; an error here keeps the server from starting."""
        self.model = EngineModel.load(args, pb_utils)

    async def execute(self, requests: list[Any]) -> None:
        """Start each request and return: responses go out as they are ready."""
        self.model.start(requests)

    def finalize(self) -> None:
        """Stop what runs and free the engine."""
        self.model.close()
