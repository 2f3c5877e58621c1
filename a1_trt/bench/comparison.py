"""Running the arms of a comparison, in turns, so that a machine that drifts harms none of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Unpack

from a1_trt.client import AsyncClient, Overrides, Progress
from a1_trt.errors import A1Error
from a1_trt.types import Problem, Result

ARMS: Mapping[str, Overrides] = {
    "a1": {"strategy": "a1", "admission": "async"},
    "target_only": {"strategy": "target_only", "admission": "async"},
    "barrier": {"strategy": "a1", "admission": "barrier"},
}
"""What each arm sets; everything else is the same for all."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one arm gave.

    Args:
        outcomes: A result or an error for every problem, in their order.
        wall_s: Seconds in which the arm had the machine, summed over its blocks.
    """

    outcomes: tuple[Result | A1Error, ...]
    wall_s: float


async def measure(
    client: AsyncClient,
    problems: Sequence[Problem],
    arms: Sequence[str],
    *,
    n_blocks: int = 2,
    on_progress: Callable[[str, Progress], object] | None = None,
    **parameters: Unpack[Overrides],
) -> dict[str, Measured]:
    """Solve all problems once by every arm, all problems of a block in flight at once.

    The problems are dealt out into blocks; in every block each arm solves it, in an order that is turned round from
    block to block, so that a machine which grows faster or slower, and a cache that an earlier arm has warmed, favour
    no arm throughout.

    Args:
        client: Whatever solves them.
        problems: The problems.
        arms: Names out of `ARMS`.
        n_blocks: Blocks, at most one a problem.
        on_progress: Called with the arm after each problem; counts are of the whole arm.
        **parameters: Settings for all arms alike.

    Raises:
        A1Error: An arm solved nothing at all; the error of its first problem.
    """
    outcomes: dict[str, dict[int, Result | A1Error]] = {arm: {} for arm in arms}
    wall_s = dict.fromkeys(arms, 0.0)
    n_blocks = max(1, min(n_blocks, len(problems)))
    for block in range(n_blocks):
        indices = range(block, len(problems), n_blocks)
        for arm in order_of(arms, block):
            done = len(outcomes[arm])

            def tell(progress: Progress, arm: str = arm, done: int = done) -> None:
                if on_progress is not None:
                    on_progress(arm, Progress(done + progress.n_done, len(problems), progress.index, progress.outcome))

            started_s = time.perf_counter()
            settings: Overrides = {**parameters, **ARMS[arm]}
            solved = await client.solve_many(
                [problems[index] for index in indices], concurrency=len(indices), on_progress=tell, **settings
            )
            wall_s[arm] += time.perf_counter() - started_s
            outcomes[arm] |= zip(indices, solved, strict=True)
    return {arm: Measured(_in_order(outcomes[arm]), wall_s[arm]) for arm in arms}


def order_of(arms: Sequence[str], block: int) -> list[str]:
    """The arms as they take turns in a block: every one leads as often as another, and two of them swap.

    Example:
        >>> order_of(["a1", "target_only"], 1)
        ['target_only', 'a1']
    """
    shift = block % len(arms)
    return [*arms[shift:], *arms[:shift]]


def _in_order(outcomes: Mapping[int, Result | A1Error]) -> tuple[Result | A1Error, ...]:
    ordered = tuple(outcomes[index] for index in sorted(outcomes))
    if ordered and all(isinstance(outcome, A1Error) for outcome in ordered) and isinstance(ordered[0], A1Error):
        raise ordered[0]
    return ordered
