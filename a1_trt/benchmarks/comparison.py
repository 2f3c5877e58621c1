"""Strategies measured against each other: the same problems, seeds and engines, alternating block by block."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, replace
from pathlib import Path
from typing import Any

from a1_trt.benchmarks.blocks import CALL_FIELDS, DECISION_FIELDS, BlockRecord, block_fields
from a1_trt.benchmarks.document import KIND, SCHEMA, blocks_of, with_figures, write_document
from a1_trt.benchmarks.plan import Cell, Plan
from a1_trt.benchmarks.resources import Watch
from a1_trt.benchmarks.strategies import Arrivals, fresh_controller, run
from a1_trt.config import Pair
from a1_trt.core.conformal import Candidate, Controller, Decision
from a1_trt.engine import Engine
from a1_trt.errors import A1Error, InvalidRequestError
from a1_trt.runtime.calibration import Recorded
from a1_trt.types import ROLES, Parameters, Problem, Result, Role

OnProgress = Callable[[str, int, int, "Result | A1Error"], object]
"""Told of each problem that is done: strategy, problems done, problems in all, what came of it."""

_WARM_UP_SEED = 2**40


class Comparison:
    """Carries a plan out, block by block, and can go on where another one stopped.

    The problems are dealt out into blocks; in every block each strategy solves it, in an order that is turned round
    from block to block, so that a machine which grows faster or slower, and a cache that an earlier strategy has
    warmed, favour none throughout; engines that can forget do so before each block. Each strategy has a controller of
    its own, which lives through the blocks of a repeat.

    Args:
        plan: What to measure.
        pair: The pair; its engines stay open.
        engines: By role.
        problems: With their answers.
        parameters: How each is to be solved, but for what the plan says.
        about: What else goes into the document: machine, versions, commit, command.
        before: A document to go on with; InvalidRequestError where it is of another plan, pair or set of problems.
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
        self._head: dict[str, Any] = {
            "kind": KIND,
            "schema": SCHEMA,
            "pair": pair.name,
            "fingerprint": pair.fingerprint(),
            "plan": {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(plan).items()},
            "parameters": {k: v for k, v in asdict(parameters).items() if k not in ("n_samples", "max_turns", "seed")},
            "slots": {role: pair.role(role).max_in_flight for role in ROLES},
            "problems": [{"id": problem.id, "answer": problem.answer} for problem in problems],
            "call_fields": list(CALL_FIELDS),
            "decision_fields": list(DECISION_FIELDS),
            **(about or {}),
        }
        self._blocks: list[BlockRecord] = []
        self._controllers = _Controllers(pair)
        if before is not None:
            self._resume(before)

    @property
    def n_total(self) -> int:
        """Of each strategy."""
        return len(self._problems) * self._plan.repeats * len(self._plan.settings())

    async def measure(
        self, *, path: Path | None = None, warm_up: Sequence[Problem] = (), on_progress: OnProgress | None = None
    ) -> dict[str, Any]:
        """Do what is left to do, and return the document with its figures, see `summarise`.

        `path` is written after each block; every strategy first solves the problems to `warm_up`, unmeasured. Where a
        strategy solves nothing in a block, the error of its first problem is raised.
        """
        left = self._left()
        if left and warm_up:
            await self._warm_up(warm_up)
        n_done = Counter(dict.fromkeys(self._plan.strategies, self.n_total))
        for cell in left:
            n_done[cell.strategy] -= len(self._places(cell))
        group = left[0].group if left else None
        for cell in left:
            if cell.group != group:
                self._controllers.clear()
            group = cell.group
            self._blocks.append(await self._measured(cell, n_done, on_progress))
            # What the controllers have seen is kept, too: going on must not start them anew.
            self._head["state"] = {"group": list(group), "decisions": self._controllers.to_document()}
            if path is not None:
                write_document(path, self._document())
        return self._document()

    def _document(self) -> dict[str, Any]:
        return with_figures(self._head, self._blocks)

    def _places(self, cell: Cell) -> range:
        return range(cell.block, len(self._problems), self._plan.blocks)

    def _left(self) -> list[Cell]:
        done = {Cell(b.strategy, b.n_samples, b.max_turns, b.repeat, b.block) for b in self._blocks}
        return [cell for cell in self._plan.cells() if cell not in done]

    async def _measured(self, cell: Cell, n_done: Counter[str], on_progress: OnProgress | None) -> BlockRecord:
        name, places = cell.strategy, self._places(cell)
        problems = [self._problems[place] for place in places]

        def tell(_: int, outcome: Result | A1Error) -> None:
            n_done[name] += 1
            if on_progress is not None:
                on_progress(name, n_done[name], self.n_total, outcome)

        for engine in self._engines.values():
            forget = getattr(engine, "forget", None)
            if forget is not None:  # the strategy before has left its keys, values and scores
                await forget()
        async with Watch(self._engines) as watch:
            result = await run(
                name,
                self._pair,
                self._engines,
                problems,
                replace(self._parameters, n_samples=cell.n_samples, max_turns=cell.max_turns),
                arrivals=self._plan.arrivals(cell.repeat),
                seed=self._plan.seed + cell.repeat,
                on_progress=tell,
                controller=self._controllers.of(name),
            )
        if not result.results and isinstance(result.outcomes[0], A1Error):
            raise result.outcomes[0]
        fields = block_fields(result, problems, places, with_calls=self._plan.keeps_calls(cell.repeat))
        return BlockRecord(**cell._asdict(), **fields, **watch.figures())

    async def _warm_up(self, problems: Sequence[Problem]) -> None:
        """The first calls of an engine pay for what later ones find ready."""
        parameters = replace(self._parameters, n_samples=min(4, *self._plan.n_samples), max_turns=2)
        for name in self._plan.strategies:
            arrivals = Arrivals(n_in_flight=len(problems))
            await run(name, self._pair, self._engines, problems, parameters, arrivals=arrivals, seed=_WARM_UP_SEED)

    def _resume(self, before: Mapping[str, Any]) -> None:
        for key in ("fingerprint", "plan", "parameters", "problems", "slots"):
            if before.get(key) != self._head[key]:
                raise InvalidRequestError(
                    f"the file to go on with has another {key}",
                    field="resume",
                    remedy="give the same command as before, or another file",
                )
        self._blocks = blocks_of(before)
        left, state = self._left(), before.get("state")
        if left and state is not None and state["group"] == list(left[0].group):
            self._controllers.restore(state["decisions"])


class _Controllers:
    """The controller of each strategy, and its decisions as data, so that another process can go on with them."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._controllers: dict[str, Controller] = {}
        self._decisions: dict[str, list[tuple[Any, ...]]] = {}

    def of(self, name: str) -> Controller:
        if name not in self._controllers:
            kept = self._decisions.setdefault(name, [])

            def keep(candidate: Candidate, decision: Decision) -> None:
                kept.append((astuple(candidate), astuple(decision)))

            self._controllers[name] = Recorded(fresh_controller(name, self._pair), keep)
        return self._controllers[name]

    def clear(self) -> None:
        self._controllers.clear()
        self._decisions.clear()

    def to_document(self) -> dict[str, Any]:
        return {name: [list(row) for row in kept] for name, kept in self._decisions.items()}

    def restore(self, document: Mapping[str, Sequence[Sequence[Sequence[Any]]]]) -> None:
        for name, kept in document.items():
            controller = self.of(name)
            for candidate, decision in kept:
                score, category, problem, alpha, u, quota, *_ = candidate  # no pool looks at ranks
                controller.update(
                    Candidate(score, category, problem, alpha, u, quota and tuple(quota)), Decision(*decision)
                )
