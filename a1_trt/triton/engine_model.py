"""The Triton models "draft" and "target": an engine that answers with the tensors of TensorRT-LLM's `tensorrt_llm`."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from a1_trt.config import Pair, load_pair
from a1_trt.engine import Engine
from a1_trt.errors import A1Error, ConfigError, EngineOverloaded, InvalidRequestError
from a1_trt.triton.request_loop import RequestLoop, TritonRequest, model_parameters
from a1_trt.triton.tensors import ENGINE_INPUTS
from a1_trt.types import Role

MAX_REQUESTS = 1024
_POLL_S = 0.1
_REQUESTS = "Requests that wait or run in an engine, by role"
_CANCELLED = "Requests that were cut short since the start, by role"


class LocalEngine(Engine, Protocol):
    """An engine of this process."""

    @property
    def in_flight(self) -> int:
        """Requests that wait or run in it."""


class EngineModel:
    """One engine. A request with `draft_input_ids` has those scored, any other one generates.

    Args:
        engine: The engine.
        role: Its role.
        pb: Triton's module `triton_python_backend_utils`.
    """

    def __init__(self, engine: LocalEngine, role: Role, pb: Any) -> None:
        self._engine = engine
        self._role: Role = role
        self._loop = RequestLoop(pb, self._work, poll_s=_POLL_S, on_poll=self._export)
        kind = pb.MetricFamily.GAUGE
        self._families = (
            pb.MetricFamily(name="a1_engine_requests", description=_REQUESTS, kind=kind),
            pb.MetricFamily(name="a1_engine_cancelled", description=_CANCELLED, kind=kind),
        )
        self._requests, self._cancelled = (family.Metric(labels={"role": role}) for family in self._families)

    @classmethod
    def load(cls, arguments: dict[str, str], pb: Any) -> EngineModel:
        """Load the engine that a model's configuration names.

        Args:
            arguments: What Triton's Python backend gives to `initialize`.
            pb: Triton's module.

        Raises:
            TritonModelException: It cannot be loaded; the message is the line of an `A1Error`.
        """
        said = model_parameters(arguments["model_config"])
        role: Role = "draft" if said["role"] == "draft" else "target"
        version = Path(arguments["model_repository"]) / arguments["model_version"]
        try:
            pair = load_pair(said["pair"])
            if said.get("engine") == "tensorrt_llm":
                if said.get("gpu_device_ids"):
                    # Before CUDA is loaded: this process is the model's own, and the GPUs it sees are the engine's.
                    os.environ["CUDA_VISIBLE_DEVICES"] = said["gpu_device_ids"]
                engine = asyncio.run(
                    _on_gpus(pair, role, _settings(version / "settings.json"), int(said.get("n_scores", "1")))
                )
            else:
                engine = _on_cpu(pair, role)
        except A1Error as error:
            raise pb.TritonModelException(error.to_wire()) from None
        return cls(engine, role, pb)

    def start(self, requests: list[Any]) -> None:
        """Start to work on requests."""
        self._loop.start(requests)

    def close(self) -> None:
        """Stop all work and free the engine."""
        self._loop.close(self._engine.aclose)

    def _export(self) -> bool:
        n_requests = self._engine.in_flight
        self._requests.set(n_requests)
        self._cancelled.set(self._loop.n_cancelled)
        return n_requests == 0

    async def _work(self, request: TritonRequest) -> None:
        said = request.read(ENGINE_INPUTS)
        if said.get("stop"):
            self._loop.stop(request.id)
            request.send(_generated(0, ()), final=True)
            return
        if len(self._loop) > MAX_REQUESTS:
            raise EngineOverloaded(f"the {self._role} model works on {MAX_REQUESTS} requests", role=self._role)
        _check(said)
        prompt = _prompt(said)
        if "draft_input_ids" in said:
            values = await self._engine.score(prompt, said["draft_input_ids"])
            request.send(_scored(len(prompt), values), final=True)
            return
        temperature = 0.0 if said.get("runtime_top_k") == 1 else said.get("temperature", 1.0)
        generation = await self._engine.generate(
            prompt,
            max_tokens=said["request_output_len"],
            temperature=temperature,
            seed=said.get("seed", 0),
        )
        request.send(_generated(len(prompt), generation.token_ids), final=True)


# Adapters are imported where they are wanted: each needs packages that the others do not.
def _on_cpu(pair: Pair, role: Role) -> LocalEngine:
    from a1_trt.backends.openvino import OpenVinoEngine

    return OpenVinoEngine.for_pair(pair, role)


async def _on_gpus(pair: Pair, role: Role, settings: dict[str, Any] | None, n_scores: int) -> LocalEngine:
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
        raise ConfigError(
            f"{path} cannot be read: {error}", path=str(path), field="settings", remedy="render it again"
        ) from None


def _check(said: dict[str, Any]) -> None:
    """Refuse what the engine cannot do, rather than leave it out silently."""
    if said.get("streaming"):
        raise InvalidRequestError("streaming is on", field="streaming", remedy="leave it out: responses come whole")
    if said.get("runtime_top_k", 0) not in (0, 1):
        raise InvalidRequestError(
            f"runtime_top_k is {said['runtime_top_k']}", field="runtime_top_k", remedy="give 1 for greedy, or none"
        )
    if said.get("runtime_top_p", 0.0) not in (0.0, 1.0):
        raise InvalidRequestError(
            f"runtime_top_p is {said['runtime_top_p']}", field="runtime_top_p", remedy="leave it out"
        )
    if not 0.0 <= said.get("temperature", 1.0) <= 5.0:
        raise InvalidRequestError(
            f"temperature is {said['temperature']}", field="temperature", remedy="choose a value from 0 to 5"
        )
    if said["request_output_len"] < 1:
        raise InvalidRequestError(
            f"request_output_len is {said['request_output_len']}",
            field="request_output_len",
            remedy="ask for 1 or more",
        )


def _prompt(said: dict[str, Any]) -> list[int]:
    ids: list[int] = said.get("input_ids", [])
    length = said["input_lengths"]
    if not 1 <= length <= len(ids):
        raise InvalidRequestError(
            f"input_lengths is {length} and input_ids has {len(ids)} elements",
            field="input_lengths",
            remedy="give the number of prompt tokens, at least 1",
        )
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
