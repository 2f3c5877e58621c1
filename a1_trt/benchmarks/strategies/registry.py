"""All strategies by name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from types import MappingProxyType

from a1_trt.benchmarks.strategies import baselines
from a1_trt.benchmarks.strategies.barrier import by_rank, by_threshold, lockstep
from a1_trt.benchmarks.strategies.chain import Hands, Team
from a1_trt.benchmarks.strategies.context import Recipe, Solve, Stage
from a1_trt.benchmarks.strategies.session_strategy import in_session
from a1_trt.benchmarks.strategies.token_speculative import token_by_token
from a1_trt.types import Problem, Result, Role

PUBLISHED_LIMITS: dict[Role, int] = {"draft": 16, "target": 4}

Procedure = Callable[[Team], Awaitable[None]]


def by_hand(procedure: Procedure) -> Callable[[Stage], AbstractAsyncContextManager[Solve]]:
    """What solves problems by a procedure over their chains."""

    @asynccontextmanager
    async def open_(stage: Stage) -> AsyncIterator[Solve]:
        yield _solving(procedure, Hands(stage))

    return open_


def _solving(procedure: Procedure, hands: Hands) -> Solve:
    async def solve(index: int, problem: Problem) -> Result:
        team = Team(index, problem, hands.stage.parameters, hands)
        await procedure(team)
        return team.result()

    return solve


async def _sync_rank(team: Team) -> None:
    await lockstep(team, by_rank)


async def _sync_threshold(team: Team) -> None:
    await lockstep(team, by_threshold)


@asynccontextmanager
async def _published(stage: Stage) -> AsyncIterator[Solve]:
    threshold = await baselines.first_turn_scores(Hands(stage))
    stage.timeline.restart()

    async def procedure(team: Team) -> None:
        await baselines.published(team, threshold)

    yield _solving(procedure, Hands(stage, PUBLISHED_LIMITS))


@asynccontextmanager
async def _best_of_n(stage: Stage) -> AsyncIterator[Solve]:
    hands = Hands(stage)

    async def solve(index: int, problem: Problem) -> Result:
        team = Team(index, problem, stage.parameters, hands)
        await baselines.best_of_n(team)
        result = team.result()
        return replace(result, answer=baselines.chosen(team, result))

    yield solve


_A1 = Recipe("asynchronous, by conformal p-values; as the pair says", in_session, parameters={"strategy": "a1"})


def _a1_by(controller: str, said: str) -> Recipe:
    return replace(_A1, summary=f"a1, {said}", conformal={"controller": controller})


_ALONE = {"strategy": "target_only"}
_NO_STOP = {"early_stop": False}

STRATEGIES: Mapping[str, Recipe] = MappingProxyType(
    {
        "a1": _A1,
        "a1-marginal": _a1_by("growing", "one growing calibration set for all scores"),
        "a1-per-turn": _a1_by("mondrian", "a growing calibration set per turn bucket"),
        "a1-per-problem": _a1_by("per-problem", "a calibration set per problem, shrunk to that of all"),
        "a1-adaptive": _a1_by("two-level", "levels that adapt per turn bucket and over all"),
        "a1-no-stop": replace(
            _A1, summary="a1 without stopping when the vote is settled", parameters={**_A1.parameters, **_NO_STOP}
        ),
        "a1-optimistic": replace(
            _A1,
            summary="a1, drafting on while a segment is verified",
            parameters={**_A1.parameters, "optimistic": True},
        ),
        "a1-barrier": replace(
            _A1,
            summary="a1 under barriers within each problem; problems overlap",
            parameters={**_A1.parameters, "admission": "barrier"},
        ),
        "sync-rank": Recipe(
            "barriers; the worst B of m by rank are taken over; one problem at a time",
            by_hand(_sync_rank),
            one_at_a_time=True,
        ),
        "sync-threshold": Recipe(
            "barriers; a1's conformal threshold; one problem at a time", by_hand(_sync_threshold), one_at_a_time=True
        ),
        "sync-rank-overlapped": Recipe("sync-rank with several problems at work", by_hand(_sync_rank)),
        "published": Recipe(
            "the published asynchronous code: static first-turn threshold, 16 draft and 4 target calls",
            _published,
            parameters={"takeover_from": "end", "score_answers": False},
            one_at_a_time=True,
        ),
        "target-only": Recipe("self-consistency of the target", in_session, parameters=_ALONE),
        "target-only-no-stop": Recipe(
            "target-only without stopping when the vote is settled", in_session, parameters={**_ALONE, **_NO_STOP}
        ),
        "draft-only": Recipe("self-consistency of the draft", in_session, parameters={"strategy": "draft_only"}),
        "best-of-n": Recipe(
            "chains by the draft, the one with the lowest perplexity under the target answers",
            _best_of_n,
            parameters={"strategy": "draft_only"},
            votes=False,
        ),
        "spec-reason": Recipe(
            "the target rates each segment 0-9 and rewrites those below 7", by_hand(baselines.spec_reason)
        ),
        "speculative-thinking": Recipe(
            "the target takes over where the draft doubts or turns round", by_hand(baselines.speculative_thinking)
        ),
        "random": Recipe("the target takes over by chance alpha, nothing is scored", by_hand(baselines.at_random)),
        "token-speculative": Recipe(
            "the target alone, decoding by the draft's proposals token by token", token_by_token, parameters=_ALONE
        ),
    }
)
"""Name -> recipe."""
