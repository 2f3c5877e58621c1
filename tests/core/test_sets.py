"""The set at a level, and the classical rule that ranks all candidates."""

import math

import pytest

from a1_trt.core.conformal import rejection_set, worst
from a1_trt.errors import CalibrationError, InvalidRequestError


def test_a_p_value_at_the_level_is_rejected() -> None:
    assert rejection_set([0.41, 0.4, 0.39, 1.0], 0.4) == (1, 2)
    assert rejection_set([], 0.3) == ()


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 2.0, math.nan])
def test_a_level_outside_the_open_interval_is_refused(alpha: float) -> None:
    with pytest.raises(InvalidRequestError, match="alpha is") as caught:
        rejection_set([0.5], alpha)
    assert caught.value.field == "alpha"


@pytest.mark.parametrize(("budget", "taken"), [(0, ()), (1, (3,)), (2, (1, 3)), (3, (0, 1, 3)), (5, (0, 1, 2, 3, 4))])
def test_the_classical_rule_takes_exactly_the_budget(budget: int, taken: tuple[int, ...]) -> None:
    assert worst([2.0, 7.0, 2.0, 9.0, 1.0], budget) == taken
    assert worst([], 0) == ()


@pytest.mark.parametrize("budget", [-1, 3, True, 1.0, None])
def test_a_budget_that_cannot_be_taken_is_refused(budget: int) -> None:
    with pytest.raises(InvalidRequestError, match="budget is") as caught:
        worst([1.0, 2.0], budget)
    assert caught.value.remedy == "give a whole number from 0 to 2"


def test_a_score_that_is_not_finite_is_not_ranked() -> None:
    with pytest.raises(CalibrationError):
        worst([1.0, math.nan], 1)
