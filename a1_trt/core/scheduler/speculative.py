"""Optimistic drafting: the next segment is written while the one before it is still being verified.

A draft ahead is the very call that an acceptance would ask for, with the same seed, made early. It is kept out of the
chain until the segment before it is accepted, and cancelled when that is rejected; so it changes when things happen,
never what is decided.
"""

from __future__ import annotations

from dataclasses import dataclass

from a1_trt.types import Call, Completion


@dataclass(slots=True)
class DraftAhead:
    """The draft call of a sample's next turn, made ahead of its time.

    Args:
        call: The call.
        completion: What came back of it, kept until the segment before it is decided on.
    """

    call: Call
    completion: Completion | None = None
