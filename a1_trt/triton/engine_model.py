"""The Triton models "draft" and "target": an engine that answers with the tensors of TensorRT-LLM's `tensorrt_llm`."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from a1_trt.config import Pair, load_pair
from a1_trt.errors import A1Error, ConfigError, EngineOverloaded, InvalidRequestError
from a1_trt.triton.request_loop import RequestLoop, TritonRequest, model_parameters
from a1_trt.triton.tensors import ENGINE_INPUTS
from a1_trt.types import Role

if TYPE_CHECKING:  # each needs packages that the other does not
    from a1_trt.backends.openvino import OpenVinoEngine
    from a1_trt.backends.tensorrt_llm import TensorRtLlmEngine

MAX_REQUESTS = 1024
_POLL_S = 0.1
_REQUESTS = "Requests that wait or run in an engine, by role"
_CANCELLED = "Requests that were cut short since the start, by role"


class EngineModel:
    """One engine. A request with `draft_input_ids` has those scored, any other one generates."""

    def __init__(self, engine: OpenVinoEngine | TensorRtLlmEngine, role: Role, pb: Any) -> None:
        self._engine = engine
        self._role: Role = role
        self._loop = RequestLoop(pb, self._work, poll_s=_POLL_S, on_poll=self._export)
        self.start = self._loop.start
        kind = pb.MetricFamily.GAUGE
        self._families = (
            pb.MetricFamily(name="a1_engine_requests", description=_REQUESTS, kind=kind),
            pb.MetricFamily(name="a1_engine_cancelled", description=_CANCELLED, kind=kind),
        )
        self._requests, self._cancelled = (family.Metric(labels={"role": role}) for family in self._families)

    @classmethod
    def load(cls, arguments: dict[str, str], pb: Any) -> EngineModel:
        """The model of what Triton gives to `initialize`; a TritonModelException has the line of an `A1Error`."""
        parameters = model_parameters(arguments["model_config"])
        role: Role = "draft" if parameters["role"] == "draft" else "target"
        version = Path(arguments["model_repository"]) / arguments["model_version"]
        engine: OpenVinoEngine | TensorRtLlmEngine
        try:
            pair = load_pair(parameters["pair"])
            if parameters.get("engine") == "tensorrt_llm":
                if parameters.get("gpu_device_ids"):
                    # Before CUDA is loaded: this process is the model's own, and the GPUs it sees are the engine's.
                    os.environ["CUDA_VISIBLE_DEVICES"] = parameters["gpu_device_ids"]
                settings = _settings(version / "settings.json")
                engine = asyncio.run(_on_gpus(pair, role, settings, int(parameters.get("n_scores", "1"))))
            else:
                from a1_trt.backends.openvino import OpenVinoEngine

                engine = OpenVinoEngine.for_pair(pair, role)
        except A1Error as error:
            raise pb.TritonModelException(error.to_wire()) from None
        return cls(engine, role, pb)

    def close(self) -> None:
        self._loop.close(self._engine.aclose)

    def _export(self) -> bool:
        n_requests = self._engine.in_flight
        self._requests.set(n_requests)
        self._cancelled.set(self._loop.n_cancelled)
        return n_requests == 0

    async def _work(self, request: TritonRequest) -> None:
        inputs = request.read(ENGINE_INPUTS)
        if inputs.get("stop"):
            self._loop.stop(request.id)
            request.send(_generated(0, ()), final=True)
            return
        if len(self._loop) > MAX_REQUESTS:
            raise EngineOverloaded(f"the {self._role} model works on {MAX_REQUESTS} requests", role=self._role)
        _check(inputs)
        prompt = _prompt(inputs)
        if "draft_input_ids" in inputs:
            values = await self._engine.score(prompt, inputs["draft_input_ids"])
            request.send(_scored(len(prompt), values), final=True)
            return
        temperature = 0.0 if inputs.get("runtime_top_k") == 1 else inputs.get("temperature", 1.0)
        generation = await self._engine.generate(
            prompt, max_tokens=inputs["request_output_len"], temperature=temperature, seed=inputs.get("seed", 0)
        )
        request.send(_generated(len(prompt), generation.token_ids), final=True)


async def _on_gpus(pair: Pair, role: Role, settings: dict[str, Any] | None, n_scores: int) -> TensorRtLlmEngine:
    """TensorRT-LLM's LLM API, with the settings beside the model where there are any, else with the pair's own."""
    from a1_trt.backends.tensorrt_llm import TensorRtLlmEngine

    if settings is None:
        return await TensorRtLlmEngine.for_pair(pair, role)
    scorer = pair.role(role).gpu.scoring
    return await TensorRtLlmEngine.open(settings, role=role, scorer=scorer, n_scores=n_scores)


def _settings(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        message = f"{path} cannot be read: {error}"
        raise ConfigError(message, path=str(path), field="settings", remedy="render it again") from None


def _check(inputs: dict[str, Any]) -> None:
    """Refuse what the engine cannot do, rather than leave it out silently."""
    for name, is_wrong, remedy in (
        ("streaming", bool(inputs.get("streaming")), "leave it out: responses come whole"),
        ("runtime_top_k", inputs.get("runtime_top_k", 0) not in (0, 1), "give 1 for greedy, or none"),
        ("runtime_top_p", inputs.get("runtime_top_p", 0.0) not in (0.0, 1.0), "leave it out"),
        ("temperature", not 0.0 <= inputs.get("temperature", 1.0) <= 5.0, "choose a value from 0 to 5"),
        ("request_output_len", inputs["request_output_len"] < 1, "ask for 1 or more"),
    ):
        if is_wrong:
            raise InvalidRequestError(f"{name} is {inputs[name]}", field=name, remedy=remedy)


def _prompt(inputs: dict[str, Any]) -> list[int]:
    ids: list[int] = inputs.get("input_ids", [])
    length = inputs["input_lengths"]
    if not 1 <= length <= len(ids):
        message = f"input_lengths is {length} and input_ids has {len(ids)} elements"
        raise InvalidRequestError(message, field="input_lengths", remedy="give the number of prompt tokens, at least 1")
    return ids[:length]


def _generated(n_prompt: int, ids: tuple[int, ...]) -> dict[str, Any]:
    return {
        "output_ids": np.array(ids, dtype=np.int32).reshape(1, 1, -1),
        "sequence_length": np.array([[len(ids)]], dtype=np.int32),
        "num_input_tokens": np.array([[n_prompt]], dtype=np.int32),
        "num_output_tokens": np.array([[len(ids)]], dtype=np.int32),
    }


def _scored(n_prompt: int, values: list[float]) -> dict[str, Any]:
    return {**_generated(n_prompt, ()), "output_log_probs": np.array(values, dtype=np.float32).reshape(1, 1, -1)}
