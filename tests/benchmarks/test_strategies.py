"""Every strategy in virtual time: what it does, where it waits, and that all of them draw the same segments."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from a1_trt.benchmarks.strategies import STRATEGIES, Arrivals, Run, fresh_controller, run
from a1_trt.benchmarks.strategies.baselines import doubt
from a1_trt.config import Pair, make_pair
from a1_trt.core.conformal import make_controller
from a1_trt.errors import ConfigError, EngineError, InvalidRequestError
from a1_trt.runtime import virtual_time
from a1_trt.types import Parameters, Problem, Result, SampleEnd
from tests.doubles.simulated import CharacterTokenizer, RandomText, SimulatedEngine

PROBLEMS = [Problem(f"What is {n}?", f"p{n}", "42") for n in range(6)]
PARAMETERS = Parameters(n_samples=6, max_turns=6, alpha=0.3, draft_tokens=40, target_tokens=40, early_stop=False)
RUNNABLE = [name for name in STRATEGIES if name != "token-speculative"]


def pair(**roles: int) -> Pair:
    models = {
        role: {
            "model": "none",
            "max_in_flight": roles.get(role, 64),
            "sampling": {"segment_tokens": 40},
        }
        for role in ("draft", "target")
    }
    return make_pair({"name": "simulated", **models})


def solved(name: str, *, parameters: Parameters = PARAMETERS, config: Pair | None = None, **given: object) -> Run:
    faults = given.pop("faults", None)
    problems = given.pop("problems", PROBLEMS)
    arrivals = given.pop("arrivals", Arrivals(n_in_flight=3))

    async def main() -> Run:
        text = RandomText(segment_tokens=20, segments=(1, 4))
        engines = {role: SimulatedEngine(role, text=text, faults=faults) for role in ("draft", "target")}
        return await run(name, config or pair(), engines, problems, parameters, arrivals=arrivals, seed=3, **given)

    return virtual_time.run(main())


def finished(said: Run) -> list[Result]:
    assert all(isinstance(outcome, Result) for outcome in said.outcomes)
    return list(said.results)


@pytest.mark.parametrize("name", RUNNABLE)
def test_every_strategy_solves_and_says_what_happened(name: str) -> None:
    said = solved(name)
    results = finished(said)
    assert [result.problem for result in results] == PROBLEMS
    assert all(len(result.trajectories) == PARAMETERS.n_samples for result in results)
    assert sum(result.answer is not None for result in results) >= 2
    assert said.wall_s == pytest.approx(max(call.ended_s for call in said.calls))
    assert len(said.samples) == len(PROBLEMS) * PARAMETERS.n_samples
    for call in said.calls:
        assert 0 <= call.wanted_s <= call.started_s <= call.ended_s <= said.wall_s + 1e-9
        assert 0 <= call.problem < len(PROBLEMS)
    for index, (result, latency_s) in enumerate(zip(results, said.latencies_s, strict=True)):
        assert result.wall_s == latency_s
        mine = [call for call in said.calls if call.problem == index and call.end == "done"]
        new = {role: sum(call.n_new_tokens for call in mine if call.role == role) for role in ("draft", "target")}
        assert (result.usage.draft_tokens, result.usage.target_tokens) == (new["draft"], new["target"])
        assert result.usage.scored_tokens == sum(call.n_scored_tokens for call in mine)
        calls = result.usage.draft_calls + result.usage.score_calls + result.usage.takeover_calls
        assert calls == len(mine)


@pytest.mark.parametrize("name", RUNNABLE)
def test_the_same_run_again_is_the_same(name: str) -> None:
    assert solved(name) == solved(name)


@pytest.mark.parametrize("name", RUNNABLE)
def test_limits_of_calls_in_flight_hold(name: str) -> None:
    said = solved(name, config=pair(draft=3, target=2), problems=PROBLEMS[:3])
    for role, most in (("draft", 3), ("target", 2)):
        moments = [(c.started_s, 1) for c in said.calls if c.role == role]
        moments += [(c.ended_s, -1) for c in said.calls if c.role == role]
        running = peak = 0
        for _, change in sorted(moments):
            running += change
            peak = max(peak, running)
        assert peak <= most


@pytest.mark.parametrize("name", [name for name in RUNNABLE if not name.endswith("-no-stop")])
def test_every_vote_may_stop_early_and_says_the_same(name: str) -> None:
    full, early = (solved(name, parameters=replace(PARAMETERS, n_samples=9, early_stop=stop)) for stop in (False, True))
    n_stopped = sum(result.usage.n_stopped for result in finished(early))
    assert (n_stopped > 0) == STRATEGIES[name].votes
    if name in ("target-only", "draft-only", "random", "spec-reason", "speculative-thinking", "published"):
        # No decision depends on another sample here, so neither does the vote.
        assert [result.answer for result in finished(early)] == [result.answer for result in finished(full)]


def turns(said: Run, problem: int) -> dict[tuple[int, str], list[tuple[float, float]]]:
    phases = defaultdict(list)
    for call in said.calls:
        if call.problem == problem:
            phases[call.turn, call.kind].append((call.started_s, call.ended_s))
    return phases


@pytest.mark.parametrize("name", ["sync-rank", "sync-threshold", "sync-rank-overlapped", "a1-barrier"])
def test_a_barrier_lets_nobody_start_before_the_slowest_is_done(name: str) -> None:
    said = solved(name)
    order = {"draft": 0, "score": 1, "takeover": 2}
    for problem in range(len(PROBLEMS)):
        phases = turns(said, problem)
        for one, next_one in pairwise(sorted(phases, key=lambda phase: (phase[0], order[phase[1]]))):
            assert max(end for _, end in phases[one]) <= min(start for start, _ in phases[next_one])


def test_a1_has_no_barrier() -> None:
    said = solved("a1")
    overlapping = 0
    for problem in range(len(PROBLEMS)):
        phases = turns(said, problem)
        drafts = [times for (turn, kind), times in phases.items() if kind == "draft" and turn == 1 for times in times]
        first = [end for _, end in phases[0, "draft"]]
        overlapping += any(start < max(first) for start, _ in drafts)
    assert overlapping


@pytest.mark.parametrize("name", [name for name in RUNNABLE if STRATEGIES[name].one_at_a_time])
def test_one_problem_at_a_time_means_no_two_overlap(name: str) -> None:
    said = solved(name)
    spans = [
        (min(c.started_s for c in said.calls if c.problem == p), max(c.ended_s for c in said.calls if c.problem == p))
        for p in range(len(PROBLEMS))
    ]
    assert all(one[1] <= other[0] for one, other in pairwise(sorted(spans)))


def test_a_closed_loop_keeps_so_many_at_work() -> None:
    said = solved("a1", arrivals=Arrivals(n_in_flight=2))
    first = [min(call.started_s for call in said.calls if call.problem == p) for p in range(len(PROBLEMS))]
    assert first[:2] == [0.0, 0.0]
    assert first[2] > 0.0
    assert first == sorted(first)


def test_an_open_loop_keeps_to_its_times() -> None:
    arrivals = Arrivals(rate_per_s=0.5, seed=7)
    said = solved("a1", arrivals=arrivals)
    times = arrivals.times_s(len(PROBLEMS))
    first = [min(call.wanted_s for call in said.calls if call.problem == p) for p in range(len(PROBLEMS))]
    assert first == pytest.approx(times)
    assert said.latencies_s[0] < said.wall_s - times[-1] + times[0] + 1e3


def test_all_strategies_draw_the_same_first_segments() -> None:
    def first(name: str) -> list[str]:
        return [t.turns[0].segments[0].text for result in finished(solved(name)) for t in result.trajectories]

    same = first("a1")
    for name in ("a1-barrier", "sync-rank", "sync-threshold", "random", "a1-no-stop"):
        chosen = PARAMETERS.takeover_from
        assert chosen == "end"
        assert first(name) == same, name
    # This one verifies answers, and takes back what it rejects.
    assert all(whole.startswith(kept) for whole, kept in zip(same, first("published"), strict=True))


def test_rank_takes_over_its_budget_and_the_worst() -> None:
    said = solved("sync-rank", parameters=replace(PARAMETERS, n_samples=10))
    by_turn = defaultdict(list)
    for decision in said.decisions:
        by_turn[decision.problem, decision.turn].append(decision)
    for decisions in by_turn.values():
        taken = [d.score for d in decisions if d.takeover]
        kept = [d.score for d in decisions if not d.takeover]
        assert len(taken) == round(0.3 * len(decisions))
        assert not taken or not kept or min(taken) >= max(kept)


def test_the_threshold_decides_like_a1_when_the_scores_to_rank_among_are_fixed() -> None:
    seen = [decision.score for decision in solved("a1").decisions]

    def decided(name: str) -> dict[tuple[int, int, int], bool]:
        static = make_controller("static", calibration_scores={"turn 1": seen})
        said = solved(name, controller=static)
        return {(d.problem, d.sample, d.turn): d.takeover for d in said.decisions}

    assert decided("sync-threshold") == decided("a1") == decided("a1-barrier")


def test_each_strategy_starts_with_a_controller_of_its_own() -> None:
    one, other = (fresh_controller("a1", pair()) for _ in range(2))
    solved("a1", controller=one)
    assert len(one) > 0
    assert len(other) == 0


def test_the_published_threshold_is_static() -> None:
    said = solved("published")
    order = sorted(said.decisions, key=lambda decision: decision.score)
    taken = [decision.takeover for decision in order]
    assert taken == sorted(taken)
    assert {True, False} == set(taken)


def test_random_takes_over_at_rate_alpha_and_scores_nothing() -> None:
    said = solved("random", problems=[Problem(f"Q{n}", f"q{n}") for n in range(60)])
    n_turns = sum(1 for call in said.calls if call.kind == "draft")
    assert all(call.kind != "score" for call in said.calls)
    assert sum(result.usage.n_takeovers for result in said.results) / n_turns == pytest.approx(0.3, abs=0.12)


def test_best_of_n_answers_with_the_least_surprising_chain() -> None:
    said = solved("best-of-n")
    scored = {(call.problem, call.sample) for call in said.calls if call.kind == "score"}
    for index, result in enumerate(finished(said)):
        answers = {t.sample: t.answer for t in result.trajectories}
        assert {sample for problem, sample in scored if problem == index} == {s for s, a in answers.items() if a}
        assert result.answer is None or result.answer in answers.values()


def test_spec_reason_asks_for_one_token_and_rewrites() -> None:
    said = solved("spec-reason")
    ratings = [call for call in said.calls if call.kind == "takeover" and call.n_new_tokens == 1]
    assert ratings
    for result in finished(said):
        for trajectory in result.trajectories:
            for turn in trajectory.turns:
                if turn.takeover and len(turn.segments) == 1:
                    assert turn.segments[0].role == "target"


@pytest.mark.parametrize(
    ("before", "text", "place"),
    [
        ("", "Wait, no", 0),
        ("Done.\n", "Hmm, so", 0),
        ("x is", " 3. But y", 4),
        ("x is", "no more", None),
        ("", "A note. Another. Nothing", None),
        ("", "a\nwait, b = 2", 2),
    ],
)
def test_doubt_is_found_where_sentences_open(before: str, text: str, place: int | None) -> None:
    assert doubt(before, text) == place


def test_a_failing_engine_costs_its_samples_and_a_dead_one_the_problem() -> None:
    def sometimes(number: int, verb: str) -> EngineError | None:
        return EngineError("broken") if number % 7 == 3 else None

    for name in RUNNABLE:
        said = solved(name, faults=sometimes)
        ends = [t.end for result in said.results for t in result.trajectories]
        assert SampleEnd.ANSWERED in ends or SampleEnd.EXHAUSTED in ends, name
        if name == "published":  # it has nothing to calibrate on
            with pytest.raises(EngineError, match="dead"):
                solved(name, faults=lambda number, verb: EngineError("dead"))
            continue
        dead = solved(name, faults=lambda number, verb: EngineError("dead"), problems=PROBLEMS[:2])
        assert all(isinstance(outcome, EngineError) for outcome in dead.outcomes), name


def test_an_unknown_strategy_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidRequestError, match="choose from a1, "):
        solved("a2")


def test_arrivals_are_one_or_the_other() -> None:
    for wrong in ({}, {"n_in_flight": 1, "rate_per_s": 1.0}, {"n_in_flight": 0}, {"rate_per_s": -1.0}):
        with pytest.raises(InvalidRequestError):
            Arrivals(**wrong)


def test_token_speculation_says_why_it_cannot() -> None:
    with pytest.raises(ConfigError, match="SimulatedEngine, has no token-level"):
        solved("token-speculative")

    async def main() -> Run:
        engines = {
            role: SimulatedEngine(role, text=RandomText(tokenizer=CharacterTokenizer(role)))
            for role in ("draft", "target")
        }
        return await run(
            "token-speculative", pair(), engines, PROBLEMS, PARAMETERS, arrivals=Arrivals(n_in_flight=1), seed=0
        )

    with pytest.raises(ConfigError, match="one tokenizer"):
        virtual_time.run(main())


def test_the_example_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(example, "example", "exec"), {})  # noqa: S102  our own page
    assert capsys.readouterr().out.strip()


def test_every_strategy_is_on_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text()
    assert [name for name in STRATEGIES if f"`{name}`" not in page] == []
