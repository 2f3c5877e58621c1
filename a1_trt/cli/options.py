"""Options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from a1_trt.errors import InvalidRequestError
from a1_trt.parameters import DECLARED
from a1_trt.requests import PAIR_ONLY

if TYPE_CHECKING:
    from a1_trt.build.hardware import GpuSpec

_N = TypeVar("_N", int, float)
_F = TypeVar("_F", bound=Callable[..., Any])

pair_option = click.option("-p", "--pair", default="reference", metavar="PAIR", help="Name or file of a pair.")


def joined(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Several options as one decorator; the help has them in this order."""
    return lambda function: functools.reduce(lambda decorated, option: option(decorated), reversed(options), function)


def choice_option(*names: str, of: Sequence[str], help: str) -> Callable[[_F], _F]:
    """An option whose values are known; the first is the default."""
    return click.option(*names, type=click.Choice(of), default=of[0], help=help)


def gpu_option(more: str = "those of this machine when not given") -> Callable[[_F], _F]:
    return click.option("--gpu", metavar="NAME[xN]", help=f"GPUs, such as h100-80g or h100-80gx2; {more}.")


def gpu_spec(name: str | None) -> GpuSpec:
    """The GPUs of `--gpu`, or those of this machine."""
    from a1_trt.build.hardware import GpuSpec

    return GpuSpec.parse(name) if name else GpuSpec.detect()


def listed(names: str) -> tuple[str, ...]:
    """The words of an option that takes several, by commas."""
    return tuple(name.strip() for name in names.split(",") if name.strip())


def numbers(text: str | None, field: str, kind: Callable[[str], _N], example: str) -> tuple[_N, ...]:
    """The numbers of an option that takes several, by commas; none where it is not given."""
    try:
        return tuple(kind(word) for word in text.split(",")) if text is not None else ()
    except ValueError:
        remedy = f"give numbers, such as {example}"
        raise InvalidRequestError(f"{field} is {text!r}", field=field, remedy=remedy) from None


# Ranges and choices are checked where Python, gRPC and HTTP callers are checked too, so that they say the same.
_FLAGS = {"n_samples": ("-n", "--samples")}
_SIZES = ("n_samples", "max_turns")
_POLICIES = ("strategy", "admission")
_SETTINGS = tuple(name for name in DECLARED if name not in {*_SIZES, *_POLICIES, *PAIR_ONLY})
_BUDGET = click.option(
    "--budget", type=int, help="Instead of alpha: takeovers among the samples, alpha = budget / samples."
)


def parameter_options(function: _F) -> _F:
    """Everything that may be said about how a problem is solved."""
    return _with(function, (*_SIZES, *_SETTINGS, *_POLICIES))


def setting_options(function: _F) -> _F:
    """The same, for commands that choose strategy and admission themselves."""
    return _with(function, (*_SIZES, *_SETTINGS))


def sweep_options(function: _F) -> _F:
    """The same, for commands that also take several numbers of samples and turns."""
    return _with(function, _SETTINGS)


def parameter_option(name: str) -> Callable[[_F], _F]:
    """The option of one parameter."""
    declared, dashed = DECLARED[name], name.replace("_", "-")
    if declared.kind is bool:
        return click.option(f"--{dashed}/--no-{dashed}", default=None, help=declared.help)
    flags = _FLAGS.get(name, (f"--{dashed}",))
    values = declared.values[0].upper() + declared.values[1:]
    return click.option(*flags, name, type=declared.kind, help=f"{declared.help} {values}.")


def _with(function: _F, names: tuple[str, ...]) -> _F:
    for name in reversed(names):
        if name == "alpha":
            function = _BUDGET(function)
        function = parameter_option(name)(function)
    return function
