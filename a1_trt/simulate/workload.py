"""What the samples of a simulated workload will write: lengths and scores, no text.

A script answers as the models would: how long the next segment is, whether the chain ends with it, and how strange the
target finds it. Everything is drawn from the seed of the sample, so that every strategy meets the same samples.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from a1_trt.errors import InvalidRequestError

ANSWER_TOKENS = 16  # which the target writes again where it rejects the segment that held the answer; an assumption


class Piece(NamedTuple):
    """A segment to be written; the chain `ends` with it by an answer or the end of the text."""

    n_tokens: int
    ends: bool


class Script(Protocol):
    """One sample, to be."""

    @property
    def last_turn(self) -> int | None:
        """The turn after which nothing is known; None where the script goes on for ever."""

    def draft(self, turn: int, written: int, max_tokens: int) -> Piece:
        """The draft's segment of a turn, after `written` tokens of the chain."""

    def target(self, turn: int, written: int, max_tokens: int) -> Piece:
        """The target's continuation in that turn, if it takes over."""

    def alone(self, max_tokens: int) -> Piece:
        """The whole chain, where the target writes it alone."""

    def score(self, turn: int) -> float:
        """Perplexity of the draft's segment under the target."""

    def takeover(self, turn: int) -> bool | None:
        """What was decided when this was recorded; None where nothing was."""


@dataclass(frozen=True, slots=True)
class Workload:
    """The scripts of a number of problems.

    Args:
        prompts: Tokens of each problem's prompt.
        about: How it was made; part of every report.
        answers: What each sample answers, if it does; where nothing is known, no two samples of a problem agree, so
            that no vote is settled before its last sample.
        tokens_per_iteration: Tokens of a chain that an iteration yields where the target writes it alone.
    """

    name: str
    prompts: tuple[int, ...]
    scripts: tuple[tuple[Script, ...], ...]
    about: dict[str, object] = field(default_factory=dict)
    answers: tuple[tuple[int, ...], ...] = ()
    tokens_per_iteration: float = 1.0

    @property
    def n_samples(self) -> int:
        return sum(len(samples) for samples in self.scripts)

    def answer(self, problem: int, sample: int) -> int:
        return self.answers[problem][sample] if self.answers else sample


@dataclass(frozen=True, slots=True)
class Lengths:
    """From which distributions a synthetic workload is drawn.

    The length of a chain is log-normal, with one share of its variance between problems and the rest within; so are the
    scores. Their defaults are those of the published trace (MATH, R1-Distill-Llama-8B under QwQ-32B): the quantiles of
    the first turn's perplexity, and 64 % of the variance of its logarithm between problems.

    Args:
        median_tokens: Median length of a chain, with the sigma of its logarithm, `spread`, and the share of that
            variance `between` problems; likewise `median_score` for perplexities.
        alone_ratio: How much longer a chain is that the target writes alone.
        agreement: Chance that a sample gives its problem's common answer; the other answers are all different. Early
            stopping depends on it. An assumption: the share of right samples in the published trace.
    """

    prompt_tokens: int = 150
    median_tokens: float = 700.0
    spread: float = 0.9
    between: float = 0.6
    alone_ratio: float = 1.0
    median_score: float = 1.59
    score_spread: float = 0.144
    score_between: float = 0.64
    agreement: float = 0.68

    def __post_init__(self) -> None:
        for name in ("prompt_tokens", "median_tokens", "alone_ratio", "median_score"):
            if not 0 < getattr(self, name) < 1e9:
                raise InvalidRequestError(f"{name} is {getattr(self, name)}", field=name, remedy="choose more than 0")
        largest = {"spread": 5, "score_spread": 5, "between": 1, "score_between": 1, "agreement": 1}
        for name, bound in largest.items():
            if not 0 <= getattr(self, name) <= bound:
                raise InvalidRequestError(f"{name} is {getattr(self, name)}", field=name, remedy=f"choose 0 to {bound}")


@dataclass(frozen=True, slots=True)
class DrawnScript:
    """A sample whose chain has a length that was drawn; whoever writes takes up to a segment of what is left.

    `n_tokens` is the length of the chain in which the draft takes part, `n_alone` of one that the target writes alone;
    `log_score` is the mean logarithm of the problem's perplexities, and `noise` its sigma within the problem.

    Example:
        >>> script = DrawnScript(700, 900, 0.4, 0.1, "s")
        >>> script.draft(0, 0, 500), script.target(0, 500, 500), script.score(0) == script.score(0)
        (Piece(n_tokens=500, ends=False), Piece(n_tokens=200, ends=True), True)
    """

    n_tokens: int
    n_alone: int
    log_score: float
    noise: float
    seed: str

    @property
    def last_turn(self) -> int | None:
        return None

    def draft(self, turn: int, written: int, max_tokens: int) -> Piece:
        left = self.n_tokens - written
        return Piece(min(left, max_tokens), left < max_tokens)

    def target(self, turn: int, written: int, max_tokens: int) -> Piece:
        """Up to a segment of what is left; at least an answer, where one was rejected."""
        left = max(ANSWER_TOKENS, self.n_tokens - written)
        return Piece(min(left, max_tokens), left < max_tokens)

    def alone(self, max_tokens: int) -> Piece:
        return Piece(min(self.n_alone, max_tokens), self.n_alone < max_tokens)

    def score(self, turn: int) -> float:
        chance = random.Random(f"{self.seed} {turn}")  # noqa: S311  reproducible on purpose
        return math.exp(self.log_score + self.noise * chance.gauss(0.0, 1.0))

    def takeover(self, turn: int) -> bool | None:
        return None


def draw(n_problems: int, n_samples: int, seed: int, lengths: Lengths | None = None, name: str = "drawn") -> Workload:
    """A synthetic workload.

    Example:
        >>> workload = draw(2, 3, seed=1)
        >>> workload.n_samples, workload == draw(2, 3, seed=1)
        (6, True)
    """
    lengths = lengths or Lengths()
    scripts, answers = [], []
    for problem in range(n_problems):
        chance = random.Random(f"{seed} {name} {problem}")  # noqa: S311  reproducible on purpose
        log_tokens, within = _level(chance, lengths.median_tokens, lengths.spread, lengths.between)
        log_score, noise = _level(chance, lengths.median_score, lengths.score_spread, lengths.score_between)
        samples = []
        for sample in range(n_samples):
            n_tokens = max(1, round(math.exp(log_tokens + within * chance.gauss(0.0, 1.0))))
            n_alone = max(1, round(lengths.alone_ratio * math.exp(log_tokens + within * chance.gauss(0.0, 1.0))))
            samples.append(DrawnScript(n_tokens, n_alone, log_score, noise, f"{seed} {name} {problem} {sample}"))
        scripts.append(tuple(samples))
        agrees = random.Random(f"{seed} {name} {problem} answers")  # noqa: S311  likewise
        answers.append(tuple(0 if agrees.random() < lengths.agreement else 1 + n for n in range(n_samples)))
    about = {slot: getattr(lengths, slot) for slot in Lengths.__slots__} | {"seed": seed}
    return Workload(name, (lengths.prompt_tokens,) * n_problems, tuple(scripts), about, tuple(answers))


def _level(chance: random.Random, median: float, spread: float, between: float) -> tuple[float, float]:
    """Mean logarithm of one problem's values, and their sigma within it."""
    level = math.log(median) + spread * math.sqrt(between) * chance.gauss(0.0, 1.0)
    return level, spread * math.sqrt(1 - between)
