"""Least squares for residuals that come out of a simulation: smooth from afar, with small jumps close by.

Damped Gauss-Newton steps (Levenberg 1944, Marquardt 1963) with wide differences, since a simulated time jumps where two
events change places, and a compass search (Kolda, Lewis, Torczon 2003) from where they end. Nothing is random.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Residuals = Callable[[Vector], Vector]

_N_STEPS = 8
_N_POLISH = 100
_WIDTH = 0.1
_MOST_DAMPING = 1e3


def most_evaluations(n: int) -> int:
    """About how often both searches evaluate the residuals of `n` unknowns, at most."""
    return _N_STEPS * (2 * n + 2) + _N_POLISH


def descended(at: Vector, residuals: Residuals) -> Vector:
    """Damped Gauss-Newton steps.

    Args:
        at: Where to start, float64[n].
        residuals: The residuals there, float64[m].

    Example:
        >>> [round(value, 3) for value in descended(np.array([0.0, 0.0]), lambda at: at - np.array([0.3, -0.7]))]
        [0.3, -0.7]
    """
    now, damping = residuals(at), 1e-2
    for _ in range(_N_STEPS):
        moves = _WIDTH * np.eye(len(at))
        slopes = np.stack([(residuals(at + move) - residuals(at - move)) / (2 * _WIDTH) for move in moves], axis=1)
        normal, gradient = slopes.T @ slopes, slopes.T @ now
        while damping < _MOST_DAMPING:
            step = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-6), -gradient)
            ahead = at + np.clip(step, -1.0, 1.0)
            then = residuals(ahead)
            if then @ then < now @ now:
                break
            damping *= 5
        else:
            return at
        at, now, damping = ahead, then, max(damping / 10, 1e-6)
    return at


def polished(at: Vector, residuals: Residuals) -> Vector:
    """Compass search: one unknown at a time, up or down, in steps that shrink; it minds no jumps.

    Args:
        at: Where to start, float64[n].
        residuals: The residuals there, float64[m].

    Example:
        >>> bool(abs(polished(np.array([0.0]), np.ceil)[0]) < 1)
        True
    """
    now, width, n_left = residuals(at), 2 * _WIDTH, _N_POLISH
    while width > _WIDTH / 8 and n_left > 0:
        before = now @ now
        for unit in np.eye(len(at)):
            for ahead in (at + width * unit, at - width * unit):
                then = residuals(ahead)
                n_left -= 1
                if then @ then < now @ now:
                    at, now = ahead, then
                    break
        if now @ now == before:
            width /= 2
    return at
