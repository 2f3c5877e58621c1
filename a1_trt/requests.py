"""What a caller may ask for: the one place where a request is checked.

Python, command line, gRPC and HTTP all come through here, so a wrong argument gives the same error everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from a1_trt.errors import InvalidRequestError
from a1_trt.parameters import DECLARED, FORMER_NAMES, Declaration, Parameters, current, shown
from a1_trt.types import Problem

MAX_PROBLEM_CHARS = 256 * 1024
MAX_DEADLINE_S = 1e9

PAIR_ONLY = ("on_score_error",)
"""Parameters that a server takes from its pair file alone."""


def _datatype(declaration: Declaration) -> str:
    if declaration.kind is int:
        return "INT32" if declaration.largest < 2**31 else "INT64"
    return {float: "FP32", bool: "BOOL", str: "STRING"}[declaration.kind]


_SERVED = {name: _datatype(declaration) for name, declaration in DECLARED.items() if name not in PAIR_ONLY}

INPUTS: Mapping[str, str] = MappingProxyType(
    {
        "problem": "STRING",
        **_SERVED,
        "budget": "INT32",
        "stream": "BOOL",
        "return_trajectories": "BOOL",
        **{former: _SERVED[name] for former, name in FORMER_NAMES.items()},
    }
)
"""Input tensors of the served model and Triton's types of them, all of shape [1]; only the problem must be there."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a request wants its problem solved, checked.

    Args:
        parameters: All parameters, those included that the caller left to the pair.
        given: Those that the caller gave, for a server that runs a pair of its own; a budget stays a budget.
        deadline_s: Longest time, seconds.
    """

    parameters: Parameters
    given: Mapping[str, Any]
    deadline_s: float | None = None

    def changed(self, **parameters: Any) -> Options:
        """The same with other parameters."""
        return replace(self, parameters=replace(self.parameters, **parameters), given={**self.given, **parameters})


def check_problem(text: object, *, id: str = "0", answer: str | None = None) -> Problem:
    """A problem, or an error that says what is wrong with its text.

    Raises:
        InvalidRequestError: `text` is not a string, is empty, or is longer than 256 Ki characters.

    Example:
        >>> check_problem("What is 1 + 1?").text
        'What is 1 + 1?'
    """
    if not isinstance(text, str):
        raise _wrong_problem(f"of type {type(text).__name__}", "give its text as a string")
    if not text.strip():
        raise _wrong_problem("empty", "give the text of a question")
    if len(text) > MAX_PROBLEM_CHARS:
        raise _wrong_problem(f"{len(text)} characters long", f"give at most {MAX_PROBLEM_CHARS}")
    return Problem(text, id=id, answer=answer)


def check_deadline(deadline_s: Any) -> float | None:
    """A deadline in seconds, or None for none.

    Raises:
        InvalidRequestError: It is not a number above 0.

    Example:
        >>> check_deadline(30)
        30.0
    """
    if deadline_s is None:
        return None
    is_number = isinstance(deadline_s, int | float) and not isinstance(deadline_s, bool)
    if (
        not is_number or not 0 < deadline_s <= MAX_DEADLINE_S
    ):  # before it becomes a float, which may be too small for it
        raise InvalidRequestError(
            f"deadline_s is {shown(deadline_s)}", field="deadline_s", remedy="give a number of seconds above 0"
        )
    return float(deadline_s)


def make_options(defaults: Parameters, given: Mapping[str, Any], deadline_s: float | None = None) -> Options:
    """The options of a request.

    Args:
        defaults: What the pair says.
        given: What the caller says: any field of `Parameters`, or `budget`; None leaves it to the pair.
        deadline_s: Longest time, seconds.

    Raises:
        InvalidRequestError: An unknown name, a wrong type or a value out of range.
    """
    named = {name: value for name, value in current(given).items() if value is not None}
    parameters = make_parameters(defaults, **named)
    checked = {name: value if name == "budget" else getattr(parameters, name) for name, value in named.items()}
    return Options(parameters, checked, check_deadline(deadline_s))


def make_parameters(defaults: Parameters, *, budget: int | None = None, **overrides: Any) -> Parameters:
    """Parameters of a request: `defaults`, replaced by every override that is not None, checked.

    Args:
        defaults: What the pair says.
        budget: Number B of n_samples that the target may take over: alpha = B / n_samples. Excludes `alpha`.
        **overrides: Any field of `Parameters`, under its present or former name.

    Raises:
        InvalidRequestError: An unknown name, a wrong type or a value out of range.

    Example:
        >>> make_parameters(Parameters(), n_samples=8, budget=2).alpha
        0.25
    """
    given = {name: value for name, value in current(overrides).items() if value is not None}
    for name in given:
        if name not in DECLARED:
            raise InvalidRequestError(
                f"{name} is not a parameter",
                field=name,
                remedy=f"choose from {', '.join(sorted([*DECLARED, 'budget']))}",
            )
    if budget is not None and "alpha" in given:
        raise InvalidRequestError("alpha and budget are both given", field="budget", remedy="give one of the two")
    merged = replace(defaults, **given)
    return merged if budget is None else replace(merged, alpha=_alpha_of(budget, merged.n_samples))


def _alpha_of(budget: int, n_samples: int) -> float:
    if isinstance(budget, bool) or not isinstance(budget, int) or not 0 < budget < n_samples:
        raise InvalidRequestError(
            f"budget is {shown(budget)}",
            field="budget",
            remedy=f"give a whole number from 1 to n_samples - 1 = {n_samples - 1}",
        )
    return budget / n_samples


def _wrong_problem(what: str, remedy: str) -> InvalidRequestError:
    return InvalidRequestError(f"the problem is {what}", field="problem", remedy=remedy)
