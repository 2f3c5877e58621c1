"""Independent samples, each by the rule of a peer. Described from the papers and written fresh."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from a1_trt.benchmarks.strategies.chain import BaselineProblem, BaselineRunner, Rule, all_of
from a1_trt.benchmarks.strategies.context import Opens, Solve, StrategyContext
from a1_trt.core.conformal import perplexity
from a1_trt.core.reasoning.answers import normalise
from a1_trt.core.scheduler.seeds import uniform
from a1_trt.errors import ScoringUnavailable
from a1_trt.types import Problem, Result

RATING_THRESHOLD = 7  # SpecReason's own default: a step rated below it is written anew
RATING_PROMPT = "\n\nRate the last step above from 0 (wrong or useless) to 9 (correct and useful), as one digit: "
_CUES = (
    r"wait|alternatively|however|hmm+|hold on|but|no\b|not\b|actually|instead|let me (?:double-)?check|let me re|"
    r"double-check|on second thought"
)
_OPENING = re.compile(rf"(?:^|(?<=[.!?\n])\s*)(?:{_CUES})", re.IGNORECASE)


def by_rule(rule: Rule) -> Opens:
    @asynccontextmanager
    async def open_(context: StrategyContext) -> AsyncIterator[Solve]:
        runner = BaselineRunner(context)

        async def solve(index: int, problem: Problem) -> Result:
            return await BaselineProblem(index, problem, runner).solve(rule)

        yield solve

    return open_


@by_rule
async def random_takeover(problem: BaselineProblem, index: int) -> int | None:
    """The target takes over with chance alpha, whatever the segment is worth; nothing is scored."""
    state = problem.state
    sample = state.samples[index]
    u = uniform(state.parameters.seed, state.problem.id, index, sample.turn)
    return len(sample.segments[-1].text) if u <= state.parameters.alpha else None


@by_rule
async def spec_reason(problem: BaselineProblem, index: int) -> int | None:
    """SpecReason: the target rates each segment 0-9 with one token, and writes it anew when the rating is too low."""
    rating = (await problem.ask(index, RATING_PROMPT)).strip()
    return None if len(rating) == 1 and rating.isdecimal() and int(rating) >= RATING_THRESHOLD else 0


@by_rule
async def speculative_thinking(problem: BaselineProblem, index: int) -> int | None:
    """Speculative Thinking: the target takes over where the draft opens a sentence by doubting or turning round."""
    *before, last = problem.state.samples[index].segments
    return doubt("".join(segment.text for segment in before), last.text)


def doubt(before: str, text: str) -> int | None:
    r"""Where in `text`, which follows `before`, a sentence opens reflectively or by negation; None if nowhere.

    Example:
        >>> doubt("x = 2.\n", "So y = 3. Wait, x is 1.")
        10
        >>> doubt("so", "me text, but no more") is None
        True
    """
    opens = not before or before.rstrip(" ")[-1:] in ".!?\n"
    for match in _OPENING.finditer(text):
        if match.start() > 0 or opens:
            return match.end() - len(match.group().lstrip())
    return None


@asynccontextmanager
async def best_of_n(context: StrategyContext) -> AsyncIterator[Solve]:
    """The draft writes whole chains; the one with the lowest perplexity under the target is the answer."""
    runner = BaselineRunner(context)

    async def solve(index: int, problem: Problem) -> Result:
        chains = BaselineProblem(index, problem, runner)
        perplexities: dict[int, float] = {}

        async def one(sample: int) -> None:
            await chains.write(sample)
            if chains.state.samples[sample].answer is None:
                return
            logprobs = await chains.score(sample)
            if logprobs is not None:
                perplexities[sample] = perplexity(logprobs.values)

        await all_of([asyncio.ensure_future(one(sample)) for sample in range(context.parameters.n_samples)])
        result = chains.result()
        if not perplexities and result.usage.n_unscored:
            raise ScoringUnavailable("none of the chains could be scored", role="target")
        best = min(perplexities, key=lambda sample: (perplexities[sample], sample), default=None)
        answer = None if best is None else result.trajectories[best].answer
        return replace(result, answer=None if answer is None else normalise(answer))

    yield solve
