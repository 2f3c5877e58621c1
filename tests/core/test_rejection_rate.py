"""The theorem in numbers: the rejection rate is alpha for exchangeable scores, and is seen not to be for others.

Every test runs in a short form by default and, marked long, with a hundred times as many scores. Seeds are fixed and
bounds are wide (about one false alarm in ten thousand seeds), so a failure is a fault.
"""

import math

import numpy as np
import pytest
from scipy import stats

from a1_trt.core.conformal import CalibrationSet, category_of
from tests.judging import Online

UNLIKELY = 1e-4
LAWS = {
    "lognormal": lambda rng, n: rng.lognormal(0.4, 0.5, n),
    "heavy-tailed": lambda rng, n: rng.standard_cauchy(n),
    "tied": lambda rng, n: np.round(rng.lognormal(0.4, 0.5, n), 1),
    "constant": lambda _, n: np.full(n, 1.0),
}


@pytest.fixture(params=[pytest.param(40, id="short"), pytest.param(4_000, id="long", marks=pytest.mark.long)])
def n_streams(request: pytest.FixtureRequest) -> int:
    """How many independent streams of 64 scores are judged."""
    return int(request.param)


def _judge(scores: np.ndarray, rng: np.random.Generator, *, smoothed: bool = True) -> np.ndarray:
    """Online p-values of each row of scores, float64[n_streams, n]; every row starts cold."""
    us = rng.uniform(size=scores.shape)
    rows = []
    for row, draws in zip(scores, us, strict=True):
        calibration = Online(smoothed=smoothed)
        rows.append([calibration.judge(score, "all", u) for score, u in zip(row, draws, strict=True)])
    return np.array(rows)


@pytest.mark.parametrize("law", LAWS)
def test_the_rejection_rate_is_alpha(law: str, n_streams: int) -> None:
    rng = np.random.default_rng(11)
    p_values = _judge(LAWS[law](rng, (n_streams, 64)), rng)
    for alpha in (0.05, 0.25, 0.4, 0.9):
        rejected = int((p_values <= alpha).sum())
        assert stats.binomtest(rejected, p_values.size, alpha).pvalue > UNLIKELY, alpha
    assert stats.kstest(p_values.ravel(), "uniform").pvalue > UNLIKELY


@pytest.mark.parametrize("law", LAWS)
def test_decisions_are_independent_so_counts_of_a_stream_are_binomial(law: str, n_streams: int) -> None:
    rng = np.random.default_rng(12)
    p_values = _judge(LAWS[law](rng, (n_streams, 64)), rng)
    counts = (p_values <= 0.4).sum(axis=1)
    dispersion = float(((counts - 64 * 0.4) ** 2).sum() / (64 * 0.4 * 0.6))
    assert UNLIKELY < stats.chi2.sf(dispersion, n_streams) < 1 - UNLIKELY
    neighbours = np.corrcoef(p_values[:, :-1].ravel(), p_values[:, 1:].ravel())[0, 1]
    assert abs(neighbours) < 4 / math.sqrt(n_streams * 63)


def test_a_cold_start_rejects_at_alpha_too(n_streams: int) -> None:
    rng = np.random.default_rng(13)
    p_values = _judge(rng.lognormal(size=(n_streams, 64)), rng)
    for place in range(4):
        rejected = int((p_values[:, place] <= 0.4).sum())
        assert stats.binomtest(rejected, n_streams, 0.4).pvalue > UNLIKELY, place


@pytest.mark.parametrize("law", LAWS)
def test_plain_p_values_reject_at_most_alpha(law: str, n_streams: int) -> None:
    rng = np.random.default_rng(14)
    p_values = _judge(LAWS[law](rng, (n_streams, 64)), rng, smoothed=False)
    rejected = int((p_values <= 0.4).sum())
    assert stats.binomtest(rejected, p_values.size, 0.4, alternative="greater").pvalue > UNLIKELY
    assert law != "constant" or rejected == 0


def _turns(rng: np.random.Generator, n_streams: int) -> tuple[np.ndarray, np.ndarray]:
    """Turns 0..9 at random, and scores that grow with the turn, each of shape [n_streams * 64]."""
    turns = rng.integers(0, 10, n_streams * 64)
    return turns, rng.lognormal(0.2 * np.minimum(turns, 6), 0.5)


@pytest.mark.parametrize("kind", ["turn", "none"])
def test_categories_hold_the_rate_in_each_turn_and_one_set_for_all_does_not(kind: str, n_streams: int) -> None:
    rng = np.random.default_rng(15)
    turns, scores = _turns(rng, n_streams)
    calibration = Online()
    outcomes: dict[str, list[bool]] = {}
    for turn, score, u in zip(turns.tolist(), scores, rng.uniform(size=len(turns)), strict=True):
        p_value = calibration.judge(score, category_of(kind, turn, "p"), u)
        # Within "turn 4-6" the law still changes with the turn; it stays exchangeable since turns come at random.
        outcomes.setdefault(category_of("turn", turn, "p"), []).append(p_value <= 0.4)
    held = {name: stats.binomtest(sum(seen), len(seen), 0.4).pvalue > UNLIKELY for name, seen in outcomes.items()}
    assert len(held) == 5
    if kind == "turn":
        assert all(held.values()), held
    else:
        assert not held["turn 1"]
        assert not held["turn 7+"]


def test_a_drift_is_not_hidden(n_streams: int) -> None:
    """Without exchangeability nothing is promised: scores that grow are rejected far more often than alpha."""
    rng = np.random.default_rng(16)
    drifting = rng.lognormal(size=(n_streams, 64)) + np.linspace(0.0, 2.0, 64)
    p_values = _judge(drifting, rng)
    assert (p_values <= 0.4).mean() > 0.5
    assert stats.kstest(p_values.ravel(), "uniform").pvalue < UNLIKELY


def test_an_evaluation_is_as_uncertain_as_it_says(n_streams: int) -> None:
    """Its standard error and its test count the luck of the calibration set, which a plain binomial band forgets."""
    rng = np.random.default_rng(17)
    seen = []
    for _ in range(n_streams):
        calibration = CalibrationSet.from_scores(rng.lognormal(size=100))
        seen.append(calibration.evaluate(rng.lognormal(size=200), 0.4, rng.uniform(size=200)))
    z_values = np.array([(one.rejection_rate - 0.4) / one.standard_error for one in seen])
    assert UNLIKELY < stats.chi2.sf(float((z_values**2).sum()), n_streams) < 1 - UNLIKELY
    alarms = sum(one.ks_p_value < 0.05 for one in seen)
    assert stats.binomtest(alarms, n_streams, 0.05, alternative="greater").pvalue > UNLIKELY
