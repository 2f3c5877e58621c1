"""Online calibration: order, categories, frozen state, and the document it is kept in."""

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from a1_trt.conformal import SCHEMA, CalibrationSet, OnlineCalibration, budget_alpha, category_of
from a1_trt.errors import CalibrationError, InvalidRequestError


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


def test_budget_alpha() -> None:
    assert budget_alpha(4, 16) == 0.25
    assert budget_alpha(1, 2) == 0.5


@pytest.mark.parametrize(("budget", "n_samples"), [(0, 16), (16, 16), (17, 16), (-1, 4), (1.5, 4), (True, 4), (1, 1)])
def test_a_budget_out_of_range(budget: Any, n_samples: int) -> None:
    with pytest.raises(InvalidRequestError, match="budget is") as caught:
        budget_alpha(budget, n_samples)
    assert caught.value.field == "budget"


def test_a_score_is_ranked_before_it_enters() -> None:
    calibration = OnlineCalibration(smoothed=False)
    # Each is stranger than all before it, so the numerator stays 1; were it ranked among itself, it would be 2.
    assert [calibration.judge(score, "all", 0.5) for score in (1.0, 2.0, 3.0)] == [1.0, 1 / 2, 1 / 3]
    assert calibration.judge(3.0, "all", 0.5) == 2 / 4
    assert calibration.sizes() == {"all": 4}


def test_smoothed_judgements_start_cold_with_the_draw_itself() -> None:
    calibration = OnlineCalibration()
    assert calibration.judge(5.0, "all", 0.3) == 0.3
    assert calibration.judge(4.0, "all", 0.3) == pytest.approx((1 + 0.3) / 2)
    assert calibration.judge(4.0, "all", 0.5) == pytest.approx((1 + 0.5 * 2) / 3)


def test_categories_do_not_see_each_other() -> None:
    calibration = OnlineCalibration(smoothed=False)
    calibration.judge(1.0, "turn 1", 0.5)
    calibration.judge(1.0, "turn 1", 0.5)
    assert calibration.judge(9.0, "turn 2", 0.5) == 1.0
    assert calibration.judge(9.0, "turn 1", 0.5) == 1 / 3
    assert calibration.sizes() == {"turn 1": 3, "turn 2": 1}
    assert len(calibration) == 4


@pytest.mark.parametrize(("score", "u"), [(math.nan, 0.5), (math.inf, 0.5), (1.0, 0.0), (1.0, 1.0)])
def test_what_is_refused_leaves_no_trace(score: float, u: float) -> None:
    calibration = OnlineCalibration()
    with pytest.raises((CalibrationError, InvalidRequestError)):
        calibration.judge(score, "all", u)
    assert calibration.sizes() == {}


def _saved() -> dict[str, Any]:
    calibration = OnlineCalibration()
    for score, category in [(2.0, "turn 1"), (1.0, "turn 1"), (4.0, "turn 2"), (1.0, "turn 1")]:
        calibration.judge(score, category, 0.5)
    return calibration.to_document("f00d", ["p2", "p1", "p2"])


def test_a_frozen_calibration_never_changes() -> None:
    calibration = OnlineCalibration.from_document(_saved(), "f00d", online=False, smoothed=False)
    assert [calibration.judge(1.5, "turn 1", 0.5) for _ in range(3)] == [2 / 4] * 3
    assert calibration.judge(9.0, "turn 9", 0.5) == 1 / 5
    assert calibration.sizes() == {"turn 1": 3, "turn 2": 1}


@pytest.mark.parametrize("u", [0.25, 0.75])
def test_a_frozen_calibration_ranks_an_unknown_category_among_all_scores(u: float) -> None:
    calibration = OnlineCalibration.from_document(_saved(), "f00d", online=False)
    pooled = CalibrationSet.from_scores([2.0, 1.0, 4.0, 1.0])
    for score in (0.5, 1.0, 2.0, 3.0, 4.0, 5.0):
        assert calibration.judge(score, "turn 9", u) == pooled.p_value(score, u=u)


