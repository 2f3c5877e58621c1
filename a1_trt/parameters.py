"""The parameters of a request, declared once: type, default, range, choices and description of each.

Whatever names a parameter follows from here: the checks, the input tensors of the served model (`a1_trt.requests`), the
options of commands (`a1_trt.cli.options`), the keys of a pair file (`a1_trt.config`) and the tables of the
documentation, which tests compare. To add one, add its field.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from a1_trt.errors import InvalidRequestError

Strategy = Literal["a1", "target_only", "draft_only"]
Admission = Literal["async", "barrier"]
TakeoverFrom = Literal["end", "first_surprise"]
OnScoreError = Literal["takeover", "fail"]

MAX_SAMPLES = 1024

FORMER_NAMES: Mapping[str, str] = MappingProxyType({"verify_answers": "score_answers"})
FORMER_VALUES: Mapping[tuple[str, str], str] = MappingProxyType({("takeover_from", "surprise"): "first_surprise"})
"""Spellings of 0.2, which every caller may use, with a `DeprecationWarning`, until 0.4."""

_strict = partial(Field, strict=True)
Alpha = Annotated[float, _strict(gt=0, lt=1, description="Rejection rate: the share that the target takes over.")]
Temperature = Annotated[float, _strict(ge=0, le=5, description="Sampling temperature; 0 is greedy.")]
Tokens = Annotated[int, _strict(ge=1, le=32768)]


@dataclass(frozen=True, slots=True)
class Scheduling:
    """The parameters in a pair file's section [scheduler]; `Parameters` has all."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    n_samples: Annotated[int, _strict(ge=1, le=MAX_SAMPLES, description="Reasoning chains in parallel.")] = 16
    max_turns: Annotated[int, _strict(ge=1, le=1000, description="Longest chain, in turns.")] = 15
    max_chain_tokens: Annotated[
        int,
        _strict(
            ge=0, le=2**31 - 1, description="Longest chain, in tokens, whichever model writes them; 0 is no limit."
        ),
    ] = 0
    admission: Annotated[
        Admission, Field(description="How samples advance: each by itself, or turn by turn together (the baseline).")
    ] = "async"
    early_stop: Annotated[bool, _strict(description="Stop samples that cannot change the vote.")] = True
    score_answers: Annotated[
        bool,
        _strict(
            description="Also score segments with the answer; a rejected one loses its answer, and the target goes on "
            "from before it. Off in the published method."
        ),
    ] = False
    takeover_from: Annotated[
        TakeoverFrom,
        Field(
            description="Where the target goes on in a rejected segment: at its end (the published method), or before "
            "the first token that surprised it."
        ),
    ] = "end"
    optimistic: Annotated[
        bool,
        _strict(
            description="Draft on while a segment is being scored; a rejection cancels that. Changes when things are "
            "done, never what is decided."
        ),
    ] = False


@dataclass(frozen=True, slots=True)
class Parameters(Scheduling):
    """How one problem is to be solved. The defaults are the published settings (16 samples, 15 turns of 500 tokens).

    The fields say what each of them means, and `DECLARED` holds that as data.

    Example:
        >>> Parameters(alpha=1.5)
        Traceback (most recent call last):
        ...
        a1_trt.errors.InvalidRequestError: alpha is 1.5; give a number in (0, 1)
    """

    alpha: Alpha = 0.4
    exact_budget: Annotated[
        bool, _strict(description="Exactly round(alpha x samples) takeovers a turn, rather than that many on average.")
    ] = False
    on_score_error: Annotated[
        OnScoreError,
        Field(
            description="What happens to a segment that could not be scored, which never stands: the target writes it "
            "anew, or the sample fails."
        ),
    ] = "takeover"
    draft_tokens: Annotated[Tokens, Field(description="Longest draft segment, tokens.")] = 500
    target_tokens: Annotated[Tokens, Field(description="Longest continuation by the target, tokens.")] = 500
    temperature: Temperature = 0.8
    seed: Annotated[int, _strict(ge=0, le=2**63 - 1, description="Seed of all sampling.")] = 0
    strategy: Annotated[Strategy, Field(description="The method, or one model alone.")] = "a1"

    def __post_init__(self) -> None:
        for name in DECLARED:
            object.__setattr__(self, name, check(name, getattr(self, name)))


@dataclass(frozen=True, slots=True)
class Declaration:
    """One parameter as data: its type, what it may be ("a whole number from 1 to 1024"), and what it does."""

    name: str
    kind: type
    values: str
    help: str
    choices: tuple[str, ...] = ()
    largest: float = 0


def current(given: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters by their present names and values; a former spelling is taken with a `DeprecationWarning`."""
    renamed = {name: value for name, value in given.items() if name not in FORMER_NAMES}
    for old, new in FORMER_NAMES.items():
        if given.get(old) is not None:
            _warn(old, new)
            if renamed.get(new) is not None:
                raise InvalidRequestError(f"{new} is given twice", field=old, remedy=f"give {new} alone")
            renamed[new] = given[old]
    for (name, old), new in FORMER_VALUES.items():
        if renamed.get(name) == old:
            _warn(f'{name} = "{old}"', f'"{new}"')
            renamed[name] = new
    return renamed


def _warn(old: str, new: str) -> None:
    warnings.warn(f"{old} is now {new}; the old spelling goes in 0.4", DeprecationWarning, stacklevel=4)


def check(name: str, value: Any) -> Any:
    """The value of a parameter, of the right type, or an `InvalidRequestError` that says what it may be.

    Example:
        >>> check("temperature", 1)
        1.0
    """
    try:
        return _VALIDATORS[name](value)
    except ValidationError:
        raise wrong_value(name, value, DECLARED[name].values) from None


def wrong_value(name: str, value: object, wanted: str) -> InvalidRequestError:
    return InvalidRequestError(f"{name} is {shown(value)}", field=name, remedy=f"give {wanted}")


def shown(value: object) -> str:
    """A value that a caller gave, for a message: short, whatever it is.

    Example:
        >>> shown("8"), shown(10**400), shown([1, 2])
        ("'8'", 'an integer of 1329 bits', 'a list')
    """
    if isinstance(value, int) and value.bit_length() > 64:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, bool | int | float | str):
        text = repr(value)
        return text if len(text) <= 100 else f"{text[:96]}...'"
    return "missing" if value is None else f"a {type(value).__name__}"


def _declaration(name: str, schema: Mapping[str, Any]) -> Declaration:
    kind = {"integer": int, "number": float, "boolean": bool, "string": str}[schema["type"]]
    choices = tuple(schema.get("enum", ()))
    low, high = schema.get("minimum"), schema.get("maximum", 0)
    if kind is bool:
        values = "true or false"
    elif choices:
        values = f"one of {', '.join(choices)}"
    elif low is None:
        values = f"a number in ({schema['exclusiveMinimum']:g}, {schema['exclusiveMaximum']:g})"
    else:
        values = f"a {'whole ' * (kind is int)}number from {low} to {high}"
    return Declaration(name, kind, values, schema["description"], choices, high)


_HINTS = get_type_hints(Parameters, include_extras=True)
_ADAPTERS = {item.name: TypeAdapter(_HINTS[item.name]) for item in fields(Parameters)}
_VALIDATORS: Mapping[str, Callable[[Any], Any]] = {
    name: adapter.validator.validate_python for name, adapter in _ADAPTERS.items()
}
DECLARED: Mapping[str, Declaration] = MappingProxyType(
    {name: _declaration(name, adapter.json_schema()) for name, adapter in _ADAPTERS.items()}
)
"""Every parameter by its name."""
DEFAULTS = Parameters()
