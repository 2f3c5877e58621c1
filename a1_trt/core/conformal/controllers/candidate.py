"""What a controller is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from a1_trt.errors import InvalidRequestError

Limit = Literal["debt", "budget", "cap"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A scored segment that is to be accepted or taken over.

    Args:
        score: Nonconformity score; larger is stranger.
        category: Its category, such as a turn bucket (`a1_trt.core.conformal.category_of`).
        problem: Names its problem.
        alpha: Rejection rate that is asked for, in (0, 1).
        u: A uniform draw in (0, 1), for the smoothed p-value.
        quota: Where exactly B takeovers among the m samples of a problem's turn are wanted: how many of
            either are left, this one included, (B - used, m - seen).
        rank: Its rank among the segments that are judged together with it, from 1 for the strangest, and their number;
            more than one only under a barrier.

    Raises:
        InvalidRequestError: alpha is not in (0, 1), or the quota leaves no sample.
    """

    score: float
    category: str
    problem: str
    alpha: float
    u: float
    quota: tuple[int, int] | None = None
    rank: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        if not 0.0 < self.alpha < 1.0:
            remedy = "choose a rate in (0, 1), such as 0.4"
            raise InvalidRequestError(f"alpha is {self.alpha}", field="alpha", remedy=remedy)
        if self.quota is not None and not self.quota[1] >= 1:
            raise InvalidRequestError(f"quota is {self.quota}", field="quota", remedy="count this sample as left")


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens to it.

    Args:
        p_value: Conformal p-value, in (0, 1].
        level: The controller takes over when `p_value` <= `level`; it may lie outside [0, 1]: always, or never.
        takeover: Whether the target takes over.
        forced: The hard limit that overruled the controller, if one did.
    """

    p_value: float
    level: float
    takeover: bool
    forced: Limit | None = None


class Controller(Protocol):
    """Decides segment by segment how often the target takes over, without any barrier.

    `decide` changes nothing; `update` books what was done, and only then may the score enter a pool: a score is never
    ranked against itself. One controller serves requests of different alpha at once.
    """

    def __len__(self) -> int:
        """Scores that it ranks new ones among."""

    def sizes(self) -> dict[str, int]:
        """Scores by category, sorted by name."""

    def decide(self, candidate: Candidate) -> Decision:
        """What is to happen to a candidate; a `CalibrationError` where its score is not finite."""

    def update(self, candidate: Candidate, decision: Decision) -> None: ...
