"""Categories of scores."""

from typing import Any

import pytest

from a1_trt.core.conformal import category_of
from a1_trt.errors import InvalidRequestError


@pytest.mark.parametrize(
    ("turn", "name"),
    [(0, "turn 1"), (1, "turn 2"), (2, "turn 3"), (3, "turn 4-6"), (5, "turn 4-6"), (6, "turn 7+"), (99, "turn 7+")],
)
def test_turn_buckets(turn: int, name: str) -> None:
    assert category_of("turn", turn, "p") == name


def test_one_category_for_all_or_one_per_problem() -> None:
    assert category_of("none", 0, "p") == category_of("none", 9, "q")
    assert category_of("problem", 0, "p") == category_of("problem", 9, "p") != category_of("problem", 0, "q")


@pytest.mark.parametrize(("kind", "turn", "field"), [("segment", 0, "category"), ("turn", -1, "turn")])
def test_a_category_that_does_not_exist(kind: Any, turn: int, field: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        category_of(kind, turn, "p")
    assert caught.value.field == field
