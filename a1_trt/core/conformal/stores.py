"""Stores of scores: how many of them are greater than a new one, and how many equal it.

`CalibrationSet` (calibration.py) is exact and takes some 33 bytes a score. `Histogram` takes at most 1 MB at any number
of scores, and is exact too, of a slightly coarser score.
"""

from __future__ import annotations

import struct
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from a1_trt.core.conformal.scores import check_score


class Store(Protocol):
    """Scores to rank a new one among."""

    def __len__(self) -> int: ...

    def add(self, score: float) -> None: ...

    def remove(self, score: float) -> None:
        """It must be there."""

    def count(self, score: float) -> tuple[float, float]:
        """How many scores are greater than this one, and how many equal it."""


_MANTISSA = 12
_LOWEST = -6
"""Scores below 2^-6 in size count as 0: a mean loss of 0.016 nats a token is no doubt at all."""
_HALF = 1 << 16
_BLOCK = 512
_sum = np.add.reduce


class Histogram:
    """Scores counted in universal bins: sign, 4 bits of the exponent and 12 of the mantissa.

    Putting a score into its bin is a non-decreasing function of the score, that is, just another score, with ties. The
    smoothed p-value is exactly uniform for any exchangeable scores, with ties or without, so nothing of its validity is
    lost; what is lost is the order of two scores closer than one part in 4,096. Sizes from 2^-6 to 2^10 are told apart;
    smaller ones count as 0 and larger ones as 2^10.

    Counters are floats, exact up to 2^53, so that weights may be added, too. They are kept in blocks of 512 (an eighth
    of an octave) once a score falls there, with the sum of each block: two sums of some hundred numbers make a rank.

    Example:
        >>> histogram = Histogram()
        >>> for score in (1.0, 2.0, 2.0, 4.0):
        ...     histogram.add(score)
        >>> histogram.count(2.0), len(histogram)
        ((1.0, 2.0), 4)
    """

    def __init__(self) -> None:
        self._blocks: dict[int, NDArray[np.float64]] = {}
        self._sums = np.zeros(2 * _HALF // _BLOCK)
        self._n = 0

    def __len__(self) -> int:
        return self._n

    @property
    def weight(self) -> float:
        """Sum of all weights; the number of scores unless weights were given."""
        return float(self._sums.sum())

    def add(self, score: float, weight: float = 1.0) -> None:
        self._change(bin_of(check_score(score)), weight)
        self._n += 1

    def remove(self, score: float, weight: float = 1.0) -> None:
        self._change(bin_of(check_score(score)), -weight)
        self._n -= 1

    def count(self, score: float) -> tuple[float, float]:
        """Weight of the scores in greater bins, and in the same bin."""
        block, place = divmod(bin_of(check_score(score)), _BLOCK)
        greater = _sum(self._sums[block + 1 :])
        bins = self._blocks.get(block)
        if bins is None:
            return float(greater), 0.0
        return float(greater + _sum(bins[place + 1 :])), float(bins[place])

    def scale(self, factor: float) -> None:
        for bins in self._blocks.values():
            bins *= factor
        self._sums *= factor

    def _change(self, index: int, by: float) -> None:
        block, place = divmod(index, _BLOCK)
        if block not in self._blocks:
            self._blocks[block] = np.zeros(_BLOCK)
        self._blocks[block][place] += by
        self._sums[block] += by


def bin_of(score: float) -> int:
    """The bin of a finite score, from 0 to 131,071; a greater score never has a smaller one.

    Example:
        >>> bin_of(-2.0) < bin_of(0.0) < bin_of(1.0) == bin_of(1.0001) < bin_of(1.001)
        True
    """
    bits = int.from_bytes(struct.pack(">d", abs(score)), "big")
    place = (bits >> (52 - _MANTISSA)) - ((1023 + _LOWEST) << _MANTISSA)
    place = min(max(place, 0), _HALF - 1)
    return _HALF + place if score >= 0 else _HALF - 1 - place
