"""What holds for p-values whatever the scores are: ranges, order, and exactness over all orders of a few scores."""

import itertools
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a1_trt.core.conformal import CalibrationSet, ordinal_rank
from tests.judging import Online

any_score = st.floats(allow_nan=False, allow_infinity=False)
tied_score = st.integers(0, 4).map(float)
scores = st.lists(any_score | tied_score, max_size=40)
draw = st.floats(0.0, 1.0, exclude_min=True, exclude_max=True)
level = st.floats(0.01, 0.99)


@given(scores, any_score | tied_score, draw)
def test_p_values_are_the_naive_formula_and_lie_in_range(past: list[float], score: float, u: float) -> None:
    calibration = CalibrationSet.from_scores(past)
    greater, equal = sum(a > score for a in past), sum(a == score for a in past)
    plain, smoothed = calibration.p_value(score), calibration.p_value(score, u=u)
    assert plain == (1 + greater + equal) / (len(past) + 1)
    assert smoothed == max((greater + u * (1 + equal)) / (len(past) + 1), math.ulp(0.0))
    assert 0.0 < smoothed <= plain <= 1.0


@given(scores, any_score | tied_score, any_score | tied_score, draw)
def test_a_stranger_score_never_has_a_larger_p_value(past: list[float], one: float, other: float, u: float) -> None:
    calibration = CalibrationSet.from_scores(past)
    low, high = sorted((one, other))
    assert calibration.p_value(high) <= calibration.p_value(low)
    assert calibration.p_value(high, u=u) <= calibration.p_value(low, u=u)


@given(scores, any_score, draw, draw)
def test_a_larger_draw_never_has_a_smaller_p_value(past: list[float], score: float, one: float, other: float) -> None:
    calibration = CalibrationSet.from_scores(past)
    low, high = sorted((one, other))
    assert calibration.p_value(score, u=low) <= calibration.p_value(score, u=high)


@given(scores, st.randoms(use_true_random=False))
def test_a_grown_set_is_the_set_of_all_its_scores_in_any_order(past: list[float], random: object) -> None:
    grown, shuffled = CalibrationSet(), past.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for score in shuffled:
        grown.add(score)
    assert grown.scores == CalibrationSet.from_scores(past).scores == tuple(sorted(past))


@given(st.lists(st.integers(-100, 100), max_size=20), st.integers(-100, 100), draw)
def test_only_the_order_of_scores_matters(past: list[int], score: int, u: float) -> None:
    """A monotone change of the score, such as mean NLL to perplexity, gives the same p-values."""
    scaled = CalibrationSet.from_scores([math.exp(value / 50) for value in past])
    assert CalibrationSet.from_scores(past).p_value(score, u=u) == scaled.p_value(math.exp(score / 50), u=u)


@given(st.lists(any_score | tied_score, min_size=1, max_size=6), level)
def test_plain_p_values_are_at_most_alpha_with_probability_at_most_alpha(bag: list[float], alpha: float) -> None:
    p_values = [CalibrationSet.from_scores(order[:-1]).p_value(order[-1]) for order in itertools.permutations(bag)]
    assert sum(p <= alpha for p in p_values) / len(p_values) <= alpha + 1e-12


def _share_of_draws(low: float, high: float, alpha: float) -> float:
    """P(p <= alpha) over the draw u, of a p-value that is linear in u, from its values at 1/4 and at 3/4."""
    at_zero, slope = low - (high - low) / 2, (high - low) * 2
    return min(1.0, max(0.0, (alpha - at_zero) / slope))


def _joint(order: Sequence[float], alphas: Sequence[float]) -> float:
    """P(all p_i <= alpha_i) over independent draws, of the online p-values of scores that come in this order."""
    low, high = Online(), Online()
    return math.prod(
        _share_of_draws(low.judge(score, "all", 0.25), high.judge(score, "all", 0.75), alpha)
        for score, alpha in zip(order, alphas, strict=True)
    )


@given(st.lists(any_score | tied_score, min_size=1, max_size=5), st.lists(level, min_size=5, max_size=5))
def test_online_smoothed_p_values_are_independent_and_uniform(bag: list[float], alphas: list[float]) -> None:
    """Over all orders of any bag of scores, ties or not, the joint probability is the product of the levels."""
    alphas = alphas[: len(bag)]
    shares = [_joint(order, alphas) for order in itertools.permutations(bag)]
    assert math.fsum(shares) / len(shares) == pytest.approx(math.prod(alphas), rel=1e-9)


def test_every_order_of_distinct_scores_has_its_own_p_values() -> None:
    """24 orders, 1 x 2 x 3 x 4 possible sequences of ranks, each taken once: the ranks are independent."""
    seen = set()
    for order in itertools.permutations([1.0, 2.0, 3.0, 4.0]):
        calibration = Online(smoothed=False)
        seen.add(tuple(round(calibration.judge(score, "all", 0.5) * n) for n, score in enumerate(order, start=1)))
    assert seen == set(itertools.product([1], [1, 2], [1, 2, 3], [1, 2, 3, 4]))


@given(st.lists(st.tuples(st.sampled_from("abc"), tied_score, draw), max_size=40))
def test_categories_are_calibrated_as_if_alone(stream: list[tuple[str, float, float]]) -> None:
    together = Online()
    alone = {name: Online() for name in "abc"}
    for category, score, u in stream:
        assert together.judge(score, category, u) == alone[category].judge(score, "only", u)


@given(st.lists(any_score | tied_score, max_size=20), st.data())
def test_the_first_ranks_are_the_strangest(candidates: list[float], data: st.DataObject) -> None:
    budget = data.draw(st.integers(0, len(candidates)))
    ranks = ordinal_rank(candidates)
    assert sorted(ranks) == list(range(1, len(candidates) + 1))
    taken = {index for index, rank in enumerate(ranks) if rank <= budget}
    kept = set(range(len(candidates))) - taken
    assert all((-candidates[t], t) < (-candidates[k], k) for t in taken for k in kept)
