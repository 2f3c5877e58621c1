"""No draft segment stands without a score: it is dropped, counted and told, and too many fail the problem."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import product

import pytest

from a1_trt.benchmarks.strategies import Arrivals, run
from a1_trt.config import Pair, make_pair
from a1_trt.core.reasoning.answers import boxed
from a1_trt.engine import Generation
from a1_trt.errors import A1Error, EngineError, EngineUnavailable, ScoreShapeError, ScoringUnavailable
from a1_trt.runtime.session import Session
from a1_trt.runtime.virtual_time import run as run_virtually
from a1_trt.types import Event, Parameters, Problem, ProblemFinished, Result, SampleEnd, SegmentUnscored, SegmentWritten
from a1_trt.wire import event_from_dict, event_to_dict
from tests.doubles.simulated import RandomText, SimulatedEngine

Fails = Callable[[int], A1Error | None]
"""What the n-th score call fails with, if it does."""

PROBLEMS = [Problem(f"What is {n}?", f"p{n}", "42") for n in range(3)]
MODES = [
    {"admission": "async"},
    {"admission": "async", "optimistic": True},
    {"admission": "barrier"},
]
EVERYTHING = [
    {**mode, "takeover_from": place, "score_answers": verify, "on_score_error": rule, "early_stop": stop}
    for mode, place, verify, rule, stop in product(
        MODES, ("end", "first_surprise"), (False, True), ("takeover", "fail"), (False, True)
    )
]


def make(max_unscored: float = 0.05) -> Pair:
    model = {"model": "none", "sampling": {"segment_tokens": 40}}
    conformal = {"max_unscored": max_unscored, "category": "none"}
    return make_pair({"name": "simulated", "draft": model, "target": model, "conformal": conformal})


class Scorer(SimulatedEngine):
    """A target whose scores and one-token ratings may fail; a call that is made again is the same one."""

    def __init__(self, fails: Fails, text: RandomText) -> None:
        super().__init__("target", text=text)
        self._fails = fails
        self._numbers: dict[object, int] = {}

    def _fail(self, *tokens: tuple[int, ...]) -> None:
        error = self._fails(self._numbers.setdefault(tokens, len(self._numbers)))
        if error is not None:
            raise error

    async def generate(self, prompt: Sequence[int], *, max_tokens: int, temperature: float, seed: int) -> Generation:
        if max_tokens == 1:
            self._fail(tuple(prompt))
        return await super().generate(prompt, max_tokens=max_tokens, temperature=temperature, seed=seed)

    async def score(self, prompt: Sequence[int], segment: Sequence[int]) -> list[float]:
        self._fail(tuple(prompt), tuple(segment))
        return await super().score(prompt, segment)


def engines(fails: Fails) -> dict[str, SimulatedEngine]:
    text = RandomText(segment_tokens=20, segments=(1, 4))
    return {"draft": SimulatedEngine("draft", text=text), "target": Scorer(fails, text)}


def solved(fails: Fails, max_unscored: float = 0.05, **changes: object) -> tuple[list[Result | A1Error], list[Event]]:
    """Problems one after the other in a session, and all their events."""
    parameters = Parameters(**{"n_samples": 5, "max_turns": 5, "draft_tokens": 40, "target_tokens": 40, **changes})
    events: list[Event] = []

    async def main() -> list[Result | A1Error]:
        outcomes: list[Result | A1Error] = []
        async with Session(make(max_unscored), engines(fails)) as session:
            for problem in PROBLEMS:
                try:
                    async for event in session.stream(problem, parameters):
                        events.append(event)
                        if isinstance(event, ProblemFinished):
                            outcomes.append(event.result)
                except A1Error as error:
                    outcomes.append(error)
            counted = session.snapshot()["unscored"]
        assert {reason: n for reason, n in counted.items() if n} == Counter(each.reason for each in told(events))
        return outcomes

    return run_virtually(main()), events


def told(events: list[Event]) -> list[SegmentUnscored]:
    return [event for event in events if isinstance(event, SegmentUnscored)]


def check_nothing_stands_unscored(result: Result, parameters: dict[str, object]) -> None:
    """Every draft segment has a score, but for an answer that nobody wants verified and what was cut off undecided."""
    for chain in result.trajectories:
        before = ""
        for turn in chain.turns:
            drafts = [segment for segment in turn.segments if segment.role == "draft"]
            text = before + "".join(segment.text for segment in drafts)
            before += "".join(segment.text for segment in turn.segments)
            if not drafts or turn.score is not None:
                continue
            assert turn is chain.turns[-1]
            undecided = chain.end in (SampleEnd.STOPPED, SampleEnd.CANCELLED)
            answers = chain.end is SampleEnd.ANSWERED and boxed(text) is not None
            assert undecided or (answers and not parameters["score_answers"])
        assert (chain.answer is None) == (chain.end is not SampleEnd.ANSWERED)
    unscored = sum(turn.unscored is not None for chain in result.trajectories for turn in chain.turns)
    assert result.usage.n_unscored == unscored


@pytest.mark.parametrize("how", EVERYTHING)
@pytest.mark.parametrize("max_unscored", [0.05, 1.0])
def test_a_dead_scorer_lets_no_draft_stand(how: dict[str, object], max_unscored: float) -> None:
    outcomes, events = solved(lambda _: EngineError("dead", role="target"), max_unscored, **how)
    assert told(events)
    assert {(event.reason, event.takeover) for event in told(events)} == {
        ("engine", how["on_score_error"] == "takeover")
    }
    results = [outcome for outcome in outcomes if isinstance(outcome, Result)]
    for result in results:
        assert result.usage.n_scored == 0
        check_nothing_stands_unscored(result, how)
        if how["score_answers"]:
            assert all(s.role == "target" for t in result.trajectories if t.answer for u in t.turns for s in u.segments)
    n_counted = sum(result.usage.n_unscored for result in results)
    assert n_counted == len(told(events)) if len(results) == len(outcomes) else n_counted <= len(told(events))
    for outcome in outcomes:
        assert isinstance(outcome, Result | ScoringUnavailable | EngineError)
    if how["on_score_error"] == "takeover":
        if max_unscored == 1.0:
            assert len(results) == len(PROBLEMS), "nothing fails where every share is allowed"
        elif how["score_answers"]:
            assert all(isinstance(outcome, ScoringUnavailable) for outcome in outcomes)


@pytest.mark.parametrize("how", EVERYTHING)
@pytest.mark.parametrize("error", [EngineUnavailable("gone"), ScoreShapeError("short")])
def test_where_every_fifth_score_fails_the_others_count(how: dict[str, object], error: A1Error) -> None:
    outcomes, events = solved(lambda number: error if number % 5 == 1 else None, 1.0, **how)
    results = [outcome for outcome in outcomes if isinstance(outcome, Result)]
    assert len(results) == len(PROBLEMS)
    for result in results:
        check_nothing_stands_unscored(result, how)
    assert sum(result.usage.n_unscored for result in results) == len(told(events)) > 0
    assert sum(result.usage.n_scored for result in results) > 0


@pytest.mark.parametrize(("max_unscored", "fails"), [(0.05, True), (0.2, False)])
def test_a_share_of_a_tenth_is_above_or_below(max_unscored: float, fails: bool) -> None:
    broken = EngineError("broken", role="target")
    outcomes, events = solved(
        lambda number: broken if number % 10 == 9 else None, max_unscored, n_samples=16, score_answers=True
    )
    assert len(told(events)) > 2
    assert any(isinstance(outcome, ScoringUnavailable) for outcome in outcomes) == fails
    for outcome in outcomes:
        if isinstance(outcome, Result):
            check_nothing_stands_unscored(outcome, {"score_answers": True})


def test_the_target_writes_from_the_start_of_what_has_no_score() -> None:
    outcomes, events = solved(
        lambda _: EngineError("dead"), 1.0, n_samples=1, score_answers=True, takeover_from="first_surprise"
    )
    for outcome in outcomes:
        (chain,) = outcome.trajectories
        assert {segment.role for turn in chain.turns for segment in turn.segments} == {"target"}
        assert all(turn.takeover and turn.unscored == "engine" for turn in chain.turns)
        assert outcome.usage.discarded_tokens == outcome.usage.draft_tokens > 0
    drafted = [event for event in events if isinstance(event, SegmentWritten) and event.segment.role == "draft"]
    assert len(drafted) == len(told(events))
    assert [event_from_dict(event_to_dict(event)) for event in told(events)] == told(events)


def test_scoring_comes_back_without_a_problem() -> None:
    dead = [True]

    async def main() -> None:
        fails: Fails = lambda _: EngineError("dead") if dead[0] else None  # noqa: E731
        async with Session(make(), engines(fails)) as session:
            for n in range(12):
                with pytest.raises(ScoringUnavailable):
                    await session.solve(Problem(f"What is {n}?"), Parameters(n_samples=8, score_answers=True))
            assert not session.is_scoring
            dead[0] = False
            await asyncio.sleep(5)  # virtual seconds
            assert session.is_scoring
            assert session.snapshot()["scored"] == session.snapshot()["calibration_size"] == 0
            result = await session.solve(Problem("What is 3?"), Parameters(n_samples=8, score_answers=True))
            assert result.usage.n_unscored == 0

    run_virtually(main())


@pytest.mark.parametrize(
    "name", ["sync-rank", "sync-threshold", "sync-rank-overlapped", "published", "best-of-n", "spec-reason"]
)
@pytest.mark.parametrize("on_score_error", ["takeover", "fail"])
def test_baselines_fail_or_let_the_target_write(name: str, on_score_error: str) -> None:
    parameters = Parameters(
        n_samples=5, max_turns=5, draft_tokens=40, target_tokens=40, score_answers=True, on_score_error=on_score_error
    )

    def ran(fails: Fails, max_unscored: float) -> list[Result | A1Error]:
        async def main() -> list[Result | A1Error]:
            arrivals = Arrivals(n_in_flight=2)
            done = await run(name, make(max_unscored), engines(fails), PROBLEMS, parameters, arrivals=arrivals, seed=1)
            return list(done.outcomes)

        try:
            return run_virtually(main())
        except ScoringUnavailable as error:
            return [error]

    broken = EngineError("broken", role="target")
    assert all(isinstance(outcome, ScoringUnavailable) for outcome in ran(lambda _: broken, 0.05))
    outcomes = ran(lambda number: broken if number % 7 == 1 else None, 1.0)
    results = [outcome for outcome in outcomes if isinstance(outcome, Result)]
    if name == "best-of-n":  # where the only chain that answers has no score, nothing can be chosen
        assert all(isinstance(outcome, Result | ScoringUnavailable) for outcome in outcomes)
        return
    assert len(results) == len(PROBLEMS)
    assert sum(result.usage.n_unscored for result in results) > 0
    for result in results:
        if name != "spec-reason":
            check_nothing_stands_unscored(result, {"score_answers": True})
