"""All strategies by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from a1_trt.benchmarks.strategies.baselines import best_of_n, random_takeover, spec_reason, speculative_thinking
from a1_trt.benchmarks.strategies.context import Opens, StrategySpec
from a1_trt.benchmarks.strategies.session_strategy import in_session, published, token_by_token
from a1_trt.core.conformal import Rank
from a1_trt.errors import InvalidRequestError


def _session(
    summary: str,
    strategy: str = "a1",
    *,
    opens: Opens = in_session,
    controller: str | None = None,
    one_at_a_time: bool = False,
    **parameters: Any,
) -> StrategySpec:
    conformal = {"controller": controller} if controller else {}
    parameters = {"strategy": strategy, **parameters}
    return StrategySpec(summary, opens, parameters, conformal, one_at_a_time=one_at_a_time)


_WORST = "barriers; the worst B of m by rank are taken over; one problem at a time"
_SYNC_RANK = replace(_session(_WORST, one_at_a_time=True, admission="barrier", exact_budget=False), controller=Rank)
# The published traces have a score for every segment, those with an answer, too.
_AS_PUBLISHED: dict[str, Any] = {
    "takeover_from": "end",
    "score_answers": True,
    "exact_budget": False,
    "optimistic": False,
}
_PUBLISHED = "the published asynchronous code: static first-turn threshold, 16 draft and 4 target calls"
_BEST = "chains by the draft, the one with the lowest perplexity under the target answers"
_TOKENS = "the target alone, decoding by the draft's proposals token by token"

STRATEGIES: Mapping[str, StrategySpec] = MappingProxyType(
    {
        "a1": _session("asynchronous, by conformal p-values; as the pair says"),
        "a1-marginal": _session("a1, one growing calibration set for all scores", controller="growing"),
        "a1-per-turn": _session("a1, a growing calibration set per turn bucket", controller="mondrian"),
        "a1-per-problem": _session(
            "a1, a calibration set per problem, shrunk to that of all", controller="per-problem"
        ),
        "a1-adaptive": _session("a1, levels that adapt per turn bucket and over all", controller="two-level"),
        "a1-no-stop": _session("a1, without stopping when the vote is settled", early_stop=False),
        "a1-optimistic": _session("a1, drafting on while a segment is verified", optimistic=True),
        "a1-barrier": _session("a1, under barriers within each problem; problems overlap", admission="barrier"),
        "sync-rank": _SYNC_RANK,
        "sync-threshold": _session(
            "barriers; a1's conformal threshold; one problem at a time", one_at_a_time=True, admission="barrier"
        ),
        "sync-rank-overlapped": replace(
            _SYNC_RANK, summary="sync-rank with several problems at work", one_at_a_time=False
        ),
        "published": replace(
            _session(_PUBLISHED, opens=published, one_at_a_time=True, admission="async", **_AS_PUBLISHED),
            max_in_flight={"draft": 16, "target": 4},
        ),
        "target-only": _session("self-consistency of the target", "target_only"),
        "target-only-no-stop": _session(
            "self-consistency of the target, without stopping when the vote is settled", "target_only", early_stop=False
        ),
        "draft-only": _session("self-consistency of the draft", "draft_only"),
        "best-of-n": replace(_session(_BEST, "draft_only", opens=best_of_n), votes=False),
        "spec-reason": StrategySpec("the target rates each segment 0-9 and rewrites those below 7", spec_reason),
        "speculative-thinking": StrategySpec(
            "the target takes over where the draft doubts or turns round", speculative_thinking
        ),
        "random": StrategySpec("the target takes over by chance alpha, nothing is scored", random_takeover),
        "token-speculative": _session(_TOKENS, "target_only", opens=token_by_token),
    }
)
"""Every strategy by its name."""


def strategy_of(name: str) -> StrategySpec:
    """The strategy of that name.

    Example:
        >>> strategy_of("sync-rank").one_at_a_time
        True
    """
    if name not in STRATEGIES:
        remedy = f"choose from {', '.join(STRATEGIES)}"
        raise InvalidRequestError(f"there is no strategy {name!r}", field="strategies", remedy=remedy)
    return STRATEGIES[name]
