"""A result in the form of the framework's own."""

from __future__ import annotations

from dataclasses import dataclass, field

from a1_trt.core.reasoning.answers import normalise
from a1_trt.types import Result, Trajectory


@dataclass(frozen=True, slots=True)
class A1Completion:
    """A chain, as an element of `outputs`.

    Args:
        token_ids: Ids that its writers gave; of more than one tokenizer where draft and target have different ones.
        answer: The problem's answer, by vote of all samples.
    """

    text: str
    token_ids: tuple[int, ...] = ()
    finish_reason: str | None = None
    answer: str | None = None
    index: int = 0
    cumulative_logprob: float | None = None
    logprobs: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class A1Output:
    """What `ScaffoldingLlm` returns for a problem.

    `outputs` is the chain that speaks for the answer: the first sample that voted for it, else the first sample.
    """

    result: Result
    outputs: tuple[A1Completion, ...] = field(default=())
    context_logits: None = None
    finished: bool = True

    @property
    def text(self) -> str:
        return self.outputs[0].text if self.outputs else ""

    @classmethod
    def of(cls, result: Result) -> A1Output:
        voted = [one for one in result.trajectories if one.answer and normalise(one.answer) == result.answer]
        return cls(result, tuple(_completion(one, result.answer) for one in (voted or result.trajectories)[:1]))


def _completion(chain: Trajectory, answer: str | None) -> A1Completion:
    ids = tuple(token for turn in chain.turns for segment in turn.segments for token in segment.token_ids)
    return A1Completion(chain.text, ids, chain.end.value, answer, chain.sample)
