"""A dict bounded by eviction of the key that was set longest ago."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

MAX_ALPHAS = 64  # rates that terms of their own are kept for
MAX_CATEGORIES = 4096  # or problems, that scores are kept for

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class LRU(OrderedDict[_Key, _Value]):
    """A dict of at most `max_keys` keys; one more evicts the key that was set longest ago.

    Example:
        >>> kept = LRU(2)
        >>> for name in "abac":
        ...     kept[name] = name.upper()
        >>> list(kept.items())
        [('a', 'A'), ('c', 'C')]
    """

    def __init__(self, max_keys: int) -> None:
        super().__init__()
        self._max_keys = max_keys

    def __setitem__(self, key: _Key, value: _Value) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > self._max_keys:
            self.popitem(last=False)
