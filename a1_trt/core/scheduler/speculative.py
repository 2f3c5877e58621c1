"""Optimistic drafting: the next segment is written while the one before it is still being verified.

A guess is the very draft call that an acceptance would ask for, with the same seed, made early. It is kept out of the
chain until the segment before it is accepted, and cancelled when that is rejected; so it changes when things happen,
never what is decided.
"""

from __future__ import annotations

from collections import deque

from a1_trt.types import Call, Completion, SampleKey


class Guesses:
    """The draft calls that were asked for ahead of their time, at most one a sample.

    Attributes:
        waiting: Those that no slot was free for yet; they start only where no other draft call waits.
    """

    def __init__(self) -> None:
        self.waiting: deque[Call] = deque()
        self._open: dict[SampleKey, Call] = {}
        self._done: dict[SampleKey, Completion] = {}
        self._dropped: set[int] = set()

    def add(self, call: Call) -> None:
        """Ask for a draft call ahead of its time."""
        self._open[call.key] = call
        self.waiting.append(call)

    def take(self, key: SampleKey) -> Call | Completion | None:
        """The guess of a sample whose segment was accepted: what came of it, or the call if that is not known yet."""
        if not self._open:
            return None
        call = self._open.pop(key, None)
        return self._done.pop(key, None) or call

    def drop(self, key: SampleKey) -> Call | Completion | None:
        """Likewise, of a sample that goes on otherwise: nobody wants the guess any more."""
        guess = self.take(key)
        if isinstance(guess, Call) and not self.unqueue(guess):
            self._dropped.add(guess.id)
        return guess

    def unqueue(self, call: Call) -> bool:
        """Take a guess that waits out of the queue; False when it has started already."""
        if call not in self.waiting:
            return False
        self.waiting.remove(call)
        return True

    def came_back(self, completion: Completion) -> bool:
        """Keep the completion of a guess for later; False when the call is no guess, or no longer one."""
        call = completion.call
        guess = self._open.get(call.key) if self._open else None
        if guess is None or guess.id != call.id:
            return False
        self._done[call.key] = completion
        return True

    def was_dropped(self, call: Call) -> bool:
        """Whether the call that came back was a guess that nobody wants; then it is forgotten."""
        if call.id not in self._dropped:
            return False
        self._dropped.remove(call.id)
        return True
