r"""The reference task: straight-line programs over the integers modulo 100, worked out line by line.

A problem names a chain of variables; every variable is computed from the one before it and from a
constant or an earlier variable, so no step can be skipped::

    a = 47, b = a+8, c = b*3, d = c-a. What is d modulo 100?

Its working has one line a variable and a boxed answer::

    b = a+8 = 47+8 = 55
    c = b*3 = 55*3 = 65
    d = c-a = 65-47 = 18
    \boxed{18}

A writer may also notice that an earlier line is wrong and repair it: ``wait, b = a+8 = 47+8 = 55``,
after which the working goes on from that variable. `corrupted_working` makes training text in which
such mistakes occur; the mistaken characters are marked, so that a model learns to repair them and
never to make them.

Everything here is pure Python without dependencies, so that tests and the training script share it.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

MODULUS = 100
VARIABLES = "abcdefghijklmnopqrstuvwxyz"
LEVELS = {"easy": 4, "middle": 6, "hard": 10}
"""Level name -> number of computed variables."""

_OPERATIONS = {"+": lambda x, y: x + y, "-": lambda x, y: x - y, "*": lambda x, y: x * y}
_LINE = re.compile(r"^(?:wait, )?([a-z]) = ([a-z])([-+*])([a-z]|\d+) = (\d+)([-+*])(\d+) = (\d+)$")


@dataclass(frozen=True)
class Step:
    """One definition: ``name = left operation right``; `right` is a constant or a variable's name."""

    name: str
    left: str
    operation: str
    right: str

    def __str__(self) -> str:
        return f"{self.name} = {self.left}{self.operation}{self.right}"


@dataclass(frozen=True)
class Problem:
    """A start value for ``a`` and the steps that follow it."""

    start: int
    steps: tuple[Step, ...]

    @property
    def text(self) -> str:
        """The problem as a model reads it."""
        program = ", ".join([f"a = {self.start}", *map(str, self.steps)])
        return f"{program}. What is {self.steps[-1].name} modulo {MODULUS}?"

    @property
    def answer(self) -> str:
        """The right answer."""
        values = {"a": self.start}
        for step in self.steps:
            values[step.name] = evaluate(step, values)
        return str(values[self.steps[-1].name])

    @property
    def is_test(self) -> bool:
        """Whether the problem belongs to the test split: decided by its text alone, so the splits are disjoint."""
        return hashlib.sha256(self.text.encode()).digest()[0] < 16


def evaluate(step: Step, values: dict[str, int]) -> int:
    """The value of `step` modulo 100, given the values of earlier variables."""
    return _OPERATIONS[step.operation](values[step.left], operand(step, values)) % MODULUS


def operand(step: Step, values: dict[str, int]) -> int:
    """The number that stands for the step's right side."""
    return values[step.right] if step.right in values else int(step.right)


def line(step: Step, left: int, right: int, result: int) -> str:
    """One line of working, with whatever numbers it is given."""
    return f"{step} = {left}{step.operation}{right} = {result}\n"


def random_problem(rng: random.Random, n_steps: int) -> Problem:
    """A problem of either split."""
    steps = []
    for index in range(1, n_steps + 1):
        name, left = VARIABLES[index], VARIABLES[index - 1]
        kind = rng.random()
        if kind < 0.30:
            operation, right = "*", str(rng.randint(2, 9))
        elif kind < 0.55 and index >= 2:
            operation, right = rng.choice("+-"), VARIABLES[rng.randrange(index - 1)]
        else:
            operation, right = rng.choice("+-"), str(rng.randint(2, 60))
        steps.append(Step(name, left, operation, right))
    return Problem(rng.randrange(2, MODULUS), tuple(steps))


def problems(seed: int, n_steps: int, *, test: bool) -> Iterator[Problem]:
    """Problems without end from one split."""
    rng = random.Random(f"{seed}/{n_steps}/{test}")
    while True:
        problem = random_problem(rng, n_steps)
        if problem.is_test == test:
            yield problem


def working(problem: Problem) -> str:
    """The flawless working of a problem, with its boxed answer."""
    return "".join(text for text, _ in corrupted_working(problem, random.Random(0), 0.0))


