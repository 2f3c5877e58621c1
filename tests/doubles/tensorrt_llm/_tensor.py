"""As much of a torch tensor as the adapters may use; anything else is an AttributeError."""

from __future__ import annotations

from typing import Any

import numpy as np


class Tensor:
    """A numpy array behind torch's names."""

    def __init__(self, array: Any) -> None:
        self._array = np.asarray(array)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._array.shape

    def float(self) -> Tensor:
        return Tensor(self._array.astype(np.float32))

    def long(self) -> Tensor:
        return Tensor(self._array.astype(np.int64))

    def new_full(self, size: tuple[int, ...], fill_value: Any) -> Tensor:
        return Tensor(np.full(size, fill_value, self._array.dtype))

    def unsqueeze(self, dim: int) -> Tensor:
        return Tensor(np.expand_dims(self._array, dim))

    def cumsum(self, dim: int) -> Tensor:
        return Tensor(np.cumsum(self._array, axis=dim))

    def gather(self, dim: int, index: Tensor) -> Tensor:
        return Tensor(np.take_along_axis(self._array, index._array, axis=dim))

    def logsumexp(self, dim: int, keepdim: bool = False) -> Tensor:
        top = self._array.max(axis=dim, keepdims=True)
        summed = np.log(np.exp(self._array - top).sum(axis=dim, keepdims=True)) + top
        return Tensor(summed if keepdim else np.squeeze(summed, axis=dim))

    def tolist(self) -> Any:
        return self._array.tolist()

    def __sub__(self, other: Any) -> Tensor:
        return Tensor(self._array - _plain(other))

    def __getitem__(self, key: Any) -> Tensor:
        return Tensor(self._array[_plain(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self._array[_plain(key)] = _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_plain(item) for item in value)
    return value._array if isinstance(value, Tensor) else value
