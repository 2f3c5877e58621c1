"""Where problems are solved: in this process, or on a Triton server."""

from __future__ import annotations

import asyncio
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate, count
from typing import Any, Literal, Self, get_args

import httpx
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from a1_trt.client import AsyncClient, Overrides
from a1_trt.config import Pair
from a1_trt.engine import Engine
from a1_trt.errors import A1Error, EngineTimeout, InvalidRequestError
from a1_trt.runtime.opening import ledgers_of, open_engines
from a1_trt.runtime.session import Session
from a1_trt.triton.exporter import FAMILIES, P_VALUE, P_VALUE_BOUNDS, P_VALUE_DESCRIPTION, Snapshot
from a1_trt.triton.probe import probe
from a1_trt.types import ROLES, Event, Problem, Role, SegmentScored, SegmentUnscored, SegmentWritten

_CANARY_S = 10.0
_PROBE_S = 3.0
_METRICS_S = 2.0
_CALIBRATION_S = 30.0
_CANARY = Problem("1 + 1?")
# A draft alone is not scored, so this leaves nothing in the calibration.
_UNSCORED: Overrides = {"strategy": "draft_only", "n_samples": 1, "max_turns": 1, "draft_tokens": 1}
_NO_SCORES = re.compile(r"^a1_scoring_available(\{[^}]*\})? 0(\.0*)?$", re.MULTILINE)

Part = Literal["draft", "target", "scorer"]
"""What has to be at work: the generators of both models, and the target's scorer."""
_PARTS: tuple[Part, ...] = get_args(Part)


class Backend(ABC):
    """Solves problems, and knows whether that works: from real work of late, or by a small call to each part."""

    def __init__(self, pair: Pair, client: AsyncClient, engines: Mapping[Role, Engine]) -> None:
        self.pair = pair
        self.client = client
        self._engines = engines
        ledgers = ledgers_of(pair, engines)
        self._render = ledgers["target"].render
        self._prompts = {role: ledgers[role].render(_CANARY.text) for role in ROLES}
        self._worked_s: dict[Part, float] = {}
        self._numbers = count()
        self._scoring: asyncio.Future[list[float]] | None = None

    def count_tokens(self, text: str, *, as_prompt: bool = False) -> int:
        """Tokens of a text in the target's tokenizer; `as_prompt` within the target's prompt."""
        return len(self._render(text) if as_prompt else self._engines["target"].tokenizer.encode(text))

    def saw(self, event: Event) -> None:
        """Learn from real work which parts are at work."""
        if isinstance(event, SegmentWritten):
            self._worked_s[event.segment.role] = time.monotonic()
        elif isinstance(event, SegmentScored):
            self._worked_s["scorer"] = time.monotonic()
        elif isinstance(event, SegmentUnscored):  # what it did before says nothing any more
            self._worked_s.pop("scorer", None)

    @abstractmethod
    async def readiness(self) -> dict[str, Any]:
        """What stands in the way of solving problems: "ready", and a word on every part."""

    @abstractmethod
    async def metrics(self) -> str:
        """The metrics of the part that solves, as Prometheus' text; empty where they cannot be had."""

    @abstractmethod
    async def aclose(self) -> None: ...

    async def _states(self, *, is_scoring: bool) -> dict[str, Any]:
        """A word on every part: "ok", or what is wrong."""
        states: dict[str, Any] = dict(zip(_PARTS, await asyncio.gather(*map(self._state, _PARTS)), strict=True))
        return states if is_scoring else {**states, "scorer": "too many of the last segments could not be scored"}

    async def _state(self, part: Part) -> str:
        if time.monotonic() - self._worked_s.get(part, -_CANARY_S) < _CANARY_S:
            return "ok"
        try:
            async with asyncio.timeout(_PROBE_S):
                await self._probe(part)
        except TimeoutError:
            return str(EngineTimeout(f"no {'score' if part == 'scorer' else 'token'} within {_PROBE_S} s"))
        except A1Error as error:
            return str(error)
        self._worked_s[part] = time.monotonic()
        return "ok"

    async def _probe(self, part: Part) -> None:
        if part != "scorer":
            await self._engines[part].generate(self._prompts[part], max_tokens=1, temperature=0.0, seed=0)
            return
        if self._scoring is None or self._scoring.done():
            target = self._engines["target"]
            # Other tokens each time: engines remember scores.
            segment = target.tokenizer.encode(f" {next(self._numbers)}")
            self._scoring = asyncio.ensure_future(target.score(self._prompts["target"], segment))
        # The first score may load a model for longer than a probe waits: it goes on for the next one.
        await asyncio.shield(self._scoring)