def corrupted_working(
    problem: Problem, rng: random.Random, mistake_rate: float, *, misread: bool = False
) -> list[tuple[str, bool]]:
    """A working in which mistakes are made, carried on for some lines and then repaired.

    Args:
        problem: The problem.
        rng: Decides where and how.
        mistake_rate: Share of lines with a mistake.
        misread: Mistakes also in reading the problem, carried on for any number of lines; else only in numbers, for up
            to four.

    Returns:
        Pieces of text, each with a flag: True where the text is a mistake or follows from one, which a
        model should read and never learn to write.
    """
    values, pieces, index, slips = {"a": problem.start}, [], 0, 0
    while index < len(problem.steps):
        if rng.random() < mistake_rate and slips < 3:
            slips += 1
            carried = rng.choice((0, 0, 0, 1, 1, 2, 3, 4, *((5, 6, 7, 99) if misread else ())))
            wrong, lines = dict(values), 1 + min(carried, len(problem.steps) - index - 1)
            written = problem.steps[index]
            if misread and rng.random() < 0.6:
                written = _misread(written, problem.steps, wrong, rng)
            pieces += _mistaken_line(problem.steps[index], written, wrong, rng)
            for step in problem.steps[index + 1 : index + lines]:
                pieces.append((_correct_line(step, wrong), True))
            pieces.append(("wait, ", False))
        step = problem.steps[index]
        pieces.append((_correct_line(step, values), False))
        index += 1
    pieces.append((f"\\boxed{{{values[problem.steps[-1].name]}}}", False))
    return pieces


def _correct_line(step: Step, values: dict[str, int]) -> str:
    """Write a step's line and record its value."""
    values[step.name] = evaluate(step, values)
    return line(step, values[step.left], operand(step, values), values[step.name])


def _misread(step: Step, steps: tuple[Step, ...], values: dict[str, int], rng: random.Random) -> Step:
    """A step with another step's operation or right side, or another constant; perhaps the same by chance."""
    other = rng.choice(steps)
    kind = rng.random()
    if kind < 0.25:
        return replace(step, operation=other.operation)
    if kind < 0.6 and (other.right in values or other.right.isdigit()):
        return replace(step, operation=other.operation, right=other.right)
    if kind < 0.8 and step.right.isdigit():
        return replace(step, right=str(_slipped(int(step.right), rng)))
    return replace(step, right=rng.choice(sorted(values)))


def _mistaken_line(step: Step, written: Step, values: dict[str, int], rng: random.Random) -> list[tuple[str, bool]]:
    """Write a step's line with a mistake in it, and record the value it leads to.

    A misread step is carried out rightly; one that was read rightly gets a slip in its numbers.
    """
    true_line = line(step, values[step.left], operand(step, values), evaluate(step, values))
    left, right = values[written.left], operand(written, values)
    if written == step:
        left, right = _slipped_operands(step, left, right, values, rng)
    result = _OPERATIONS[written.operation](left, right) % MODULUS
    if written == step and result == evaluate(step, values):
        result = _slipped(result, rng)
    values[step.name] = result
    text = line(written, left, right, result)
    same = next(i for i, (x, y) in enumerate(zip(text, true_line, strict=False)) if x != y)
    return [(text[:same], False), (text[same:], True)]


def _slipped_operands(step: Step, left: int, right: int, values: dict[str, int], rng: random.Random) -> tuple[int, int]:
    slip = rng.random()
    if slip < 0.25:
        left = _slipped(left, rng)
    elif slip < 0.4 and step.right in values:
        right = _slipped(right, rng)
    return left, right


def _slipped(value: int, rng: random.Random) -> int:
    """A wrong number that is near the right one, as a hasty writer's would be."""
    near = [
        value + 10,
        value - 10,
        value + 1,
        value - 1,
        value + 2,
        value // 10 * 10 + rng.randrange(10),
        rng.randrange(MODULUS),
    ]
    wrong = rng.choice(near) % MODULUS
    return wrong if wrong != value else (value + 10) % MODULUS


def first_mistake(problem: Problem, text: str) -> int | None:
    """Where the first wrong line of a working begins, as an offset in `text`, or None.

    A line is right when it defines a variable of the problem as the problem does, with the true values on
    both sides. Repairs are judged by the same rule. An unfinished last line is not judged.
    """
    values = {"a": problem.start}
    for step in problem.steps:
        values[step.name] = evaluate(step, values)
    steps = {step.name: step for step in problem.steps}
    offset = 0
    for row in text.splitlines(keepends=True):
        if row.endswith("\n"):
            found = _LINE.match(row[:-1])
            step = steps.get(found.group(1)) if found else None
            if step is None or row.removeprefix("wait, ") != line(
                step, values[step.left], operand(step, values), values[step.name]
            ):
                return offset
        offset += len(row)
    return None
