import pytest

from a1_trt.core.reasoning import boxed, count_votes, is_settled, normalise, take_back
from a1_trt.core.reasoning.prompts import render


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{42}", "42"),
        (r"\boxed {42}", "42"),
        (r"so \boxed{\frac{1}{2}} is it", r"\frac{1}{2}"),
        (r"\boxed{1} no, \boxed{ 2 }", "2"),
        (r"\boxed{1} no, \boxed{2", None),
        (r"\boxed{\{1, 2\}", None),
        (r"\boxed{}", ""),
        ("boxed{3}", None),
        ("", None),
    ],
)
def test_boxed(text, answer):
    assert boxed(text) == answer


def test_taking_an_answer_back_leaves_what_was_written_before_it():
    assert take_back(r"a \boxed{1} b \boxed{2} c") == r"a \boxed{1} b "
    assert take_back(r"a \boxed{2") == "a "
    assert take_back("nothing") == "nothing"


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("007", "7", True),
        ("-0", "0", True),
        ("27.0", "27", True),
        ("1,000", "1000", True),
        ("(1,2)", "(1, 2)", True),
        (r"\dfrac12", r"\frac12", True),
        ("$x+1$", "x + 1", True),
        ("-7", "7", False),
        ("27.5", "27", False),
        ("1,00", "100", False),
    ],
)
def test_votes_are_grouped_by_normalised_answers(left, right, same):
    assert (normalise(left) == normalise(right)) is same


def test_equal_votes_go_to_the_earlier_sample():
    assert count_votes([None, "5", "3", "3", "5", "9"]) == (("5", 2), ("3", 2), ("9", 1))
    assert count_votes([None, None]) == ()


@pytest.mark.parametrize(
    ("votes", "n_open", "settled"),
    [
        ((), 0, False),
        ((("a", 1),), 1, False),  # the open sample could make it a tie that an earlier sample decides
        ((("a", 2),), 1, True),
        ((("a", 3), ("b", 2)), 0, True),
        ((("a", 3), ("b", 2)), 1, False),
        ((("a", 2), ("b", 2)), 0, False),
    ],
)
def test_a_vote_is_settled_only_when_no_open_sample_can_change_it(votes, n_open, settled):
    assert is_settled(votes, n_open) is settled


def test_prompt_templates_keep_other_braces():
    assert render(r"{problem}: put it in \boxed{}", "1+1") == r"1+1: put it in \boxed{}"
