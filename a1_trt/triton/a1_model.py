"""The Triton model "a1": the scheduler as a service."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any

import numpy as np

from a1_trt.config import Pair, load_pair
from a1_trt.engine import Engine
from a1_trt.errors import A1Error, InvalidRequestError
from a1_trt.requests import check_problem, make_parameters
from a1_trt.runtime.opening import open_engines
from a1_trt.runtime.session import Session, open_session
from a1_trt.triton.exporter import Exporter
from a1_trt.triton.request_loop import RequestLoop, TritonRequest, model_parameters
from a1_trt.triton.tensors import A1_INPUTS, USAGE
from a1_trt.types import ROLES, Parameters, Problem, ProblemFinished, Result, Role
from a1_trt.wire import event_to_dict

GRPC_URL = "A1_TRT_GRPC_URL"
_POLL_S = 0.25
# What Triton's own front ends and clients add to a request; HTTP's "id" becomes a parameter, not the request's id.
_RESERVED = {"triton_enable_empty_final_response", "binary_data_output", "id"}


class A1Model:
    """Solves problems with the models "draft" and "target" of the same server, or with engines of its own.

    The request's id, where it has one, is the problem's: it takes part in every seed.

    Args:
        pb: Triton's module `triton_python_backend_utils`.
        models: Names of the models that hold a role, where there are several.
    """

    def __init__(
        self,
        pair: Pair,
        pb: Any,
        models: Mapping[Role, Sequence[str]] | None = None,
        engines: Mapping[Role, Engine] | None = None,
    ) -> None:
        self._pair = pair
        self._models = models or {}
        self._engines = engines
        self._loop = RequestLoop(pb, self._work, poll_s=_POLL_S, on_poll=self._export)
        self.start = self._loop.start
        self._exporter = Exporter(pb)
        self._opening: asyncio.Lock | None = None
        self._session: Session | None = None

    @classmethod
    def load(cls, model_config: str, pb: Any) -> A1Model:
        """Read the pair, and load its engines if they are to be inside; what is wrong is a TritonModelException.

        Models are connected to at the first request, as they load beside this one.
        """
        parameters = model_parameters(model_config)
        copies = {role: parameters[f"{role}_models"].split(",") for role in ROLES if parameters.get(f"{role}_models")}
        try:
            pair = _limited(load_pair(parameters["pair"]), parameters)
            engines = asyncio.run(open_engines(pair)) if parameters.get("engines") == "inside" else None
            return cls(pair, pb, copies, engines)
        except A1Error as error:
            raise pb.TritonModelException(error.to_wire()) from None

    def close(self) -> None:
        self._loop.close(self._aclose)

    async def _work(self, request: TritonRequest) -> None:
        problem, parameters, options = _read(request, self._pair)
        trajectories = bool(options.get("return_trajectories"))
        session = await self._opened()
        async with aclosing(session.stream(problem, parameters)) as events:
            async for event in events:
                if isinstance(event, ProblemFinished):
                    # Before the answer: who reads /metrics after it finds this problem counted.
                    self._export()
                    document = json.dumps(event_to_dict(event, trajectories=trajectories))
                    request.send(_outputs(event.result, document), final=True)
                elif options.get("stream"):
                    request.send({"event": json.dumps(event_to_dict(event))}, final=False)

    async def _opened(self) -> Session:
        if self._opening is None:
            self._opening = asyncio.Lock()
        async with self._opening:
            if self._session is None:
                url = _own_url(self._pair)
                replicas = {role: [f"{url}/{model}" for model in models] for role, models in self._models.items()}
                self._session = await open_session(self._pair, url=url, replicas=replicas, engines=self._engines)
        return self._session

    def _export(self) -> bool:
        if self._session is None:
            return True
        snapshot = self._session.snapshot()
        self._exporter.update(snapshot)
        return snapshot["scoring_available"] and not any(snapshot["calls_in_flight"].values())

    async def _aclose(self) -> None:
        if self._session is not None:
            await self._session.aclose()
            return
        for engine in (self._engines or {}).values():
            await engine.aclose()


def _limited(pair: Pair, parameters: Mapping[str, str]) -> Pair:
    """The pair, with contexts no longer than those that its engines are built for."""
    changed: dict[str, Any] = {}
    for role in ROLES:
        built = parameters.get(f"{role}_context_tokens")
        if built:
            limit = min(int(built), pair.role(role).max_context_tokens or int(built))
            changed[role] = pair.role(role).model_copy(update={"max_context_tokens": limit})
    return pair.model_copy(update=changed)


def _own_url(pair: Pair) -> str:
    url = os.environ.get(GRPC_URL) or pair.serving.url
    return url.removeprefix("grpc://") if "://" not in url or url.startswith("grpc://") else "127.0.0.1:8001"


def _read(request: TritonRequest, pair: Pair) -> tuple[Problem, Parameters, dict[str, Any]]:
    known = [tensor.name for tensor in A1_INPUTS]
    for name in request.parameters:
        if name not in _RESERVED:
            raise InvalidRequestError(f"{name} is not an input", field=name, remedy=f"choose from {', '.join(known)}")
    inputs = request.read(A1_INPUTS)
    options = {name: inputs.pop(name, False) for name in ("stream", "return_trajectories")}
    text = inputs.pop("problem", None)
    name = request.id or str(request.parameters.get("id", "")) or hashlib.sha256(str(text).encode()).hexdigest()[:12]
    return check_problem(text, id=name), make_parameters(pair.parameters(), **inputs), options


def _outputs(result: Result, event: str) -> dict[str, Any]:
    return {
        "answer": result.answer or "",
        "vote_answers": np.array([answer.encode() for answer, _ in result.votes], dtype=np.object_),
        "vote_counts": np.array([count for _, count in result.votes], dtype=np.int32),
        # Not a NaN where nothing was scored: it would make the JSON of HTTP answers invalid.
        "rejection_rate": result.rejection_rate or 0.0,
        **{name: getattr(result.usage, name) for name in USAGE},
        "wall_s": float(result.wall_s),
        "event": event,
    }
