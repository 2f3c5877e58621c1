import math

import pytest

from a1_trt.errors import InvalidRequestError
from a1_trt.requests import MAX_PROBLEM_CHARS, check_problem, make_parameters
from a1_trt.types import Parameters


@pytest.mark.parametrize("text", ["", "  \n", "x" * (10 * 2**20), None, b"bytes", 7])
def test_a_wrong_problem_names_the_field_and_the_remedy(text):
    with pytest.raises(InvalidRequestError) as caught:
        check_problem(text)
    assert caught.value.field == "problem"
    assert caught.value.remedy


def test_the_longest_problem_is_taken():
    assert len(check_problem("x" * MAX_PROBLEM_CHARS).text) == MAX_PROBLEM_CHARS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("alpha", 0.0),
        ("alpha", 1.0),
        ("alpha", -0.1),
        ("alpha", math.nan),
        ("alpha", "0.4"),
        ("alpha", True),
        ("n_samples", 0),
        ("n_samples", 10**6),
        ("n_samples", 2.0),
        ("n_samples", True),
        ("max_turns", 0),
        ("draft_tokens", 0),
        ("target_tokens", 10**9),
        ("temperature", -1.0),
        ("temperature", math.inf),
        ("seed", -1),
        ("early_stop", 1),
        ("strategy", "a2"),
        ("admission", "sync"),
        ("n_sampels", 4),
    ],
)
def test_a_wrong_parameter_names_the_field_and_the_remedy(name, value):
    with pytest.raises(InvalidRequestError) as caught:
        make_parameters(Parameters(), **{name: value})
    assert caught.value.field == name
    assert caught.value.remedy


@pytest.mark.parametrize("budget", [0, 8, 9, -1, 2.0, True])
def test_a_budget_out_of_range_is_refused(budget):
    with pytest.raises(InvalidRequestError) as caught:
        make_parameters(Parameters(n_samples=8), budget=budget)
    assert caught.value.field == "budget"


def test_a_budget_is_a_rate_of_the_samples_asked_for():
    assert make_parameters(Parameters(), n_samples=8, budget=3).alpha == 3 / 8
    with pytest.raises(InvalidRequestError, match="both"):
        make_parameters(Parameters(), alpha=0.5, budget=3)


def test_none_keeps_the_default_and_whole_numbers_may_stand_for_rates():
    defaults = Parameters(n_samples=5)
    assert make_parameters(defaults, n_samples=None) == defaults
    assert make_parameters(defaults, temperature=1).temperature == 1.0


def test_a_problem_is_the_same_whatever_its_spacing_and_id():
    assert check_problem("What is 1 + 1?").key == check_problem("What is  1 + 1? ", id="other").key
    assert check_problem("What is 1 + 1?").key != check_problem("What is 1 + 2?").key


@pytest.mark.parametrize("name", ["problem", "id", "answer"])
def test_text_that_is_not_valid_unicode_is_named_with_its_place(name):
    words = {"problem": "1 + 1?", "id": "0", "answer": "2", name: "1 + \ud83d"}
    with pytest.raises(InvalidRequestError, match="position 4") as caught:
        check_problem(words["problem"], id=words["id"], answer=words["answer"])
    assert caught.value.field == name
    str(caught.value).encode()
