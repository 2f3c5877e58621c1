"""Scores that begin alike go one after another, others side by side."""

from __future__ import annotations

import asyncio

import pytest

from a1_trt.backends.openvino.prefix_order import PrefixSerializer
from a1_trt.backends.prefixes import BLOCK_TOKENS
from a1_trt.runtime.virtual_time import run

BLOCK = list(range(BLOCK_TOKENS))


def times(*sequences: list[int], serializer: PrefixSerializer | None = None, failing: int | None = None) -> list[float]:
    """When each of them starts, where each takes a second."""
    turns = serializer or PrefixSerializer(100)
    started: dict[int, float] = {}

    async def one(index: int, tokens: list[int]) -> None:
        async with turns.turn(tokens):
            started[index] = asyncio.get_running_loop().time()
            await asyncio.sleep(1.0)
            if index == failing:
                raise ValueError("failed")

    async def main() -> None:
        await asyncio.gather(*(one(i, tokens) for i, tokens in enumerate(sequences)), return_exceptions=True)

    run(main())
    return [started[index] for index in range(len(sequences))]


def test_those_that_begin_alike_wait_for_one() -> None:
    assert times([*BLOCK, 1], [*BLOCK, 2], [*BLOCK, 3]) == [0.0, 1.0, 1.0]


def test_those_that_begin_otherwise_do_not() -> None:
    assert times(BLOCK, [7, *BLOCK], [*BLOCK[:-1], 99]) == [0.0, 0.0, 0.0]


def test_less_than_a_block_in_common_is_nothing() -> None:
    assert times(BLOCK[:-1], BLOCK[:-1]) == [0.0, 0.0]


def test_what_is_shared_further_on_is_computed_once_too() -> None:
    one, other = BLOCK + BLOCK, BLOCK + [5] * BLOCK_TOKENS
    assert times(one, other, other, one) == [0.0, 1.0, 2.0, 1.0]


def test_what_was_computed_before_keeps_nobody_waiting() -> None:
    serializer = PrefixSerializer(100)
    assert times(BLOCK, serializer=serializer) == [0.0]
    assert times([*BLOCK, 1], [*BLOCK, 2], serializer=serializer) == [0.0, 0.0]


def test_what_no_longer_fits_is_forgotten() -> None:
    serializer = PrefixSerializer(1)
    assert times(BLOCK, [9, *BLOCK], serializer=serializer) == [0.0, 0.0]
    assert times(BLOCK, BLOCK, serializer=serializer) == [0.0, 1.0]


def test_when_the_first_one_fails_the_next_one_leads() -> None:
    assert times(BLOCK, BLOCK, BLOCK, failing=0) == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("at_s", [0.5, 1.5])
def test_one_that_is_cancelled_keeps_nobody_waiting(at_s: float) -> None:
    async def main() -> float:
        serializer = PrefixSerializer(100)

        async def one() -> None:
            async with serializer.turn(BLOCK):
                await asyncio.sleep(1.0)

        tasks = [asyncio.create_task(one()) for _ in range(3)]
        await asyncio.sleep(at_s)
        tasks[0 if at_s < 1 else 1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return asyncio.get_running_loop().time()

    assert run(main()) == (2.5 if at_s < 1 else 2.0)
