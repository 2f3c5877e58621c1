"""The scheduler behind Triton; all it does is in `a1_trt.triton.a1_model`."""

from __future__ import annotations

from typing import Any

import triton_python_backend_utils as pb_utils

from a1_trt.triton.a1_model import A1Model


class TritonPythonModel:
    """What Triton's Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the pair; an error here keeps the server from starting."""
        self.model = A1Model.load(args["model_config"], pb_utils)

    async def execute(self, requests: list[Any]) -> None:
        """Start each request and return: responses go out as they are ready."""
        self.model.start(requests)

    def finalize(self) -> None:
        """Stop what runs and close the session."""
        self.model.close()
