"""p-values against hand-worked numbers, and the evaluation of a set against scipy's tests."""

import doctest
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import special, stats

from a1_trt.core.conformal import CalibrationSet, kolmogorov, p_value_of_counts
from a1_trt.errors import CalibrationError, InvalidRequestError

SCORES = [1.0, 2.0, 2.0, 3.0, 5.0]


@pytest.mark.parametrize(
    ("score", "plain", "smoothed_at_half"),
    [
        (0.5, 6 / 6, 5.5 / 6),  # five are greater
        (1.0, 6 / 6, 5.0 / 6),  # four greater, one equal: 4 + 0.5 * 2
        (2.0, 5 / 6, 3.5 / 6),  # two greater, two equal: 2 + 0.5 * 3
        (2.5, 3 / 6, 2.5 / 6),
        (5.0, 2 / 6, 1.0 / 6),
        (9.0, 1 / 6, 0.5 / 6),
    ],
)
def test_p_values_worked_by_hand(score: float, plain: float, smoothed_at_half: float) -> None:
    calibration = CalibrationSet.from_scores(SCORES)
    assert calibration.p_value(score) == plain
    assert calibration.p_value(score, u=0.5) == pytest.approx(smoothed_at_half, rel=1e-15)


def test_an_empty_set_knows_nothing() -> None:
    assert len(CalibrationSet()) == 0
    assert CalibrationSet().p_value(7.0) == 1.0
    assert CalibrationSet().p_value(7.0, u=0.25) == 0.25


def test_a_smoothed_p_value_never_rounds_to_zero() -> None:
    assert CalibrationSet.from_scores(range(9)).p_value(99.0, u=math.ulp(0.0)) > 0.0


def test_p_value_of_counts_is_the_formula() -> None:
    assert p_value_of_counts(0, 0, 0) == 1.0
    assert p_value_of_counts(3, 1, 9) == 0.5
    assert p_value_of_counts(3, 1, 9, u=0.5) == 0.4


def test_ranking_does_not_change_the_set_and_adding_does() -> None:
    calibration = CalibrationSet.from_scores([3.0, 1.0])
    calibration.p_value(2.0)
    assert calibration.scores == (1.0, 3.0)
    calibration.add(2.0)
    assert calibration.scores == (1.0, 2.0, 3.0)
    assert calibration.count(1.0) == (2, 1)


@pytest.mark.parametrize("u", [0.0, 1.0, -0.1, 1.5, math.nan])
def test_a_draw_outside_the_open_interval_is_refused(u: float) -> None:
    with pytest.raises(InvalidRequestError, match="u is") as caught:
        CalibrationSet.from_scores(SCORES).p_value(1.0, u=u)
    assert caught.value.field == "u"


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_neither_enters_nor_is_ranked(score: float) -> None:
    calibration = CalibrationSet.from_scores(SCORES)
    for refused in (calibration.add, calibration.p_value, calibration.count):
        with pytest.raises(CalibrationError):
            refused(score)
    with pytest.raises(CalibrationError):
        CalibrationSet.from_scores([1.0, score])
    assert calibration.scores == tuple(SCORES)


def test_evaluate_counts_what_the_p_values_say_and_leaves_the_set_alone() -> None:
    calibration = CalibrationSet.from_scores([1.0, 2.0, 3.0])
    got = calibration.evaluate([0.5, 1.5, 2.5, 3.5], 0.4, [0.5] * 4)
    # Smoothed p-values 0.875, 0.625, 0.375, 0.125: two at most 0.4; the distribution is off the diagonal by 1/8.
    assert (got.n, got.n_calibration, got.rejection_rate) == (4, 3, 0.5)
    assert got.ks_statistic == pytest.approx(0.125)
    assert got.standard_error == pytest.approx(math.sqrt(0.24 * (1 / 4 + 1 / 5)))
    assert len(calibration) == 3


def test_evaluate_agrees_with_scipy() -> None:
    rng = np.random.default_rng(1)
    calibration = CalibrationSet.from_scores(rng.lognormal(size=800))
    held_out, us = rng.lognormal(size=500), rng.uniform(size=500)
    got = calibration.evaluate(held_out, 0.4, us)
    p_values = [calibration.p_value(score, u=u) for score, u in zip(held_out, us, strict=True)]
    assert got.ks_statistic == pytest.approx(stats.kstest(p_values, "uniform").statistic, rel=1e-12)
    two_sample = stats.ks_2samp(calibration.scores, held_out, method="asymp")
    assert got.ks_p_value == pytest.approx(two_sample.pvalue, abs=0.05)
    assert got.ks_p_value == pytest.approx(special.kolmogorov(math.sqrt(800 * 500 / 1300) * got.ks_statistic))


def test_evaluate_notices_a_shift() -> None:
    rng = np.random.default_rng(2)
    calibration = CalibrationSet.from_scores(rng.lognormal(size=800))
    shifted = calibration.evaluate(rng.lognormal(0.5, size=500), 0.4, rng.uniform(size=500))
    assert shifted.ks_p_value < 1e-6
    assert shifted.rejection_rate > 0.4 + 4 * shifted.standard_error


@pytest.mark.parametrize(("n_calibration", "n"), [(0, 3), (3, 0), (0, 0)])
def test_evaluate_needs_something_to_compare(n_calibration: int, n: int) -> None:
    calibration = CalibrationSet.from_scores(range(n_calibration))
    with pytest.raises(CalibrationError, match=f"{n} held-out scores .* {n_calibration} calibration") as caught:
        calibration.evaluate([1.0] * n, 0.4, [0.5] * n)
    assert caught.value.remedy


@pytest.mark.parametrize(("alpha", "n_us", "field"), [(0.0, 1, "alpha"), (1.0, 1, "alpha"), (0.4, 2, "us")])
def test_evaluate_names_the_wrong_argument(alpha: float, n_us: int, field: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        CalibrationSet.from_scores(SCORES).evaluate([1.0], alpha, [0.5] * n_us)
    assert caught.value.field == field


@pytest.mark.parametrize("x", [-1.0, 0.0, 0.05, 0.2, 0.5, 0.8, 0.999, 1.0, 1.001, 1.358, 2.0, 3.5, 6.0])
def test_kolmogorov_is_scipys(x: float) -> None:
    assert kolmogorov(x) == pytest.approx(special.kolmogorov(x), abs=1e-12)


def test_the_examples_of_the_statistics_page_run_as_printed() -> None:
    page = Path(__file__).parents[2] / "docs" / "statistics.md"
    outcome = doctest.testfile(str(page), module_relative=False)
    assert outcome.attempted > 0
    assert outcome.failed == 0
