"""Answers are right or wrong for mathematical reasons, in bounded time; intervals cover what they promise."""

from __future__ import annotations

import random
import threading

import pytest
from scipy import stats

from a1_trt import grading
from a1_trt.errors import ConfigError
from a1_trt.grading import is_correct, paired_difference, wilson_interval


@pytest.mark.parametrize(
    ("answer", "truth", "expected"),
    [
        ("42", "42", True),
        (" 042 ", "42", True),
        ("1,000", "1000", True),
        ("-0", "0", True),
        ("41", "42", False),
        ("-42", "42", False),
        (None, "42", False),
        ("", "42", False),
        ("nonsense", "42", False),
        (r"\frac{1}{2}", "0.5", True),
        (r"\frac{2}{4}", r"\frac12", True),
        (r"\frac{1}{3}", "0.5", False),
        (r"2\sqrt{2}", r"\sqrt{8}", True),
        ("x+1", "1+x", True),
        ("(1,2)", "(1, 2)", True),
        ("(1,2)", "(2,1)", False),
        ("84/2", "42", True),
    ],
)
def test_answers_are_compared_by_their_mathematics(answer: str | None, truth: str, expected: bool) -> None:
    assert is_correct(answer, truth) is expected


def test_integers_need_no_algebra(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bool:
        raise AssertionError("algebra was asked")

    monkeypatch.setattr(grading._WORKER, "equal", refuse)
    assert is_correct("7", "007")
    assert not is_correct("7", "8")


def test_a_comparison_that_never_ends_is_wrong_and_the_next_one_works() -> None:
    assert is_correct("1/2", "0.5")
    endless = "+".join(f"\\sqrt[{n}]{{{n}+\\sqrt{{{n}}}}}" for n in range(2, 60))
    assert not is_correct(f"({endless})^{{9}}", f"({endless})^{{8}}*({endless})", timeout_s=0.05)
    assert is_correct("1/2", "0.5")


def test_it_works_off_the_main_thread() -> None:
    verdicts: list[bool] = []
    thread = threading.Thread(target=lambda: verdicts.append(is_correct("1/2", "0.5")))
    thread.start()
    thread.join()
    assert verdicts == [True]


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grading, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="pip install math-verify") as caught:
        is_correct("1/2", "0.5")
    assert caught.value.field == "math-verify"


@pytest.mark.parametrize(("n_correct", "n"), [(0, 10), (3, 10), (10, 10), (81, 263)])
def test_wilson_agrees_with_scipy(n_correct: int, n: int) -> None:
    expected = stats.binomtest(n_correct, n).proportion_ci(method="wilson")
    assert wilson_interval(n_correct, n) == pytest.approx((expected.low, expected.high))


def test_nothing_observed_says_nothing() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert paired_difference([], []) == (0.0, -1.0, 1.0)


def test_newcombe_of_a_known_table() -> None:
    # 20, 12, 2 and 16 pairs, worked through his formula for method 10 apart from this code.
    a = [True] * 32 + [False] * 18
    b = [True] * 20 + [False] * 12 + [True] * 2 + [False] * 16
    assert paired_difference(a, b) == pytest.approx((0.2, 0.0562, 0.3292), abs=1e-4)


def test_agreement_on_every_problem_is_no_certainty() -> None:
    difference, low, high = paired_difference([True] * 20, [True] * 20)
    assert difference == 0.0
    assert low < -0.05
    assert high > 0.05


def test_the_paired_interval_covers_the_true_difference() -> None:
    rng, covered, n_runs = random.Random(0), 0, 1000  # noqa: S311 - a simulation, no secret
    for _ in range(n_runs):
        pairs = [(rng.random() < 0.85, rng.random() < 0.7) for _ in range(40)]
        _, low, high = paired_difference([a for a, _ in pairs], [b for _, b in pairs])
        covered += low <= 0.15 <= high
    assert covered >= 0.93 * n_runs


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="shorter"):
        paired_difference([True], [])