def test_an_empty_category_of_a_document_counts_as_unknown() -> None:
    document = _saved() | {"categories": {"turn 1": [1.0, 3.0], "turn 2": []}}
    calibration = OnlineCalibration.from_document(document, "f00d", online=False, smoothed=False)
    assert calibration.judge(2.0, "turn 2", 0.5) == 2 / 3


def test_an_empty_frozen_calibration_starts_cold_each_time() -> None:
    assert OnlineCalibration(online=False).judge(3.0, "all", 0.2) == 0.2
    assert OnlineCalibration(online=False, smoothed=False).judge(3.0, "all", 0.2) == 1.0


def test_the_document_is_json_and_says_what_is_in_it() -> None:
    document = _saved()
    assert document == {
        "schema": SCHEMA,
        "fingerprint": "f00d",
        "score": "perplexity",
        "problems": ["p1", "p2"],
        "categories": {"turn 1": [1.0, 1.0, 2.0], "turn 2": [4.0]},
    }
    assert json.loads(json.dumps(document)) == document


def test_a_loaded_document_goes_on_where_it_stopped_and_remembers_its_problems() -> None:
    document = json.loads(json.dumps(_saved()))
    calibration = OnlineCalibration.from_document(document, "f00d", score="perplexity")
    assert calibration.problem_ids == ("p1", "p2")
    assert calibration.to_document("f00d", []) == document
    assert calibration.judge(1.5, "turn 1", 0.5) == pytest.approx(1.5 / 4)
    assert calibration.to_document("f00d", ["p3"])["problems"] == ["p1", "p2", "p3"]
    assert document["categories"]["turn 1"] == [1.0, 1.0, 2.0]


def _with(**changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda document: document | changes


def _without(key: str) -> Callable[[dict[str, Any]], object]:
    return lambda document: {name: value for name, value in document.items() if name != key}


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        (lambda _: ["no", "table"], "document", "document is of type list"),
        (_without("schema"), "schema", "schema is missing"),
        (_without("categories"), "categories", "categories is missing"),
        (_with(schema=2), "schema", "schema 2, this version reads 1"),
        (_with(schema=True), "schema", "schema True"),
        (_with(fingerprint="beef"), "fingerprint", "fingerprint 'beef', the pair has 'f00d'"),
        (_with(score="surprise"), "score", "kind 'surprise', wanted is mean_nll or perplexity or tail_nll"),
        (_with(score=["perplexity"]), "score", "kind"),
        (_with(problems="p1"), "problems", "no list of problem ids"),
        (_with(problems=["p1", 2]), "problems", "no list of problem ids"),
        (_with(categories=[1.0]), "categories", "no table of scores"),
        (_with(categories={1: [1.0]}), "categories", "no table of scores"),
        (_with(categories={"all": 1.0}), "categories.all", "no list of scores"),
        (_with(categories={"all": [1.0, math.nan]}), "categories.all", "nan is no score"),
        (_with(categories={"all": [1.0, "2.0"]}), "categories.all", "'2.0' is no score"),
        (_with(categories={"all": [10**400]}), "categories.all", "is no score"),
        (_with(categories={"all": [None]}), "categories.all", "None is no score"),
    ],
)
def test_a_document_that_does_not_fit_is_refused(
    change: Callable[[dict[str, Any]], object], field: str, said: str
) -> None:
    with pytest.raises(CalibrationError, match=said) as caught:
        OnlineCalibration.from_document(change(_saved()), "f00d")
    assert caught.value.field == field
    assert "a1-trt calibrate run" in str(caught.value)


def test_a_document_of_another_score_is_refused() -> None:
    with pytest.raises(CalibrationError, match="kind 'perplexity', wanted is tail_nll"):
        OnlineCalibration.from_document(_saved(), "f00d", score="tail_nll")
