"""Calibration while inference goes on: which past scores a new one is ranked among, and when it joins them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Self

from a1_trt.conformal.calibration import CalibrationSet, p_value_of_counts
from a1_trt.conformal.scores import SCORES
from a1_trt.errors import CalibrationError, InvalidRequestError

Category = Literal["none", "turn", "problem"]

SCHEMA = 1
"""Version of the document that `OnlineCalibration.to_document` writes."""

_AGAIN = "calibrate again with 'a1-trt calibrate run'"


def category_of(kind: Category, turn: int, problem_id: str) -> str:
    """The category a score belongs to: it is ranked among earlier scores of that category only.

    Args:
        kind: "none" (one category for all scores), "turn" (buckets 1, 2, 3, 4-6 and 7+, counted from 1 as people do) or
            "problem".
        turn: Turn of the sample, from 0.
        problem_id: Name of the problem.

    Raises:
        InvalidRequestError: Another kind, or a turn below 0.

    Example:
        >>> [category_of("turn", turn, "p7") for turn in (0, 3, 9)]
        ['turn 1', 'turn 4-6', 'turn 7+']
        >>> category_of("none", 0, "p7"), category_of("problem", 0, "p7")
        ('all', 'problem p7')
    """
    if kind == "none":
        return "all"
    if kind == "problem":
        return f"problem {problem_id}"
    if kind != "turn":
        raise InvalidRequestError(f"category is {kind!r}", field="category", remedy="choose none, turn or problem")
    if turn < 0:
        raise InvalidRequestError(f"turn is {turn}", field="turn", remedy="count turns from 0")
    if turn < 3:
        return f"turn {turn + 1}"
    return "turn 4-6" if turn < 6 else "turn 7+"


def budget_alpha(budget: int, n_samples: int) -> float:
    """The rejection rate alpha = B / m at which B of m samples are taken over on average.

    Args:
        budget: B, from 1 to n_samples - 1.
        n_samples: m, at least 2.

    Raises:
        InvalidRequestError: One of them is out of range.

    Example:
        >>> budget_alpha(4, 16)
        0.25
    """
    whole = isinstance(budget, int) and not isinstance(budget, bool)
    if not whole or not 0 < budget < n_samples:
        raise InvalidRequestError(
            f"budget is {budget!r} of {n_samples} samples",
            field="budget",
            remedy="give a whole number of at least 1 and less than n_samples",
        )
    return budget / n_samples


class OnlineCalibration:
    """One calibration set per category, filled by the scores it judges.

    A score is ranked first and enters afterwards, so it is never compared with itself, and a takeover never waits for a
    score that is still being computed.

    Args:
        online: Scores enter. When False the sets stay as they are, and a score whose category has none is ranked among
            the scores of all categories pooled.
        smoothed: Smoothed p-values, which break ties by chance: exactly uniform under exchangeability from the first
            score on. Plain ones are never too small, and 1.0 as long as there is nothing to compare with.

    Example:
        >>> calibration = OnlineCalibration()
        >>> calibration.judge(1.5, "turn 1", u=0.3)
        0.3
        >>> calibration.judge(9.0, "turn 1", u=0.3)
        0.15
        >>> calibration.sizes()
        {'turn 1': 2}
    """

    def __init__(self, *, online: bool = True, smoothed: bool = True) -> None:
        self.online = online
        self.smoothed = smoothed
        self._sets: dict[str, CalibrationSet] = {}
        self._problem_ids: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return sum(len(calibration) for calibration in self._sets.values())

    @property
    def problem_ids(self) -> tuple[str, ...]:
        """Problems that a loaded document was made from, sorted: they must not be used to measure anything."""
        return tuple(sorted(self._problem_ids))

    def sizes(self) -> dict[str, int]:
        """Number of scores by category, sorted by name.

        Example:
            >>> OnlineCalibration().sizes()
            {}
        """
        return {name: len(self._sets[name]) for name in sorted(self._sets)}

    def judge(self, score: float, category: str, u: float) -> float:
        """The p-value of a score among the earlier ones of its category; then, when online, the score joins them.

        Args:
            score: Nonconformity score.
            category: From `category_of`.
            u: A uniform draw in (0, 1); unused when not smoothed.

        Returns:
            The p-value, in (0, 1]. With nothing to compare with it is u when smoothed, else 1.0.

        Raises:
            CalibrationError: The score is not finite; it does not enter.
            InvalidRequestError: u is not in (0, 1); the score does not enter.
        """
        draw = u if self.smoothed else None
        calibration = self._sets.get(category)
        if self.online:
            calibration = calibration or CalibrationSet()
            p = calibration.p_value(score, u=draw)
            calibration.add(score)
            self._sets[category] = calibration
            return p
        if calibration:
            return calibration.p_value(score, u=draw)
        return self._pooled_p_value(score, draw)

    def _pooled_p_value(self, score: float, u: float | None) -> float:
        """The p-value among all categories: ranks add up, so the pool needs no store of its own."""
        counts = [calibration.count(score) for calibration in (*self._sets.values(), CalibrationSet())]
        return p_value_of_counts(sum(c[0] for c in counts), sum(c[1] for c in counts), len(self), u=u)

    def to_document(self, fingerprint: str, problem_ids: Iterable[str], *, score: str = "perplexity") -> dict[str, Any]:
        """The state as a JSON-ready document.

        Args:
            fingerprint: `Pair.fingerprint` of the pair the scores belong to.
            problem_ids: Problems the scores were made from; those of a loaded document are kept too.
            score: Name of the score, from `SCORES`.

        Example:
            >>> OnlineCalibration().to_document("f00d", ["p1"])["problems"]
            ['p1']
        """
        return {
            "schema": SCHEMA,
            "fingerprint": fingerprint,
            "score": score,
            "problems": sorted(self._problem_ids.union(problem_ids)),
            "categories": {name: list(self._sets[name].scores) for name in sorted(self._sets)},
        }

    @classmethod
    def from_document(
        cls,
        document: object,
        fingerprint: str,
        *,
        score: str | None = None,
        online: bool = True,
        smoothed: bool = True,
    ) -> Self:
        """The state that `to_document` wrote, checked from end to end.

        Args:
            document: The parsed document.
            fingerprint: `Pair.fingerprint` of the pair that is to use it.
            score: Name of the score that the pair uses; None takes the document's word.
            online: As for the constructor.
            smoothed: As for the constructor.

        Raises:
            CalibrationError: It belongs to another pair or score, has another schema, or is damaged.

        Example:
            >>> saved = OnlineCalibration().to_document("f00d", [])
            >>> len(OnlineCalibration.from_document(saved, "f00d"))
            0
        """
        checked = _checked(document, fingerprint, score)
        calibration = cls(online=online, smoothed=smoothed)
        calibration._problem_ids = frozenset(checked["problems"])
        for name, scores in checked["categories"].items():
            calibration._sets[name] = _read_set(name, scores)
        return calibration


def _checked(document: object, fingerprint: str, score: str | None) -> dict[str, Any]:
    """The document, if it is one of ours and belongs to this pair."""
    if not isinstance(document, dict):
        raise _damaged("document", f"is of type {type(document).__name__}")
    for key in ("schema", "fingerprint", "score", "problems", "categories"):
        if key not in document:
            raise _damaged(key, "is missing")
    if document["schema"] != SCHEMA or isinstance(document["schema"], bool):
        raise CalibrationError(
            f"the calibration has schema {document['schema']!r}, this version reads {SCHEMA}",
            field="schema",
            remedy=_AGAIN,
        )
    if document["fingerprint"] != fingerprint:
        raise CalibrationError(
            f"the calibration has fingerprint {document['fingerprint']!r}, the pair has {fingerprint!r}",
            field="fingerprint",
            remedy=f"{_AGAIN}: scores of other models, prompts or segment lengths cannot be compared",
        )
    if document["score"] not in ([score] if score else list(SCORES)):
        raise CalibrationError(
            f"the calibration has scores of kind {document['score']!r}, wanted is {score or ' or '.join(SCORES)}",
            field="score",
            remedy=_AGAIN,
        )
    problems, categories = document["problems"], document["categories"]
    if not isinstance(problems, list) or not all(isinstance(item, str) for item in problems):
        raise _damaged("problems", "is no list of problem ids")
    if not isinstance(categories, dict) or not all(isinstance(name, str) for name in categories):
        raise _damaged("categories", "is no table of scores by category")
    return document


def _read_set(name: str, scores: object) -> CalibrationSet:
    field = f"categories.{name}"
    if not isinstance(scores, list):
        raise _damaged(field, "is no list of scores")
    try:
        return CalibrationSet.from_scores(scores)
    except CalibrationError as error:
        raise _damaged(field, f"holds a bad score: {error.message}") from None


def _damaged(field: str, what: str) -> CalibrationError:
    return CalibrationError(f"the calibration is damaged: {field} {what}", field=field, remedy=_AGAIN)
