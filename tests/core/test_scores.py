"""Nonconformity scores against hand-worked numbers."""

import math
from typing import get_args

import pytest

from a1_trt.core.conformal import SCORES, check_score, mean_nll, perplexity, tail_nll
from a1_trt.errors import CalibrationError, ScoreShapeError
from a1_trt.pair_sections import ScoreName


def test_mean_nll_is_the_mean() -> None:
    assert mean_nll([-1.0, -2.0, -6.0]) == 3.0


def test_perplexity_is_the_inverse_geometric_mean_of_the_probabilities() -> None:
    assert perplexity([math.log(0.5), math.log(0.25), math.log(0.125)]) == pytest.approx(4.0, rel=1e-15)


def test_a_certain_segment_has_perplexity_one() -> None:
    assert perplexity([0.0, 0.0]) == 1.0


def test_perplexity_stays_finite_where_exp_overflows_and_still_ranks_last() -> None:
    assert math.isfinite(perplexity([-5000.0]))
    assert perplexity([-5000.0]) > perplexity([-700.0])


@pytest.mark.parametrize(("n_tokens", "n_tail"), [(1, 1), (9, 1), (10, 1), (11, 2), (20, 2), (21, 3)])
def test_tail_nll_averages_the_worst_tenth_rounded_up(n_tokens: int, n_tail: int) -> None:
    losses = [float(loss) for loss in range(n_tokens)]
    expected = sum(range(n_tokens - n_tail, n_tokens)) / n_tail
    assert tail_nll([-loss for loss in losses]) == expected


def test_tail_nll_sees_one_bad_token_that_the_mean_hides() -> None:
    fine, one_bad = [-0.5] * 100, [-0.4] * 99 + [-9.0]
    assert mean_nll(one_bad) < mean_nll(fine)
    assert tail_nll(one_bad) > tail_nll(fine)


@pytest.mark.parametrize("name", sorted(SCORES))
def test_every_score_ignores_the_order_of_sums_and_takes_rounding_above_zero_as_zero(name: str) -> None:
    score = SCORES[name]
    values = [-0.1, -1e-17, -3.7, -0.1, -2.2]
    assert score(values) == score(values[::-1])
    assert score([5e-7]) == score([0.0])


@pytest.mark.parametrize("name", sorted(SCORES))
@pytest.mark.parametrize(
    ("logprobs", "said"),
    [
        ([], "there are no log-probs"),
        ([-1.0, math.nan], "log-prob 1 of 2 is nan"),
        ([-math.inf, -1.0], "log-prob 0 of 2 is -inf"),
        ([math.inf], "is inf"),
        ([-1.0, 2e-6], "is 2e-06"),
    ],
)
def test_log_probs_that_are_none_never_become_a_score(name: str, logprobs: list[float], said: str) -> None:
    with pytest.raises(ScoreShapeError, match=said) as caught:
        SCORES[name](logprobs)
    assert caught.value.field == "logprobs"
    assert caught.value.role == "target"
    assert not caught.value.retryable


def test_scores_are_read_only_and_named_as_in_a_pair_file() -> None:
    assert set(SCORES) == set(get_args(ScoreName))
    with pytest.raises(TypeError):
        SCORES["mine"] = mean_nll  # type: ignore[index]


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf, True, "1.5", None, 10**400, [1.0], 1j])
def test_what_cannot_be_ranked_is_no_score(score: object) -> None:
    with pytest.raises(CalibrationError, match="is not a finite number") as caught:
        check_score(score)
    assert caught.value.remedy


@pytest.mark.parametrize("score", [0, -3, 1.5, 1.7976931348623157e308])
def test_any_finite_number_is_a_score(score: float) -> None:
    assert check_score(score) == score
    assert type(check_score(score)) is float
