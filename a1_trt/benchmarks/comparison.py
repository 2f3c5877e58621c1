"""Strategies measured against each other: the same problems, seeds and engines, in turns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from a1_trt.benchmarks.block_results import CALL_FIELDS, DECISION_FIELDS, cell_of
from a1_trt.benchmarks.controller_state import Pasts
from a1_trt.benchmarks.document import KIND, SCHEMA, settings_of, summarise, write_document
from a1_trt.benchmarks.resources import Watch
from a1_trt.benchmarks.strategies import Arrivals, run, strategy_of
from a1_trt.config import Pair
from a1_trt.engine import Engine
from a1_trt.errors import A1Error, InvalidRequestError
from a1_trt.types import Parameters, Problem, Result, Role

OnProgress = Callable[[str, int, int, "Result | A1Error"], object]
"""Told of each problem that is done: strategy, problems done, problems in all, what came of it."""

_WARM_UP_SEED = 2**40


@runtime_checkable
class Forgets(Protocol):
    """An engine that can drop what it keeps of earlier prompts."""

    async def forget(self) -> None:
        """Drop keys and values, and scores."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured.

    Args:
        strategies: Names out of `STRATEGIES`; the first is compared with each of the others.
        n_samples: Numbers of samples; every one is a setting of its own.
        max_turns: Longest chains, in turns; likewise.
        repeats: How often all is done, each time with the next seed and with fresh controllers.
        blocks: Parts that the problems are dealt out into; in each, the strategies take turns.
        seed: Seed of the first repeat.
        n_in_flight: Closed loop: problems at work at once.
        rate_per_s: Instead: arrivals a second.
        keep_calls: Whose calls stay in the file: those of the "first" repeat, "all" or "none".

    Raises:
        InvalidRequestError: An unknown strategy, one named twice, or a number below 1.
    """

    strategies: tuple[str, ...]
    n_samples: tuple[int, ...]
    max_turns: tuple[int, ...]
    repeats: int = 1
    blocks: int = 4
    seed: int = 0
    n_in_flight: int | None = 8
    rate_per_s: float | None = None
    keep_calls: Literal["first", "all", "none"] = "first"

    def __post_init__(self) -> None:
        for name in self.strategies:
            strategy_of(name)
        if not self.strategies or len(set(self.strategies)) < len(self.strategies):
            raise InvalidRequestError(
                f"strategies are {', '.join(self.strategies)}", field="strategies", remedy="name each one once"
            )
        for field in ("n_samples", "max_turns"):
            values = getattr(self, field)
            if not values or min(values) < 1:
                raise InvalidRequestError(f"{field} is {values}", field=field, remedy="give numbers of at least 1")
        for field in ("repeats", "blocks"):
            if getattr(self, field) < 1:
                raise InvalidRequestError(f"{field} is {getattr(self, field)}", field=field, remedy="at least 1")
        self.arrivals(0)

    def arrivals(self, repeat: int) -> Arrivals:
        """How problems arrive in a repeat."""
        return Arrivals(n_in_flight=self.n_in_flight, rate_per_s=self.rate_per_s, seed=self.seed + repeat)


class Comparison:
    """Carries a plan out, block by block, and can go on where another one stopped.

    The problems are dealt out into blocks; in every block each strategy solves it, in an order that is turned round
    from block to block, so that a machine which grows faster or slower, and a cache that an earlier strategy has
    warmed, favour none throughout; engines that can forget do so before each block. Each strategy has a controller of
    its own, which lives through the blocks of a repeat.

    Args:
        plan: What to measure.
        pair: The pair.
        engines: Its engines; they stay open.
        problems: The problems, with their answers.
        parameters: How each is to be solved, but for what the plan says.
        about: What else goes into the document: machine, versions, commit, command.
        before: A document of the same plan to go on with.

    Raises:
        InvalidRequestError: The document to go on with is of another plan, pair or set of problems.
    """

    def __init__(
        self,
        plan: Plan,
        pair: Pair,
        engines: Mapping[Role, Engine],
        problems: Sequence[Problem],
        parameters: Parameters,
        *,
        about: Mapping[str, Any] | None = None,
        before: Mapping[str, Any] | None = None,
    ) -> None:
        self._plan = plan = replace(plan, blocks=min(plan.blocks, len(problems)))
        self._pair = pair
        self._engines = engines
        self._problems = list(problems)
        self._parameters = parameters
        self.document: dict[str, Any] = {
            "kind": KIND,
            "schema": SCHEMA,
            "pair": pair.name,
            "fingerprint": pair.fingerprint(),
            "plan": {name: _plain(value) for name, value in asdict(plan).items()},
            "parameters": {k: v for k, v in asdict(parameters).items() if k not in ("n_samples", "max_turns", "seed")},
            "slots": {role: pair.role(role).max_in_flight for role in ("draft", "target")},
            "problems": [{"id": problem.id, "answer": problem.answer} for problem in problems],
            "call_fields": list(CALL_FIELDS),
            "decision_fields": list(DECISION_FIELDS),
            **(about or {}),
            "cells": [],
        }
        self._pasts = Pasts(pair)
        if before is not None:
            self._go_on(before)

    @property
    def n_total(self) -> int:
        """Problems that each strategy solves in all."""
        return len(self._problems) * self._plan.repeats * len(settings_of(self.document["plan"]))

    async def measure(
        self, *, path: Path | None = None, warm_up: Sequence[Problem] = (), on_progress: OnProgress | None = None
    ) -> dict[str, Any]:
        """Do what is left to do.

        Args:
            path: Where the document is written after each block.
            warm_up: Problems that every strategy solves first, unmeasured.
            on_progress: Told of each problem that is done.

        Returns:
            The document with its figures, see `a1_trt.benchmarks.document.summarise`.

        Raises:
            A1Error: A strategy solved nothing in a block; the error of its first problem.
        """
        left = [cell for cell in self._cells() if not self._done(cell)]
        if left and warm_up:
            await self._warm_up(warm_up)
        done = {name: self.n_total - sum(_size(c) for c in left if c["strategy"] == name) for name in self._names}
        before: dict[str, Any] | None = None
        for cell in left:
            if before is not None and _group(before) != _group(cell):
                self._pasts.forget()
            before = cell
            self.document["cells"].append(await self._measured(cell, done, on_progress))
            self._keep_state(cell)
            if path is not None:
                write_document(path, summarise(self.document))
        return summarise(self.document)

    @property
    def _names(self) -> tuple[str, ...]:
        return self._plan.strategies

    def _cells(self) -> Iterator[dict[str, Any]]:
        """What is to be measured, in order."""
        turn = 0
        for repeat in range(self._plan.repeats):
            for setting in settings_of(self.document["plan"]):
                for block in range(self._plan.blocks):
                    indices = list(range(block, len(self._problems), self._plan.blocks))
                    for name in order_of(self._names, turn):
                        yield {"strategy": name, **setting, "repeat": repeat, "block": block, "indices": indices}
                    turn += 1

    def _done(self, cell: Mapping[str, Any]) -> bool:
        return any(_key(cell) == _key(each) for each in self.document["cells"])

    async def _measured(
        self, cell: dict[str, Any], done: dict[str, int], on_progress: OnProgress | None
    ) -> dict[str, Any]:
        name, indices = cell["strategy"], cell["indices"]
        problems = [self._problems[index] for index in indices]

        def tell(_: int, outcome: Result | A1Error) -> None:
            done[name] += 1
            if on_progress is not None:
                on_progress(name, done[name], self.n_total, outcome)

        for engine in self._engines.values():
            if isinstance(engine, Forgets):  # the strategy before has left its keys, values and scores
                await engine.forget()
        watch = Watch(self._engines)
        async with watch:
            found = await run(
                name,
                self._pair,
                self._engines,
                problems,
                replace(self._parameters, n_samples=cell["n_samples"], max_turns=cell["max_turns"]),
                arrivals=self._plan.arrivals(cell["repeat"]),
                seed=self._plan.seed + cell["repeat"],
                on_progress=tell,
                controller=self._pasts.controller(name),
            )
        if not found.results and isinstance(found.outcomes[0], A1Error):
            raise found.outcomes[0]
        keep = self._plan.keep_calls == "all" or (self._plan.keep_calls == "first" and cell["repeat"] == 0)
        said = cell_of(found, problems, indices, with_calls=keep, watched=watch.figures())
        return {**{key: value for key, value in cell.items() if key != "indices"}, **said}

    async def _warm_up(self, problems: Sequence[Problem]) -> None:
        """The first calls of an engine pay for what later ones find ready."""
        parameters = replace(self._parameters, n_samples=min(4, *self._plan.n_samples), max_turns=2)
        for name in self._names:
            arrivals = Arrivals(n_in_flight=len(problems))
            await run(name, self._pair, self._engines, problems, parameters, arrivals=arrivals, seed=_WARM_UP_SEED)

    def _keep_state(self, cell: Mapping[str, Any]) -> None:
        """What the controllers have seen goes into the document, too: going on must not start them anew."""
        self.document["state"] = {"group": list(_group(cell)), "decisions": self._pasts.to_document()}

    def _go_on(self, before: Mapping[str, Any]) -> None:
        for key in ("fingerprint", "plan", "parameters", "problems", "slots"):
            if before.get(key) != self.document[key]:
                raise InvalidRequestError(
                    f"the file to go on with has another {key}",
                    field="resume",
                    remedy="give the same command as before, or another file",
                )
        self.document["cells"] = list(before["cells"])
        left = next((cell for cell in self._cells() if not self._done(cell)), None)
        state = before.get("state")
        if left is not None and state is not None and state["group"] == list(_group(left)):
            self._pasts.restore(state["decisions"])


def order_of(names: Sequence[str], turn: int) -> list[str]:
    """The strategies as they take turns: every one leads as often as another, and two of them swap.

    Example:
        >>> order_of(["a1", "target-only"], 1)
        ['target-only', 'a1']
    """
    shift = turn % len(names)
    return [*names[shift:], *names[:shift]]


def blocks_for(n_problems: int, per_block: int = 25) -> int:
    """Blocks of about so many problems: fewer would mostly measure how a block begins and ends.

    Example:
        >>> blocks_for(100), blocks_for(3)
        (4, 1)
    """
    return max(1, math.ceil(n_problems / per_block))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _key(cell: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(cell[name] for name in ("strategy", "n_samples", "max_turns", "repeat", "block"))


def _group(cell: Mapping[str, Any]) -> tuple[int, int, int]:
    """Cells of a group share controllers."""
    return cell["n_samples"], cell["max_turns"], cell["repeat"]


def _size(cell: Mapping[str, Any]) -> int:
    return len(cell["indices"])
