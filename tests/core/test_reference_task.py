"""The reference task: what the shipped pair was trained on, and that it was never shown its test problems."""

import importlib.util
import json
import random
import sys
from itertools import islice
from pathlib import Path

import pytest

from a1_trt.core.reasoning import boxed

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def task():
    spec = importlib.util.spec_from_file_location("task", ROOT / "build_scripts" / "reference" / "task.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["task"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["task"]


def some(task, test, count=200):
    return list(islice(task.problems(3, task.LEVELS["middle"], test=test), count))


def test_the_splits_share_no_problem_by_construction(task):
    train, test = some(task, test=False), some(task, test=True)
    assert not {problem.text for problem in train} & {problem.text for problem in test}
    assert all(problem.is_test for problem in test)
    assert not any(problem.is_test for problem in train)


def test_a_working_is_right_and_holds_the_answer(task):
    for problem in some(task, test=True):
        text = task.working(problem)
        assert boxed(text) == problem.answer
        assert task.first_mistake(problem, text) is None


def test_a_hand_worked_problem(task):
    steps = (task.Step("b", "a", "+", "8"), task.Step("c", "b", "*", "3"), task.Step("d", "c", "-", "a"))
    problem = task.Problem(47, steps)
    assert problem.text == "a = 47, b = a+8, c = b*3, d = c-a. What is d modulo 100?"
    assert task.working(problem) == "b = a+8 = 47+8 = 55\nc = b*3 = 55*3 = 65\nd = c-a = 65-47 = 18\n\\boxed{18}"


def test_mistakes_are_marked_found_and_repaired(task):
    rng, mistaken = random.Random(1), 0  # noqa: S311  no secret
    for problem in some(task, test=False):
        pieces = task.corrupted_working(problem, rng, 0.2)
        text = "".join(piece for piece, _ in pieces)
        first = task.first_mistake(problem, text)
        marked = any(wrong for _, wrong in pieces)
        assert (first is not None) == marked
        assert boxed(text) == problem.answer, "whatever was mistaken is repaired before the answer"
        mistaken += marked
    assert mistaken > 100


@pytest.mark.parametrize(
    ("line", "right"),
    [
        ("b = a+8 = 47+8 = 55\n", True),
        ("wait, b = a+8 = 47+8 = 55\n", True),
        ("b = a+8 = 47+8 = 56\n", False),
        ("b = a+9 = 47+9 = 56\n", False),
        ("b = a+8 = 48+8 = 56\n", False),
        ("z = a+8 = 47+8 = 55\n", False),
        ("nonsense\n", False),
        ("b = a+8 = 4", True),  # unfinished lines are not judged
    ],
)
def test_lines_are_judged(task, line, right):
    problem = task.Problem(47, (task.Step("b", "a", "+", "8"),))
    assert (task.first_mistake(problem, line) is None) is right


def test_the_shipped_problems_are_of_the_test_split(task):
    rows = [json.loads(line) for line in (ROOT / "engines" / "reference" / "problems.jsonl").read_text().splitlines()]
    for level, n_steps in task.LEVELS.items():
        known = {problem.text: problem for problem in islice(task.problems(2025, n_steps, test=True), 100)}
        mine = [row for row in rows if row["level"] == level]
        assert len(mine) == 100
        assert all(known[row["problem"]].is_test and known[row["problem"]].answer == row["answer"] for row in mine)