class SessionCollector(Collector):
    """A session's counters, under the names that they have on Triton's /metrics, read when it is scraped."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        snapshot = self._snapshot()
        for family in FAMILIES:
            readings = list(family.read(snapshot))
            names = list(readings[0][0]) if readings else []
            kind = CounterMetricFamily if family.is_counter else GaugeMetricFamily
            metric = kind(family.name, family.description, labels=names)
            for labels, value in readings:
                metric.add_metric(list(labels.values()), value)
            yield metric
        counts = snapshot["p_value_counts"]
        bounds = [*map(str, P_VALUE_BOUNDS), "+Inf"]
        half = P_VALUE_BOUNDS[0] / 2  # Each is counted in the middle of its bucket.
        total = sum(count * (bound - half) for count, bound in zip(counts, P_VALUE_BOUNDS, strict=True))
        buckets = list(zip(bounds, [*accumulate(counts), sum(counts)], strict=True))
        yield HistogramMetricFamily(P_VALUE, P_VALUE_DESCRIPTION, buckets=buckets, sum_value=total)


class LocalBackend(Backend):
    """A session in this process; the backend closes it."""

    def __init__(self, session: Session) -> None:
        super().__init__(session.pair, AsyncClient(session), session.engines)
        self._session = session
        self._registry = CollectorRegistry()
        self._registry.register(SessionCollector(session.snapshot))

    async def readiness(self) -> dict[str, Any]:
        """A session that is open has read its calibration."""
        states = await self._states(is_scoring=self._session.is_scoring)
        ready = all(state == "ok" for state in states.values())
        return {"ready": ready, **states, "calibration": f"{len(self._session.controller)} scores"}

    async def metrics(self) -> str:
        return generate_latest(self._registry).decode()

    async def aclose(self) -> None:
        await self.client.aclose()
        await self._session.aclose()


class TritonBackend(Backend):
    """The models "a1", "draft" and "target" of a Triton server.

    Args:
        url: ``grpc://host:port``.
        engines: The server's draft and target; the backend closes them.
        metrics_url: Where its metrics are, to be passed on; none are when None.
    """

    def __init__(self, pair: Pair, url: str, engines: Mapping[Role, Engine], metrics_url: str | None) -> None:
        super().__init__(pair, AsyncClient(url), engines)
        self._url = url
        self._metrics_url = metrics_url
        self._is_calibrated = False
        # Straight to the server: a proxy of the environment does not know it.
        self._http = httpx.AsyncClient(timeout=_METRICS_S, trust_env=False)

    @classmethod
    async def connect(cls, pair: Pair, url: str, metrics_url: str | None = None) -> Self:
        """A backend of a server, which need not be there yet: it is reached for when there is something to ask it."""
        if not url.startswith("grpc://"):
            raise InvalidRequestError(f"{url!r} is not a gRPC URL", field="url", remedy="give grpc://host:port")
        engines = await open_engines(pair, url=url.removeprefix("grpc://"))
        try:
            return cls(pair, url, engines, metrics_url)
        except BaseException:
            for engine in engines.values():
                await engine.aclose()
            raise

    async def readiness(self) -> dict[str, Any]:
        """The model a1 reads its calibration at its first request, so one has to have been answered."""
        states = await self._states(is_scoring=not _NO_SCORES.search(await self.metrics()))
        try:
            await asyncio.to_thread(probe, self._url, ("a1",), timeout_s=_PROBE_S)
            if not self._is_calibrated:
                await self.client.solve(_CANARY, deadline_s=_CALIBRATION_S, **_UNSCORED)
            self._is_calibrated = True
            states["calibration"] = "ok"
        except A1Error as error:
            states["calibration"] = str(error)
        return {"ready": all(state == "ok" for state in states.values()), **states}

    async def metrics(self) -> str:
        if self._metrics_url is None:
            return ""
        try:
            answer = await self._http.get(self._metrics_url)
        except httpx.HTTPError:
            return ""
        return answer.text if answer.status_code == httpx.codes.OK else ""

    async def aclose(self) -> None:
        await self._http.aclose()
        await self.client.aclose()
        for engine in self._engines.values():
            await engine.aclose()
