"""Where problems are solved: in this process, or on a Triton server."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from itertools import count
from typing import Any, Literal, Protocol, Self, get_args

import httpx
from prometheus_client import CollectorRegistry, generate_latest

from a1_trt.client import AsyncClient, Overrides
from a1_trt.config import Pair
from a1_trt.engine import Engine
from a1_trt.errors import A1Error, EngineTimeout, InvalidRequestError
from a1_trt.openai_server.session_collector import SessionCollector
from a1_trt.runtime.session import ROLES, Session, ledgers_of, open_engines
from a1_trt.triton.probe import probe
from a1_trt.types import Event, Problem, Role, SegmentScored, SegmentUnscored, SegmentWritten

_CANARY_S = 10.0
_PROBE_S = 3.0
_METRICS_S = 2.0
_CALIBRATION_S = 30.0
_CANARY = Problem("1 + 1?")
# A draft alone is not scored, so this leaves nothing in the calibration.
_UNSCORED: Overrides = {"strategy": "draft_only", "n_samples": 1, "max_turns": 1, "draft_tokens": 1}
_NO_SCORES = re.compile(r"^a1_scoring_available(\{[^}]*\})? 0(\.0*)?$", re.MULTILINE)
_TOO_MANY_UNSCORED = "too many of the last segments could not be scored"

Part = Literal["draft", "target", "scorer"]
"""What has to be at work: the generators of both models, and the target's scorer."""


class Backend(Protocol):
    """A way to get problems solved, and to see whether that works."""

    pair: Pair
    client: AsyncClient

    def count_tokens(self, text: str, *, as_prompt: bool = False) -> int:
        """Tokens of a text in the target's tokenizer; `as_prompt` within the target's prompt."""

    def saw(self, event: Event) -> None:
        """Learn from real work that an engine is at work."""

    async def readiness(self) -> dict[str, Any]:
        """What stands in the way of solving problems: "ready", and a word on every part."""

    async def metrics(self) -> str:
        """The metrics of the part that solves, as Prometheus' text."""

    async def aclose(self) -> None:
        """Let go of everything."""


class Pulse:
    """Whether the parts of the engines are at work: known from real work of late, or found out with a small call.

    Args:
        engines: The engines.
        prompts: What to ask each, token ids.
    """

    def __init__(self, engines: Mapping[Role, Engine], prompts: Mapping[Role, list[int]]) -> None:
        self._engines = engines
        self._prompts = prompts
        self._seen_s: dict[Part, float] = {}
        self._numbers = count()
        self._scoring: asyncio.Future[list[float]] | None = None

    def saw(self, part: Part) -> None:
        """A part has done something."""
        self._seen_s[part] = time.monotonic()

    def missed(self, part: Part) -> None:
        """A part has failed: what it did before says nothing any more."""
        self._seen_s.pop(part, None)

    async def check(self, part: Part) -> str:
        """A word on a part: "ok", or what is wrong."""
        if time.monotonic() - self._seen_s.get(part, -_CANARY_S) < _CANARY_S:
            return "ok"
        try:
            async with asyncio.timeout(_PROBE_S):
                await self._ask(part)
        except TimeoutError:
            return str(EngineTimeout(f"no {'score' if part == 'scorer' else 'token'} within {_PROBE_S} s"))
        except A1Error as error:
            return str(error)
        self.saw(part)
        return "ok"

    async def _ask(self, part: Part) -> None:
        if part == "scorer":
            if self._scoring is None or self._scoring.done():
                target = self._engines["target"]
                # Other tokens each time: engines remember scores.
                segment = target.tokenizer.encode(f" {next(self._numbers)}")
                self._scoring = asyncio.ensure_future(target.score(self._prompts["target"], segment))
            # The first score may load a model for longer than a probe waits: it goes on for the next one.
            await asyncio.shield(self._scoring)
        else:
            await self._engines[part].generate(self._prompts[part], max_tokens=1, temperature=0.0, seed=0)


