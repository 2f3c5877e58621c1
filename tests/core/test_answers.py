from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (
            r"\boxed{f(x)=\left\{\begin{array}{l}1\\2\end{array}\right.} or",
            r"f(x)=\left\{\begin{array}{l}1\\2\end{array}\right.",
        ),
        (r"\boxed{\left\{1,2\right.} done", r"\left\{1,2\right."),
        (r"\boxed{[0,1\}}", r"[0,1\}"),
        (r"\boxed{1 \\{2}}", r"1 \\{2}"),
        (r"\boxed{}", None),
        (r"\boxed{ \, }", None),
        (r"\boxed{$ $}", None),
        (r"\boxed{\text{}}", None),
        (r"\boxed{5} \boxed{}", "5"),
        (r"\boxed{5} \boxed{} \boxed{", None),
        (r"\boxed{} \boxed{5}", "5"),
        (r"\boxed{0}", "0"),
        ("boxed{3}", None),
        ("", None),
    ],
)
def test_boxed(text, answer):
    assert boxed(text) == answer


def test_taking_an_answer_back_leaves_what_was_written_before_it():
    assert take_back(r"a \boxed{1} b \boxed{2} c") == r"a \boxed{1} b "
    assert take_back(r"a \boxed{1} b \boxed{}") == "a "
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
        ("1, 234", "1234", False),
        ("1, 234", "1,234", False),
        ("1,\n234", "1234", False),
        (r"1,\,234", "1234", False),
        ("100, 200", "100200", False),
        ("100, 200, 300", "100200300", False),
        ("1,234, 567", "1, 234, 567", False),
        ("1,234, 567", "1234, 567", True),
        ("(0,100)", "(0, 100)", True),
        (r"1,\!000", "1000", True),
        ("1{,}000", "1000", True),
        (r"1\,000", "1000", True),
        ("1 1/2", "11/2", False),
        ("1 1/2", r"1\frac12", True),
        ("1½", "1 1/2", True),
        ("3 1/4", "31/4", False),
        ("2 3", "23", False),
        ("3 4 5", "345", False),
        (r"1\ 2", "12", False),
        ("1 .5", "1.5", False),
        (r"\pi x", r"\pi  x", True),
        (r"3 \pm 2", r"3\pm2", True),
        ("5²", "52", False),
        ("1e5", "1 e 5", False),
        ("0.333...", "0.333", False),
        ("3–5", "3-5", False),
        (r"\left(1,2\right]", "(1,2]", True),
        (r"\leftarrow", "arrow", False),
        (r"1 \\ 2", r"1 \ 2", False),
        ("–5", "-5", True),
        ("−5", "-5", True),
        ("４２", "42", True),
        ("٤٢", "42", True),
        ("5\u200b", "5", True),
        ("\ufeff5", "5", True),
        ("**5**", "5", True),
        (r"\[5\]", "5", True),
        ("=42", "42", True),
        ("42;", "42", True),
        ("€42", "42", True),
        ("x²", "x^{2}", True),
        ("√2", r"\sqrt{2}", True),
        ("90°", r"90^{\circ}", True),
        ("∞", r"\infty", True),
        ("", "0", False),
    ],
)
def test_votes_are_grouped_by_normalised_answers(left, right, same):
    assert (normalise(left) == normalise(right)) is same


def test_equal_votes_go_to_the_earlier_sample():
    assert count_votes([None, "5", "3", "3", "5", "9"]) == (("5", 2), ("3", 2), ("9", 1))
    assert count_votes([None, None]) == ()


def test_an_empty_answer_is_no_vote():
    assert count_votes(["", "1", r"\,", "$", "1", None]) == (("1", 2),)
    assert count_votes(["", " "]) == ()


def _mixed(whole, numerator, denominator, form):
    text = form.format(whole=whole, numerator=numerator, denominator=denominator)
    return (whole + Fraction(numerator, denominator),), text


_NATURAL = st.integers(0, 3_000_000)
_DIGITS = st.sampled_from(["0123456789", "０１２３４５６７８９", "٠١٢٣٤٥٦٧٨٩"])
_VULGAR = st.sampled_from([("½", 1, 2), ("¼", 1, 4), ("⅔", 2, 3)])
_WRITTEN = st.one_of(  # what a text says, as numbers, and the text
    st.builds(lambda n, zeros: ((Fraction(n),), "0" * zeros + str(n)), _NATURAL, st.integers(0, 2)),
    st.builds(
        lambda n, comma: ((Fraction(n),), f"{n:,}".replace(",", comma)), _NATURAL, st.sampled_from([",", "{,}", r",\!"])
    ),
    st.builds(
        lambda n, digits: ((Fraction(n),), str(n).translate(str.maketrans("0123456789", digits))), _NATURAL, _DIGITS
    ),
    st.builds(lambda n, d: ((Fraction(f"{n}.{d}"),), f"{n}.{d}"), st.integers(0, 30), st.integers(0, 30)),
    st.builds(
        _mixed,
        st.integers(1, 30),
        st.integers(1, 30),
        st.integers(1, 30),
        st.sampled_from(["{whole} {numerator}/{denominator}", r"{whole}\ \frac{{{numerator}}}{{{denominator}}}"]),
    ),
    st.builds(lambda n, v: ((n + Fraction(v[1], v[2]),), f"{n}{v[0]}"), st.integers(1, 30), _VULGAR),
    st.builds(lambda n, d: ((Fraction(n, d),), f"{n}/{d}"), st.integers(0, 300), st.integers(1, 300)),
    st.builds(lambda n, e: ((Fraction(n**e),), f"{n}^{e}"), st.integers(1, 30), st.integers(1, 3)),
    st.builds(lambda n: ((Fraction(n**2),), f"{n}²"), st.integers(1, 30)),
    st.builds(lambda n, e: ((Fraction(n * 10**e),), f"{n}e{e}"), st.integers(1, 30), st.integers(0, 5)),
    st.builds(
        lambda numbers, gap: (tuple(map(Fraction, numbers)), gap.join(map(str, numbers))),
        st.lists(st.integers(0, 300), min_size=2, max_size=3),
        st.sampled_from([", ", r",\ ", " ", r"\ ", r" ,\,", "~", "\u00a0"]),
    ),
)


@given(_WRITTEN, _WRITTEN)
def test_answers_that_differ_as_numbers_never_vote_together(left, right):
    if left[0] != right[0]:
        assert normalise(left[1]) != normalise(right[1])


@given(st.one_of(_WRITTEN.map(lambda written: written[1]), st.text("12 ,.;$=*e/{}\\!²½–xт٣\u200b()[]", max_size=12)))
def test_a_vote_is_counted_as_it_was_when_it_is_counted_again(text):
    assert normalise(normalise(text)) == normalise(text)


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
