"""What a caller may ask for: the one place where a request is checked.

Python, command line, gRPC and HTTP all come through here, so a wrong argument gives the same error everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from a1_trt.errors import InvalidRequestError
from a1_trt.parameters import DECLARED, FORMER_NAMES, Declaration, Parameters, current, wrong_value
from a1_trt.types import Problem

MAX_PROBLEM_CHARS = 256 * 1024
_DEADLINE = TypeAdapter(Annotated[float, Field(strict=True, gt=0, le=1e9)])

PAIR_ONLY = ("on_score_error",)  # A server takes these from its pair file alone.


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
    """A problem, or an `InvalidRequestError`: its text is no string, empty or longer than 256 Ki characters, or one of
    the three holds what is not valid Unicode.

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
    for name, value in (("problem", text), ("id", id), ("answer", answer or "")):
        _check_unicode(name, value)
    return Problem(text, id=id, answer=answer)


def make_options(defaults: Parameters, given: Mapping[str, Any], deadline_s: float | None = None) -> Options:
    """The options of a request.

    Args:
        defaults: What the pair says.
        given: What the caller says: any field of `Parameters`, under its present or former name, or `budget`, the
            number of n_samples that the target may take over (alpha = budget / n_samples); None leaves it to the pair.
        deadline_s: Longest time, seconds.

    Raises:
        InvalidRequestError: An unknown name, a wrong type or a value out of range.
    """
    named = {name: value for name, value in current(given).items() if value is not None}
    budget = named.pop("budget", None)
    for name in named:
        if name not in DECLARED:
            remedy = f"choose from {', '.join(sorted([*DECLARED, 'budget']))}"
            raise InvalidRequestError(f"{name} is not a parameter", field=name, remedy=remedy)
    parameters = replace(defaults, **named)
    checked = {name: getattr(parameters, name) for name in named}
    if budget is not None:
        if "alpha" in named:
            raise InvalidRequestError("alpha and budget are both given", field="budget", remedy="give one of the two")
        parameters = replace(parameters, alpha=_alpha_of(budget, parameters.n_samples))
        checked["budget"] = budget
    if deadline_s is not None:
        deadline_s = _deadline(deadline_s)
    return Options(parameters, checked, deadline_s)


def make_parameters(defaults: Parameters, *, budget: int | None = None, **overrides: Any) -> Parameters:
    """Parameters of a request; see `make_options`.

    Example:
        >>> make_parameters(Parameters(), n_samples=8, budget=2).alpha
        0.25
    """
    return make_options(defaults, {"budget": budget, **overrides}).parameters


def _alpha_of(budget: int, n_samples: int) -> float:
    if isinstance(budget, bool) or not isinstance(budget, int) or not 0 < budget < n_samples:
        raise wrong_value("budget", budget, f"a whole number from 1 to n_samples - 1 = {n_samples - 1}")
    return budget / n_samples


def _deadline(deadline_s: float) -> float:
    try:
        return _DEADLINE.validate_python(deadline_s)
    except ValidationError:
        raise wrong_value("deadline_s", deadline_s, "a number of seconds above 0") from None


def _check_unicode(name: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        message = f"the {name} has a character that is not valid Unicode, at position {error.start}"
        raise InvalidRequestError(message, field=name, remedy="give text in UTF-8") from None


def _wrong_problem(what: str, remedy: str) -> InvalidRequestError:
    return InvalidRequestError(f"the problem is {what}", field="problem", remedy=remedy)
