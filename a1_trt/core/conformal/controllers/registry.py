"""Controllers by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from typing import Literal

from a1_trt.core.conformal.calibration import CalibrationSet
from a1_trt.core.conformal.categories import category_of
from a1_trt.core.conformal.controllers.adaptive import Adaptive, TwoLevel
from a1_trt.core.conformal.controllers.baselines import Chance, Counter, Published
from a1_trt.core.conformal.controllers.candidate import Controller
from a1_trt.core.conformal.controllers.limits import Budget, Debt
from a1_trt.core.conformal.controllers.pooled import Growing, Mondrian, Static, Window
from a1_trt.core.conformal.controllers.pools import Pools
from a1_trt.core.conformal.controllers.weighted import Exponential, PerProblem
from a1_trt.core.conformal.stores import Histogram
from a1_trt.errors import InvalidRequestError

STEP_HORIZON = 10.0  # step times horizon, at alpha = 0.4: 0.05 for 200 decisions

_DEBT_SHARE = 0.035  # Smaller ones force more decisions, and those ignore the score (docs/statistics.md).

FIRST_TURN = category_of("turn", 0, "")

CALIBRATED = ("published", "static")  # These decide by scores from before the run.

Scores = Mapping[str, Sequence[float]]  # by category


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """What a controller may be told.

    Args:
        horizon: Decisions over which the rate must hold. The steps of the adaptive controllers are 10 / horizon.
        debt: The hard debt D around "two-level" (`Debt`): over any `horizon` decisions the rate is within
            2 D / horizon of alpha, whatever the scores. 0.035 horizon when None, no such limit when 0.
        window: Length of the sliding window, decisions of a category.
        half_life: Decisions of a category after which a score counts for half.
        prior: Scores of a problem at which `per-problem` asks its own pool as often as its category's.
        smoothed: Smoothed p-values.
        store: "exact", or "histogram" for runs of very many scores.
    """

    horizon: float = 200.0
    debt: float | None = None
    window: int = 1000
    half_life: float = 500.0
    prior: float = 4.0
    smoothed: bool = True
    store: Literal["exact", "histogram"] = "exact"

    def __post_init__(self) -> None:
        for name in ("horizon", "window", "half_life"):
            if not getattr(self, name) >= 1:
                raise _wrong(name, getattr(self, name), "give at least 1")
        if not self.prior >= 0:
            raise _wrong("prior", self.prior, "give at least 0")
        if self.debt and not self.debt >= 1:
            raise _wrong("debt", self.debt, "give at least 1, so that a single decision is free; or 0 for no limit")

    @property
    def step(self) -> float:
        """Step of an adaptive term at alpha = 0.4; at most 1, which already leaves nothing to the score."""
        return min(STEP_HORIZON / self.horizon, 1.0)

    @property
    def most_debt(self) -> float:
        """D; 0 for no limit."""
        return max(1.0, _DEBT_SHARE * self.horizon) if self.debt is None else self.debt

    def pools(self) -> Pools:
        return Pools(CalibrationSet if self.store == "exact" else Histogram, smoothed=self.smoothed)


def _static(settings: ControllerSettings, scores: Scores) -> Controller:
    pools = settings.pools()
    for category, of_category in scores.items():
        for score in of_category:
            pools.add(category, score)
    return Static(pools)


def _published(_: ControllerSettings, scores: Scores) -> Controller:
    return Published(scores.get(FIRST_TURN, list(chain.from_iterable(scores.values()))))


def _two_level(settings: ControllerSettings, _: Scores) -> Controller:
    two_level: Controller = TwoLevel(settings.pools(), step=settings.step, category_step=0.4 * settings.step, clip=0.25)
    return Debt(two_level, settings.most_debt) if settings.most_debt else two_level


CONTROLLERS: Mapping[str, Callable[[ControllerSettings, Scores], Controller]] = MappingProxyType(
    {
        "two-level": _two_level,
        "growing": lambda settings, _: Growing(settings.pools()),
        "mondrian": lambda settings, _: Mondrian(settings.pools()),
        "window": lambda settings, _: Window(settings.pools(), settings.window),
        "exponential": lambda settings, _: Exponential(settings.half_life, smoothed=settings.smoothed),
        "per-problem": lambda settings, _: PerProblem(settings.pools(), settings.prior),
        "aci": lambda settings, _: Adaptive(settings.pools(), settings.step),
        "static": _static,
        "published": _published,
        "random": lambda _, __: Chance(),
        "counter": lambda _, __: Counter(),
    }
)
"""Every controller by its name; "two-level" is the default and the only one that has a hard debt around it.
`make_controller` puts each into a `Budget`, for the requests that ask for one."""


def make_controller(
    name: str = "two-level", settings: ControllerSettings | None = None, *, calibration_scores: Scores | None = None
) -> Controller:
    """A new controller.

    Args:
        name: One of `CONTROLLERS`.
        settings: What it is told.
        calibration_scores: Fixed scores by category, float64[n] each, for "static" and "published"; the latter takes
            those of the first turn, where they are told apart.

    Raises:
        CalibrationError: "published" without scores.
        InvalidRequestError: There is no such controller.

    Example:
        >>> len(make_controller("growing"))
        0
    """
    if name not in CONTROLLERS:
        remedy = f"choose from {', '.join(CONTROLLERS)}"
        raise InvalidRequestError(f"there is no controller {name!r}", field="controller", remedy=remedy)
    return Budget(CONTROLLERS[name](settings or ControllerSettings(), calibration_scores or {}))


def _wrong(name: str, value: object, remedy: str) -> InvalidRequestError:
    return InvalidRequestError(f"{name} is {value}", field=name, remedy=remedy)
