"""Robust least squares for residuals that come out of a simulation: smooth from afar, with small jumps close by.

scipy's trust-region search with its soft-L1 (pseudo-Huber) loss. Slopes are differences over wide steps, since a
simulated time jumps where two events change places; later searches start where the one before ended and take narrower
ones. Nothing is random.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from a1_trt.errors import ConfigError

Vector = NDArray[np.float64]
Residuals = Callable[[Vector], Vector]

_SEARCHES = ((0.1, 12), (0.05, 8), (0.02, 8))
"""Width of the differences, and most steps that are tried."""
_ROBUST = 0.1
"""Residuals above this, a tenth, count linearly."""


def most_evaluations(n: int) -> int:
    """How often `minimum` evaluates the residuals of `n` unknowns, at most."""
    return sum(n_steps * (1 + 2 * n) for _, n_steps in _SEARCHES)


def minimum(start: Vector, residuals: Residuals) -> tuple[float, Vector]:
    """Where the loss of the residuals (float64[n] -> float64[m]) is least: the loss and the place, float64[n].

    Example:
        >>> loss, at = minimum(np.array([0.0, 0.0]), lambda at: at - np.array([0.3, -0.7]))
        >>> [round(float(value), 3) for value in at]
        [0.3, -0.7]
    """
    try:
        from scipy.optimize import least_squares
    except ImportError:
        message = "scipy, which fits the constants, is not installed"
        raise ConfigError(message, field="fit", remedy="pip install 'a1_trt[simulate]'") from None
    loss = float("inf")
    for width, n_steps in _SEARCHES:
        result = least_squares(
            residuals, start, _slopes(residuals, width), loss="soft_l1", f_scale=_ROBUST, max_nfev=n_steps
        )
        loss, start = 2 * float(result.cost), result.x
    return loss, start


def _slopes(residuals: Residuals, width: float) -> Residuals:
    """Central differences, float64[m, n]."""

    def slopes(at: Vector) -> Vector:
        moves = width * np.eye(len(at))
        return np.stack([(residuals(at + move) - residuals(at - move)) / (2 * width) for move in moves], axis=1)

    return slopes
