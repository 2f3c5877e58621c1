"""Memory that stays bounded: whatever callers ask for, only what was used lately is kept."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

MOST_ALPHAS = 64
"""Rates that terms of their own are kept for."""

MOST_CATEGORIES = 4096
"""Categories, or problems, that scores are kept for."""

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Recent(OrderedDict[_Key, _Value]):
    """A dictionary that forgets the key which was set longest ago when there would be too many.

    Args:
        most: Most keys.

    Example:
        >>> kept = Recent(2)
        >>> for name in "abac":
        ...     kept[name] = name.upper()
        >>> list(kept.items())
        [('a', 'A'), ('c', 'C')]
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def __setitem__(self, key: _Key, value: _Value) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > self._most:
            self.popitem(last=False)
