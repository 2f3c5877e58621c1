"""A result in OpenAI's words: choices, usage, and what else there is to say in the object "a1"."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from a1_trt.core.reasoning import normalise
from a1_trt.openai_server.chat import Wish
from a1_trt.types import Result, SampleEnd, Trajectory
from a1_trt.wire import result_to_dict

_WITHOUT_ANSWER = (SampleEnd.ENDED, SampleEnd.EXHAUSTED, SampleEnd.STOPPED, SampleEnd.CANCELLED, SampleEnd.FAILED)


@dataclass(frozen=True, slots=True)
class Envelope:
    """What every document of one response has in common.

    Args:
        model: The model's name.
        fingerprint: Identifies the pair.
        id: Names the response.
        created: When it began, seconds since 1970.
    """

    model: str
    fingerprint: str
    id: str
    created: int

    @classmethod
    def new(cls, model: str, fingerprint: str) -> Envelope:
        """One with a fresh id."""
        return cls(model, fingerprint, f"chatcmpl-{secrets.token_hex(12)}", int(time.time()))

    def document(self, kind: str, choices: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
        """A "chat.completion" or "chat.completion.chunk"."""
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
            "choices": list(choices),
            **more,
        }


@dataclass(frozen=True, slots=True)
class Choice:
    """One chain as it is given back.

    Args:
        sample: Which one it is.
        reasoning: Its text; empty where that is the content.
        content: Its answer, or all it says where the model ended its text without a boxed answer.
        finish_reason: "stop", or "length" where it ran out of turns.
    """

    sample: int
    reasoning: str
    content: str
    finish_reason: str


def choices_of(result: Result, wish: Wish, *, leading: int | None = None) -> list[Choice]:
    """The chains to give back, best first: by the votes of their answer, so the first one's is the vote's.

    Args:
        result: The result.
        wish: What was asked for.
        leading: A sample to prefer among those of equal votes.
    """
    votes = dict(result.votes)
    order = {answer: place for place, (answer, _) in enumerate(result.votes)}

    def rank(each: Trajectory) -> tuple[int, int, bool, int]:
        if each.answer is None:
            return 1, _WITHOUT_ANSWER.index(each.end) if each.end in _WITHOUT_ANSWER else 0, False, each.sample
        answer = normalise(each.answer)
        return 0, order.get(answer, len(votes)), each.sample != leading, each.sample

    best = sorted(result.trajectories, key=rank)[: wish.n_choices]
    return [_choice(each, wish) for each in best]


def _choice(chain: Trajectory, wish: Wish) -> Choice:
    reason = "length" if chain.end is SampleEnd.EXHAUSTED else "stop"
    if chain.answer is None and chain.end is SampleEnd.ENDED:
        return Choice(chain.sample, "", _cut(chain.text.strip(), wish.stop), reason)
    answer = normalise(chain.answer) if chain.answer is not None else ""
    return Choice(chain.sample, chain.text, _cut(answer, wish.stop), reason)


def _cut(text: str, stop: Sequence[str]) -> str:
    ends = [place for place in (text.find(each) for each in stop) if place >= 0]
    return text[: min(ends)] if ends else text


def message_of(choice: Choice, index: int) -> dict[str, Any]:
    """A choice of a response that is not streamed."""
    return {
        "index": index,
        "message": {
            "role": "assistant",
            "content": choice.content,
            "reasoning_content": choice.reasoning,
            "refusal": None,
        },
        "logprobs": None,
        "finish_reason": choice.finish_reason,
    }


def usage_of(result: Result, n_prompt: int, n_content: int) -> dict[str, Any]:
    """OpenAI's usage: the prompt once, and every token that either model generated in any sample.

    Args:
        result: The result.
        n_prompt: Tokens of the target's prompt.
        n_content: Tokens of the contents given back; what was generated beyond them is reasoning.
    """
    n_written = result.usage.draft_tokens + result.usage.target_tokens
    return {
        "prompt_tokens": n_prompt,
        "completion_tokens": n_written,
        "total_tokens": n_prompt + n_written,
        "completion_tokens_details": {"reasoning_tokens": max(0, n_written - n_content)},
    }


def a1_of(result: Result, wish: Wish) -> dict[str, Any]:
    """What test-time scaling did."""
    usage, said = result.usage, wish.parameters
    document = {
        "answer": result.answer,
        "votes": [list(vote) for vote in result.votes],
        "rejection_rate": result.rejection_rate,
        "alpha": said.alpha,
        "n_samples": said.n_samples,
        "max_turns": said.max_turns,
        "seed": said.seed,
        "id": wish.problem.id,
        "usage": {
            "draft": {"generated_tokens": usage.draft_tokens, "calls": usage.draft_calls},
            "target": {
                "generated_tokens": usage.target_tokens,
                "scored_tokens": usage.scored_tokens,
                "calls": usage.score_calls + usage.takeover_calls,
            },
            "n_scored": usage.n_scored,
            "n_takeovers": usage.n_takeovers,
            "n_unscored": usage.n_unscored,
            "n_stopped": usage.n_stopped,
        },
        "samples": [
            {"sample": each.sample, "end": each.end.value, "answer": each.answer, "turns": len(each.turns)}
            for each in result.trajectories
        ],
        "wall_s": result.wall_s,
    }
    if wish.trajectories:
        document["trajectories"] = result_to_dict(result)["trajectories"]
    return document
