"""Sets at a level, and the ranks of samples that are judged together."""

import math

import pytest

from a1_trt.core.conformal import ordinal_rank, rejection_set
from a1_trt.errors import CalibrationError, InvalidRequestError


def test_a_p_value_at_the_level_is_rejected() -> None:
    assert rejection_set([0.41, 0.4, 0.39, 1.0], 0.4) == (1, 2)
    assert rejection_set([], 0.3) == ()


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 2.0, math.nan])
def test_a_level_outside_the_open_interval_is_refused(alpha: float) -> None:
    with pytest.raises(InvalidRequestError, match="alpha is") as caught:
        rejection_set([0.5], alpha)
    assert caught.value.field == "alpha"


def test_ranks_count_from_the_strangest_and_ties_go_to_the_first() -> None:
    assert ordinal_rank([2.0, 7.0, 2.0, 9.0, 1.0]) == (3, 2, 4, 1, 5)
    assert ordinal_rank([]) == ()


def test_a_score_that_is_not_finite_is_not_ranked() -> None:
    with pytest.raises(CalibrationError):
        ordinal_rank([1.0, math.nan])
