"""The classical synchronous protocol: the samples of a problem go through every turn together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import count

from a1_trt.benchmarks.strategies.chain import Chain, Team, being, together
from a1_trt.core.scheduler import Signal, policy

Rule = Callable[[Team, list[Chain]], None]
"""Judges all scored segments of a turn at once."""


async def lockstep(team: Team, judge: Rule) -> None:
    """Turn by turn: a barrier after the drafts, one after the scores and one after the takeovers."""
    for _ in count():
        for phase in (_draft, _score, _judging(judge), _take_over):
            await phase(team)
            if team.is_settled:
                team.stop()
        if not team.open:
            return


def by_rank(team: Team, chains: list[Chain]) -> None:
    """The worst B of all m segments go to the target, B = alpha m rounded; of fewer, as large a share."""
    budget = round(team.parameters.alpha * len(chains))
    ranked = sorted(chains, key=lambda chain: -chain.score)
    for rank, chain in enumerate(ranked, 1):
        team.judge(chain, takeover=rank <= budget, p_value=rank / len(chains))


def by_threshold(team: Team, chains: list[Chain]) -> None:
    """The conformal rule of a1, in the order of the samples."""
    stage = team.hands.stage
    used = 0
    for seen, chain in enumerate(chains):
        asked = policy.candidate(
            team.problem,
            chain.key.sample,
            chain.sample.turn,
            chain.score,
            stage.pair.conformal.category,
            team.parameters,
            policy.quota(team.parameters, used, seen),
        )
        decision = stage.controller.decide(asked)
        stage.controller.update(asked, decision)
        used += decision.takeover
        team.judge(chain, takeover=decision.takeover, p_value=decision.p_value)


async def _draft(team: Team) -> None:
    await together(*(team.draft(chain) for chain in team.open))


async def _score(team: Team) -> None:
    await together(*(team.score(chain) for chain in being(team.open, Signal.WRITTEN)))


def _judging(judge: Rule) -> Callable[[Team], Awaitable[None]]:
    async def judge_all(team: Team) -> None:
        judge(team, being(team.open, Signal.WRITTEN))

    return judge_all


async def _take_over(team: Team) -> None:
    await together(*(team.takeover(chain) for chain in being(team.open, Signal.REJECTED)))
