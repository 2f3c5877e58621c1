"""Log-probs that were computed before, by the tokens up to and including the one they belong to."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

_MOST_VALUES = 1 << 17


class ScoreMemory:
    """Remembers log-probs of tokens after whole prefixes, the latest 131,072 of them (about 30 MB).

    Where a prefix was cut into prompt and segment makes no difference. Keys are 128-bit digests of all tokens.

    Example:
        >>> memory = ScoreMemory()
        >>> memory.remember([1, 2], [3, 4], [-0.5, -0.25])
        >>> memory.recall([1, 2, 3], [4])
        [-0.25]
        >>> memory.recall([1, 2], [4]) is None
        True
    """

    def __init__(self) -> None:
        self._values: OrderedDict[bytes, float] = OrderedDict()

    def remember(self, prompt: Sequence[int], segment: Sequence[int], values: Sequence[float]) -> None:
        """Keep the log-probs of `segment` after `prompt`, float64[n_segment]."""
        for key, value in zip(_keys(prompt, segment), values, strict=True):
            self._values[key] = value
            self._values.move_to_end(key)
        while len(self._values) > _MOST_VALUES:
            self._values.popitem(last=False)

    def recall(self, prompt: Sequence[int], segment: Sequence[int]) -> list[float] | None:
        """The log-probs of `segment` after `prompt` if all of them are known, float64[n_segment]."""
        values = [self._values.get(key) for key in _keys(prompt, segment)]
        known = [value for value in values if value is not None]
        return known if len(known) == len(values) else None


def _keys(prompt: Sequence[int], segment: Sequence[int]) -> list[bytes]:
    digest = hashlib.blake2b(np.asarray(prompt, np.int64).tobytes(), digest_size=16)
    keys = []
    for token in segment:
        digest.update(int(token).to_bytes(8, "little"))
        keys.append(digest.copy().digest())
    return keys
