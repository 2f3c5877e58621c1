"""AUCs against a loop over all pairs."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from a1_trt.offline.selectivity import local_area, overall_area, pairs_within

ROWS = st.lists(
    st.tuples(st.integers(0, 6), st.booleans(), st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=60
)


def pairs(rows: list[tuple[int, bool]]) -> tuple[float, int]:
    """Right pairs (a tie is half of one) and all pairs."""
    chosen = [score for score, inside in rows if inside]
    others = [score for score, inside in rows if not inside]
    right = sum((a > b) + 0.5 * (a == b) for a in chosen for b in others)
    return right, len(chosen) * len(others)


def columns(rows: list[tuple[int, bool, int, int]]) -> tuple[np.ndarray, ...]:  # type: ignore[type-arg]
    scores, chosen, problem, group = zip(*rows, strict=True)
    return np.asarray(scores, float), np.asarray(chosen), np.asarray(problem), np.asarray(group)


@given(ROWS)
def test_the_overall_area_is_the_share_of_right_pairs(rows: list[tuple[int, bool, int, int]]) -> None:
    scores, chosen, problem, _ = columns(rows)
    right, n_pairs = pairs([row[:2] for row in rows])
    found = overall_area(scores, chosen, problem).value
    assert found == (pytest.approx(right / n_pairs) if n_pairs else None)


@given(ROWS)
def test_the_local_area_weighs_each_pair_of_a_cell_the_same(rows: list[tuple[int, bool, int, int]]) -> None:
    cells = defaultdict(list)
    for score, inside, problem, group in rows:
        cells[problem, group].append((score, inside))
    counted = [pairs(cell) for cell in cells.values()]
    n_pairs = sum(n for _, n in counted)
    found = local_area(*columns(rows)).value
    assert found == (pytest.approx(sum(right for right, _ in counted) / n_pairs) if n_pairs else None)


def test_an_interval_holds_the_value_and_is_the_same_again(rng: np.random.Generator) -> None:
    problem = np.repeat(np.arange(40), 10)
    scores = rng.normal(size=400) + rng.normal(size=40)[problem]
    chosen = scores + rng.normal(size=400) > 0
    for area in (
        overall_area(scores, chosen, problem, seed=2),
        local_area(scores, chosen, problem, np.zeros(400, int), seed=2),
    ):
        assert area.low < area.value < area.high  # type: ignore[operator]
        assert area.high - area.low < 0.25  # type: ignore[operator]
    assert overall_area(scores, chosen, problem, seed=2) == overall_area(scores, chosen, problem, seed=2)


def test_the_interval_of_the_area_is_that_of_resampled_problems(rng: np.random.Generator) -> None:
    """The vectorised resampling, against problems copied by hand."""
    problem = np.repeat(np.arange(12), 6)
    scores = np.round(rng.normal(size=72) + rng.normal(size=12)[problem], 1)
    chosen = rng.random(72) < 0.4
    slow = []
    for _ in range(400):
        rows = [row for drawn in rng.integers(0, 12, size=12) for row in np.flatnonzero(problem == drawn)]
        right, n_pairs = pairs(list(zip(scores[rows].tolist(), chosen[rows].tolist(), strict=True)))
        slow.append(right / n_pairs)
    area = overall_area(scores, chosen, problem, seed=0)
    expected = np.quantile(slow, (0.025, 0.975))
    assert (area.low, area.high) == (pytest.approx(expected[0], abs=0.04), pytest.approx(expected[1], abs=0.04))


def test_one_outcome_has_no_area() -> None:
    scores, problem = np.asarray([1.0, 2.0]), np.asarray([0, 1])
    assert overall_area(scores, np.asarray([True, True]), problem, seed=0) == (None, None, None)
    assert local_area(scores, np.asarray([True, False]), problem, np.zeros(2, int), seed=0) == (None, None, None)


def test_pairs_within_cells_by_hand() -> None:
    scores = np.asarray([3.0, 1.0, 1.0, 9.0, 2.0])
    chosen = np.asarray([True, False, True, False, True])
    right, n_pairs = pairs_within(scores, chosen, np.asarray([0, 0, 0, 2, 2]))
    assert right.tolist() == [1.5, 0.0, 0.0]
    assert n_pairs.tolist() == [2.0, 0.0, 1.0]
