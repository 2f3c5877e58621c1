"""Nonconformity scores: how strange the target finds a draft's segment, from the segment's log-probs.

A score is one number per segment; larger is stranger. Only its rank among past scores matters, so a monotone change of
a score (perplexity is the exp of the mean negative log-likelihood) gives the same p-values.

Every score takes the natural-log probability of each segment token, float64[n_tokens], and `mean_nll` of the same
sample's earlier scored segments, float64[n_earlier], which all but `rise_nll` ignore. It raises a `ScoreShapeError`
where there is no log-prob, or one is not finite or above 0.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from types import MappingProxyType
from typing import Any

from a1_trt.errors import CalibrationError, ScoreShapeError

_ROUNDING = 1e-6  # A log-prob may be this far above 0, where an engine's softmax rounds; it then counts as 0.
_WINDOW_TOKENS = 32
_MAX = sys.float_info.max
_LARGEST_NLL = 709.0  # the largest whole number whose exp is finite


def mean_nll(logprobs: Sequence[float], earlier: Sequence[float] = ()) -> float:
    """Mean negative log-likelihood per token, in nats.

    Example:
        >>> mean_nll([-1.0, -3.0])
        2.0
    """
    losses = _losses(logprobs)
    return math.fsum(losses) / len(losses)


def perplexity(logprobs: Sequence[float], earlier: Sequence[float] = ()) -> float:
    """exp(`mean_nll`): 1 for a segment that the target would have written without doubt; at most exp(709), so finite.

    Example:
        >>> round(perplexity([math.log(0.5), math.log(0.125)]), 12)
        4.0
    """
    return math.exp(min(mean_nll(logprobs), _LARGEST_NLL))


def tail_nll(logprobs: Sequence[float], earlier: Sequence[float] = ()) -> float:
    """Mean negative log-likelihood of the worst tenth of the tokens (rounded up, so at least one), in nats.

    Example:
        >>> tail_nll([-0.1] * 9 + [-5.0])
        5.0
    """
    losses = sorted(_losses(logprobs), reverse=True)
    n_tail = -(-len(losses) // 10)
    return math.fsum(losses[:n_tail]) / n_tail


def worst_nll(logprobs: Sequence[float], earlier: Sequence[float] = ()) -> float:
    """Negative log-likelihood of the worst token, in nats."""
    return max(_losses(logprobs))


def window_nll(logprobs: Sequence[float], earlier: Sequence[float] = ()) -> float:
    """Largest mean negative log-likelihood of 32 consecutive tokens (of all, in a shorter segment), in nats.

    One bad sentence in a long segment is not averaged away.
    """
    losses = _losses(logprobs)
    length = min(_WINDOW_TOKENS, len(losses))
    windows = (losses[start : start + length] for start in range(len(losses) - length + 1))
    return max(map(math.fsum, windows)) / length


def root_nll(logprobs: Sequence[float], earlier: Sequence[float] = ()) -> float:
    """Negative log-likelihood of the segment over the square root of its length, in nats.

    Between the sum, in which long segments are strange for being long, and the mean, in which short ones spread most.
    """
    losses = _losses(logprobs)
    return math.fsum(losses) / math.sqrt(len(losses))


def rise_nll(logprobs: Sequence[float], earlier: Sequence[float] = ()) -> float:
    """`mean_nll` less its mean over the same sample's earlier segments, in nats; `mean_nll` itself in the first turn.

    What is usual for this problem and this chain is taken out; first turns want a category of their own.

    Example:
        >>> rise_nll([-1.0, -3.0], [0.5, 1.5])
        1.0
    """
    own = mean_nll(logprobs)
    return own - math.fsum(earlier) / len(earlier) if earlier else own


Score = Callable[[Sequence[float], Sequence[float]], float]
"""A score of a segment's log-probs, and of `mean_nll` of the same sample's earlier segments."""

SCORES: Mapping[str, Score] = MappingProxyType(
    {
        "mean_nll": mean_nll,
        "perplexity": perplexity,
        "rise_nll": rise_nll,
        "root_nll": root_nll,
        "tail_nll": tail_nll,
        "window_nll": window_nll,
        "worst_nll": worst_nll,
    }
)
"""Every score by the name that a pair file calls it; to add one, write its function and name it here."""


def check_score(score: Any) -> float:
    """The score as a float, if it can be ranked: anything else would accept or reject the segment silently.

    Raises:
        CalibrationError: It is not a finite number.

    Example:
        >>> check_score(2)
        2.0
    """
    if type(score) is float and -_MAX <= score <= _MAX:
        return score  # The usual case, at a fifth of the time.
    is_number = isinstance(score, Real) and not isinstance(score, bool)
    if not is_number or not -_MAX <= score <= _MAX:  # in this order: an int may be too large for a float
        remedy = "a score that failed is an error, not a value"
        raise CalibrationError(f"{score!r} is not a finite number", field="score", remedy=remedy)
    return float(score)


def _losses(logprobs: Sequence[float]) -> list[float]:
    """Negative log-likelihood of each token, checked, none below 0."""
    if len(logprobs) == 0:
        raise ScoreShapeError("there are no log-probs", role="target", field="logprobs")
    # A value that is not finite makes the sum so, too. This is the scheduler's inner loop: the slow look is for errors.
    if max(logprobs) > 0.0 or not math.isfinite(sum(logprobs)):
        _check(logprobs)
        return [max(0.0, -float(value)) for value in logprobs]
    return [0.0 - float(value) for value in logprobs]


def _check(logprobs: Sequence[float]) -> None:
    for place, value in enumerate(logprobs):
        if not math.isfinite(value) or value > _ROUNDING:
            raise ScoreShapeError(
                f"log-prob {place} of {len(logprobs)} is {value}",
                role="target",
                field="logprobs",
                remedy="the engine must return the natural log of a probability for each token",
            )
