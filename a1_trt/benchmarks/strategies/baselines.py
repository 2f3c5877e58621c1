"""Independent samples, each by the rule of a peer. Described from the papers and written fresh."""

from __future__ import annotations

import re

from a1_trt.benchmarks.strategies.chain import Chain, Hands, Team, being, together
from a1_trt.core.conformal import CalibrationSet, perplexity
from a1_trt.core.reasoning.answers import normalise
from a1_trt.core.scheduler import Signal
from a1_trt.core.scheduler.seeds import uniform
from a1_trt.errors import ScoringUnavailable
from a1_trt.types import Result

N_CALIBRATION_PROBLEMS = 4
RATING_THRESHOLD = 7
"""SpecReason's own default: a step rated below it is written anew."""
RATING_PROMPT = "\n\nRate the last step above from 0 (wrong or useless) to 9 (correct and useful), as one digit: "
_CUES = (
    r"wait|alternatively|however|hmm+|hold on|but|no\b|not\b|actually|instead|let me (?:double-)?check|let me re|"
    r"double-check|on second thought"
)
_OPENING = re.compile(rf"(?:^|(?<=[.!?\n])\s*)(?:{_CUES})", re.IGNORECASE)


async def published(team: Team, threshold: CalibrationSet) -> None:
    """The published asynchronous protocol: a static threshold of first-turn scores decides in every turn."""

    async def live(chain: Chain) -> None:
        while chain.sample.end is None:
            await team.draft(chain)
            if chain.signal is Signal.WRITTEN:
                await team.score(chain)
            if chain.signal is Signal.WRITTEN:
                p_value = threshold.p_value(chain.score)
                team.judge(chain, takeover=p_value <= team.parameters.alpha, p_value=p_value)
            if chain.signal is Signal.REJECTED:
                await team.takeover(chain)

    await team.each(live)


async def first_turn_scores(hands: Hands) -> CalibrationSet:
    """Scores of the first segments of the first problems of the run.

    As in the published code, these are problems that it is then tested on.

    Raises:
        ScoringUnavailable: They could not be scored.
    """
    n_unscored = 0
    scores: list[float] = []

    async def first_segment(team: Team, chain: Chain) -> None:
        await team.draft(chain)
        if chain.signal is Signal.WRITTEN:
            await team.score(chain)
        if chain.signal is Signal.WRITTEN:
            scores.append(chain.score)

    for index, problem in enumerate(hands.stage.problems[:N_CALIBRATION_PROBLEMS]):
        team = Team(index, problem, hands.stage.parameters, hands)
        await together(*(first_segment(team, chain) for chain in team.chains))
        hands.forget(team)
        n_unscored += team.work.counts["n_unscored"]
    if n_unscored and not scores:
        raise ScoringUnavailable("none of the first segments could be scored", role="target")
    return CalibrationSet.from_scores(scores)


async def at_random(team: Team) -> None:
    """The target takes over with chance alpha, whatever the segment is worth; nothing is scored."""

    async def live(chain: Chain) -> None:
        while chain.sample.end is None:
            await team.draft(chain)
            if chain.signal is Signal.WRITTEN:
                u = uniform(team.parameters.seed, team.problem.id, chain.key.sample, chain.sample.turn)
                team.judge(chain, takeover=u <= team.parameters.alpha)
            if chain.signal is Signal.REJECTED:
                await team.takeover(chain)

    await team.each(live)


async def spec_reason(team: Team) -> None:
    """SpecReason: the target rates each segment 0-9 with one token, and writes it anew when the rating is too low."""

    async def live(chain: Chain) -> None:
        while chain.sample.end is None:
            await team.draft(chain)
            if chain.signal is Signal.WRITTEN:
                rating = await team.rate(chain, RATING_PROMPT)
                if rating is not None and rating >= RATING_THRESHOLD:
                    team.accept(chain)
                elif being([chain], Signal.WRITTEN):  # else it could not be asked, and that is booked
                    team.replace_last(chain, None)
            if chain.signal is Signal.REJECTED:
                await team.takeover(chain)

    await team.each(live)


async def speculative_thinking(team: Team) -> None:
    """Speculative Thinking: the target takes over where the draft opens a sentence by doubting or turning round."""

    async def live(chain: Chain) -> None:
        while chain.sample.end is None:
            await team.draft(chain)
            if chain.signal is Signal.WRITTEN:
                *before, last = chain.sample.segments
                place = doubt("".join(segment.text for segment in before), last.text)
                if place is None:
                    team.accept(chain)
                else:
                    team.replace_last(chain, last.text[:place])
            if chain.signal is Signal.REJECTED:
                await team.takeover(chain)

    await team.each(live)


def doubt(before: str, text: str) -> int | None:
    r"""Where in `text`, which follows `before`, a sentence opens reflectively or by negation; None if nowhere.

    Example:
        >>> doubt("x = 2.\n", "So y = 3. Wait, x is 1.")
        10
        >>> doubt("so", "me text, but no more") is None
        True
    """
    opens = not before or before.rstrip(" ")[-1:] in ".!?\n"
    for found in _OPENING.finditer(text):
        if found.start() > 0 or opens:
            return found.end() - len(found.group().lstrip())
    return None


async def best_of_n(team: Team) -> None:
    """The draft writes whole chains; the target's perplexity of each says which one is the answer."""

    async def live(chain: Chain) -> None:
        await team.draft(chain)
        if chain.sample.answer is not None:
            await team.rank(chain)

    await together(*(live(chain) for chain in team.chains))


def chosen(team: Team, result: Result) -> str | None:
    """The answer that best-of-n gives: that of the chain which the target finds least surprising.

    Raises:
        ScoringUnavailable: None of the chains that answer could be scored.
    """
    scored = [(perplexity(chain.logprobs.values), chain.key.sample) for chain in team.chains if chain.logprobs]
    if not scored and team.work.counts["n_unscored"]:
        raise ScoringUnavailable("none of the chains could be scored", role="target")
    if not scored:
        return None
    answer = result.trajectories[min(scored)[1]].answer
    return None if answer is None else normalise(answer)
