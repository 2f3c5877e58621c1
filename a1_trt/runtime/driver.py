"""The only place that awaits engines: it carries out what the scheduler plans and reports what came back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Literal

from a1_trt.core.scheduler import Scheduler
from a1_trt.engine import Engine, Tokenizer, TokenLedger
from a1_trt.errors import A1Error, Cancelled, ContextLengthError, EngineError, EngineTimeout, ScoreShapeError
from a1_trt.types import Call, Completion, Event, Logprobs, ProblemFinished, Role, Segment

_LOG = logging.getLogger(__name__)
_RETRIES = 2
_BACKOFF_S = 0.05
_CANARY_S = 10.0
_CANARY = "1 + 1?"
_LONGEST_CHARACTER = 4  # tokens a character can be cut into: UTF-8 has at most 4 bytes

CallEnd = Literal["done", "cancelled", "failed"]


@dataclass(slots=True)
class EngineRequest:
    """One request to an engine that is over; a call that was retried has several.

    Times are seconds of the event loop's clock. `n_prompt_tokens` come before what was generated or scored;
    `n_new_tokens` and `n_scored_tokens` are 0 where the request was cut short.
    """

    call: Call
    n_prompt_tokens: int
    started_s: float
    ended_s: float = 0.0
    n_new_tokens: int = 0
    n_scored_tokens: int = 0
    end: CallEnd = "failed"


OnCall = Callable[[EngineRequest], object]


class CallRunner:
    """Makes calls to engines, one at a time or many at once: retries, time limit, room in the context.

    The ledgers know the token ids of every chain; `on_call` is told of every request to an engine when it is over.
    """

    def __init__(
        self,
        engines: Mapping[Role, Engine],
        ledgers: Mapping[Role, TokenLedger],
        *,
        call_timeout_s: float = 600.0,
        on_call: OnCall | None = None,
    ) -> None:
        self._engines = engines
        self._ledgers = ledgers
        self._call_timeout_s = call_timeout_s
        self._on_call = on_call

    def forget(self, problem: int, n_samples: int) -> None:
        for ledger in self._ledgers.values():
            ledger.forget(problem, n_samples)

    async def make(self, call: Call) -> Segment | Logprobs | A1Error:
        """What a call comes to. Engines may be asked again, since calls have no effects."""
        for attempt in range(_RETRIES + 1):
            try:
                async with asyncio.timeout(self._call_timeout_s):
                    return await self._ask(call)
            except A1Error as error:
                if not error.retryable or attempt == _RETRIES:
                    return error
            except TimeoutError:
                return EngineTimeout(f"no answer within {self._call_timeout_s:g} s", role=call.role)
            except Exception as error:  # noqa: BLE001 - see below
                # An adapter must only raise EngineError; whatever else comes must not take other samples down.
                _LOG.exception("a %s call failed", call.kind)
                return EngineError(f"{type(error).__name__} in the {call.role} engine: {error}", role=call.role)
            await asyncio.sleep(_BACKOFF_S * 2**attempt)
        raise AssertionError("unreachable")

    async def can_score(self, number: int) -> bool:
        """Whether the target scores a few tokens: others for each number, so that no memory of scores knows them."""
        engine = self._engines["target"]
        try:
            async with asyncio.timeout(min(_CANARY_S, self._call_timeout_s)):
                await engine.score(self._ledgers["target"].render(_CANARY), engine.tokenizer.encode(f" {number}"))
        except (A1Error, TimeoutError):
            return False
        except Exception:  # noqa: BLE001 - as in `make`
            _LOG.exception("a canary score failed")
            return False
        return True

    async def _ask(self, call: Call) -> Segment | Logprobs:
        engine, ledger = self._engines[call.role], self._ledgers[call.role]
        if call.kind == "score":
            prompt, segment = ledger.split(call)
            with self._reported(call, len(prompt)) as request:
                values = tuple(await engine.score(prompt, segment))
                request.n_scored_tokens = len(segment)
            if len(values) != len(segment):
                raise ScoreShapeError(f"{len(values)} log-probs came back for {len(segment)} tokens", role=call.role)
            ids, text = trim_partial_character(engine.tokenizer, tuple(segment[: _first_surprise(values)]))
            return Logprobs(values, text, ids if call.segments[-1].role in ledger.shared else ())
        prompt = ledger.prompt(call)
        room = engine.max_context_tokens - len(prompt)
        if room < 1:
            message = f"the prompt has {len(prompt)} tokens and the {call.role}'s context {engine.max_context_tokens}"
            remedy = "give a shorter problem, fewer turns or a model with a longer context"
            field = "max_turns" if call.segments else "problem"
            raise ContextLengthError(message, role=call.role, field=field, remedy=remedy)
        with self._reported(call, len(prompt)) as request:
            generation = await engine.generate(
                prompt, max_tokens=min(call.max_tokens, room), temperature=call.temperature, seed=call.seed
            )
            request.n_new_tokens = len(generation.token_ids)
        token_ids, text = trim_partial_character(engine.tokenizer, generation.token_ids)
        return Segment(call.role, text, len(generation.token_ids), token_ids, generation.ended)

    @contextmanager
    def _reported(self, call: Call, n_prompt_tokens: int) -> Iterator[EngineRequest]:
        clock = asyncio.get_running_loop().time
        request = EngineRequest(call, n_prompt_tokens, clock())
        try:
            yield request
            request.end = "done"
        except asyncio.CancelledError:
            request.end = "cancelled"
            raise
        finally:
            request.ended_s = clock()
            if self._on_call is not None:
                self._on_call(request)


class Driver:
    """Carries out a scheduler's calls on engines, each in a task of its own, and never waits for one to start another.

    `on_event` is told of every event with its problem's number, in order. `canary_s` is the pause between canary scores
    that fail, seconds: they are asked for while scoring is unavailable, so that it comes back even where nobody sends
    problems.
    """

    def __init__(
        self, scheduler: Scheduler, runner: CallRunner, on_event: Callable[[int, Event], None], *, canary_s: float = 1.0
    ) -> None:
        self._scheduler = scheduler
        self._runner = runner
        self._on_event = on_event
        self._canary_s = canary_s
        self._canary: asyncio.Task[None] | None = None
        self._tasks: dict[int, asyncio.Task[Segment | Logprobs | A1Error]] = {}

    def pump(self) -> None:
        loop = asyncio.get_running_loop()
        plan = self._scheduler.schedule()
        for call in plan.start:
            task = loop.create_task(self._runner.make(call), name=f"{call.kind} call {call.id}")
            task.add_done_callback(partial(self._book, call, loop.time()))
            self._tasks[call.id] = task
        for call_id in plan.cancel:
            self._tasks[call_id].cancel()

    def dispatch(self, events: list[tuple[int, Event]]) -> None:
        """Hand events on; a finished problem's chains are forgotten first."""
        for number, event in events:
            if isinstance(event, ProblemFinished):
                self._runner.forget(number, len(event.result.trajectories))
            self._on_event(number, event)

    async def aclose(self) -> None:
        """Cancel all calls in flight and wait until they are gone."""
        if self._canary is not None:
            self._canary.cancel()
            await asyncio.wait([self._canary])
        while self._tasks:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.wait(self._tasks.values())

    def _book(self, call: Call, started_s: float, task: asyncio.Task[Segment | Logprobs | A1Error]) -> None:
        """Report a call that came back. A done callback also sees a task that was cancelled before it began."""
        del self._tasks[call.id]
        loop = task.get_loop()
        outcome = Cancelled("nobody wants this call's result any more") if task.cancelled() else task.result()
        self.dispatch(self._scheduler.update(Completion(call, outcome, started_s, loop.time())))
        if not self._scheduler.scoring.is_available and (self._canary is None or self._canary.done()):
            self._canary = loop.create_task(self._until_scoring(), name="canary scores")
        self.pump()

    async def _until_scoring(self) -> None:
        """Ask for scores until so many in a row have come that scoring is available again."""
        for number in count():
            if self._scheduler.scoring.is_available:
                return
            scored = await self._runner.can_score(number)
            self._scheduler.scoring.add(scored=scored)
            if not scored:
                await asyncio.sleep(self._canary_s)


def _first_surprise(values: tuple[float, ...]) -> int:
    """Index of the first log-prob that is at most half the lowest one: as surprising as the worst token, or nearly."""
    bound = min(values) / 2
    return next(index for index, value in enumerate(values) if value <= bound)


def trim_partial_character(tokenizer: Tokenizer, token_ids: tuple[int, ...]) -> tuple[tuple[int, ...], str]:
    """Drop trailing tokens that end inside a UTF-8 character, which the next turn writes whole; ids and their text."""
    text = tokenizer.decode(token_ids)
    for n_kept in range(len(token_ids) - 1, max(len(token_ids) - _LONGEST_CHARACTER, 0), -1):
        if not text.endswith("\ufffd"):
            break
        shorter = tokenizer.decode(token_ids[:n_kept])
        if not shorter.endswith("\ufffd"):
            return token_ids[:n_kept], shorter
    return token_ids, text
