"""Log-probs are recalled by their whole prefix, and only all together."""

from __future__ import annotations

import pytest

from a1_trt import engine
from a1_trt.engine import ScoreMemory


def test_where_the_prompt_ends_makes_no_difference():
    kept = ScoreMemory()
    kept.remember([1, 2], [3, 4, 5], [-1.0, -2.0, -3.0])
    assert kept.recall([1, 2, 3], [4, 5]) == [-2.0, -3.0]
    assert kept.recall([1, 2], [3, 4]) == [-1.0, -2.0]


@pytest.mark.parametrize(("prompt", "segment"), [([1], [3]), ([2, 1], [3]), ([1, 2], [3, 9]), ([1, 2], [3, 4, 5, 6])])
def test_another_prefix_or_an_unknown_token_is_not_recalled(prompt, segment):
    kept = ScoreMemory()
    kept.remember([1, 2], [3, 4, 5], [-1.0, -2.0, -3.0])
    assert kept.recall(prompt, segment) is None


def test_the_oldest_values_go_first(monkeypatch):
    monkeypatch.setattr(engine, "_MOST_VALUES", 3)
    kept = ScoreMemory()
    kept.remember([1], [2, 3], [-1.0, -2.0])
    kept.remember([7], [8, 9], [-3.0, -4.0])
    assert kept.recall([1], [2]) is None
    assert kept.recall([1, 2], [3]) == [-2.0]
    assert kept.recall([7], [8, 9]) == [-3.0, -4.0]


def test_a_number_of_values_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="zip"):
        ScoreMemory().remember([1], [2, 3], [-1.0])