class _Solving:
    """What both backends have in common: engines that can be asked for a token, and their tokenizers."""

    def __init__(self, pair: Pair, client: AsyncClient, engines: Mapping[Role, Engine]) -> None:
        self.pair = pair
        self.client = client
        self._target = engines["target"].tokenizer
        ledgers = ledgers_of(pair, engines)
        self._render = ledgers["target"].render
        self._pulse = Pulse(engines, {role: ledgers[role].render(_CANARY.text) for role in ROLES})

    def count_tokens(self, text: str, *, as_prompt: bool = False) -> int:
        """See `Backend`."""
        return len(self._render(text) if as_prompt else self._target.encode(text))

    def saw(self, event: Event) -> None:
        """See `Backend`."""
        if isinstance(event, SegmentWritten):
            self._pulse.saw(event.segment.role)
        elif isinstance(event, SegmentScored):
            self._pulse.saw("scorer")
        elif isinstance(event, SegmentUnscored):
            self._pulse.missed("scorer")

    async def _engines_say(self) -> dict[str, Any]:
        parts: tuple[Part, ...] = get_args(Part)
        return dict(zip(parts, await asyncio.gather(*map(self._pulse.check, parts)), strict=True))


class LocalBackend(_Solving):
    """A session in this process; the backend closes it.

    Args:
        session: The session.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session.pair, AsyncClient(session), session.engines)
        self._session = session
        self._registry = CollectorRegistry()
        self._registry.register(SessionCollector(session.snapshot))

    async def readiness(self) -> dict[str, Any]:
        """See `Backend`. A session that is open has read its calibration."""
        said = await self._engines_say()
        if not self._session.is_scoring:
            said["scorer"] = _TOO_MANY_UNSCORED
        ready = all(word == "ok" for word in said.values())
        return {"ready": ready, **said, "calibration": f"{len(self._session.controller)} scores"}

    async def metrics(self) -> str:
        """See `Backend`."""
        return generate_latest(self._registry).decode()

    async def aclose(self) -> None:
        """See `Backend`."""
        await self.client.aclose()
        await self._session.aclose()


class TritonBackend(_Solving):
    """The models "a1", "draft" and "target" of a Triton server.

    Args:
        pair: The pair that it serves.
        url: ``grpc://host:port``.
        engines: The server's draft and target; the backend closes them.
        metrics_url: Where its metrics are, to be passed on; none are when None.
    """

    def __init__(self, pair: Pair, url: str, engines: Mapping[Role, Engine], metrics_url: str | None) -> None:
        super().__init__(pair, AsyncClient(url), engines)
        self._url = url
        self._engines = engines
        self._metrics_url = metrics_url
        # Straight to the server: a proxy of the environment does not know it.
        self._is_calibrated = False
        self._http = httpx.AsyncClient(timeout=_METRICS_S, trust_env=False)

    @classmethod
    async def connect(cls, pair: Pair, url: str, metrics_url: str | None = None) -> Self:
        """A backend of a server.

        The server need not be there yet: it is reached for when there is something to ask it.

        Raises:
            InvalidRequestError: The URL is none of gRPC.
            ConfigError: A tokenizer cannot be loaded.
        """
        if not url.startswith("grpc://"):
            raise InvalidRequestError(f"{url!r} is no URL of gRPC", field="url", remedy="give grpc://host:port")
        engines = await open_engines(pair, url=url.removeprefix("grpc://"))
        try:
            return cls(pair, url, engines, metrics_url)
        except BaseException:
            for engine in engines.values():
                await engine.aclose()
            raise

    async def readiness(self) -> dict[str, Any]:
        """See `Backend`. The model a1 reads its calibration at its first request, so one has to have been answered."""
        said = await self._engines_say()
        if _NO_SCORES.search(await self.metrics()):
            said["scorer"] = _TOO_MANY_UNSCORED
        try:
            await asyncio.to_thread(probe, self._url, ("a1",), timeout_s=_PROBE_S)
            if not self._is_calibrated:
                await self.client.solve(_CANARY, deadline_s=_CALIBRATION_S, **_UNSCORED)
            self._is_calibrated = True
            said["calibration"] = "ok"
        except A1Error as error:
            said["calibration"] = str(error)
        return {"ready": all(word == "ok" for word in said.values()), **said}

    async def metrics(self) -> str:
        """See `Backend`; none where the server does not answer."""
        if self._metrics_url is None:
            return ""
        try:
            answer = await self._http.get(self._metrics_url)
        except httpx.HTTPError:
            return ""
        return answer.text if answer.status_code == httpx.codes.OK else ""

    async def aclose(self) -> None:
        """See `Backend`."""
        await self._http.aclose()
        await self.client.aclose()
        for engine in self._engines.values():
            await engine.aclose()
