"""Options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from a1_trt.errors import InvalidRequestError

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
_SIZES = (
    click.option("-n", "--samples", "n_samples", type=int, help="Reasoning chains in parallel."),
    click.option("--max-turns", type=int, help="Longest chain, in turns."),
)
_PARAMETERS = (
    click.option("--alpha", type=float, help="Rejection rate in (0, 1): the share that the target takes over."),
    click.option("--budget", type=int, help="Instead of alpha: takeovers among the samples, alpha = budget / samples."),
    click.option("--draft-tokens", type=int, help="Longest draft segment, tokens."),
    click.option("--target-tokens", type=int, help="Longest continuation by the target, tokens."),
    click.option("--temperature", type=float, help="Sampling temperature; 0 is greedy."),
    click.option("--seed", type=int, help="Seed of all sampling."),
    click.option("--early-stop/--no-early-stop", default=None, help="Stop samples that cannot change the vote."),
    click.option("--verify-answers/--no-verify-answers", default=None, help="Also score segments with the answer."),
    click.option("--optimistic/--no-optimistic", default=None, help="Draft on while a segment is being verified."),
    click.option("--exact-budget/--no-exact-budget", default=None, help="Exactly alpha x samples takeovers a turn."),
    click.option("--takeover-from", metavar="PLACE", help="Where the target goes on in a segment: end or surprise."),
)
_POLICIES = (
    click.option("--strategy", metavar="NAME", help="a1, target_only or draft_only."),
    click.option("--admission", metavar="NAME", help="async or barrier."),
)


def parameter_options(function: _F) -> _F:
    """Everything that may be said about how a problem is solved."""
    return _with(function, (*_SIZES, *_PARAMETERS, *_POLICIES))


def setting_options(function: _F) -> _F:
    """The same, for commands that choose strategy and admission themselves."""
    return _with(function, (*_SIZES, *_PARAMETERS))


def sweep_options(function: _F) -> _F:
    """The same, for commands that also take several numbers of samples and turns."""
    return _with(function, _PARAMETERS)


def _with(function: _F, options: tuple[Callable[[_F], _F], ...]) -> _F:
    for option in reversed(options):
        function = option(function)
    return function
