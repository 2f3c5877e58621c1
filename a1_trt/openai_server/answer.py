"""A result in OpenAI's words: choices, usage, and what else there is to say in the object "a1"."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from a1_trt.core.reasoning import normalise
from a1_trt.openai_server.chat import ChatRequest
from a1_trt.types import Result, SampleEnd, Trajectory
from a1_trt.wire import result_to_dict

_WITHOUT_ANSWER = (SampleEnd.ENDED, SampleEnd.EXHAUSTED, SampleEnd.STOPPED, SampleEnd.CANCELLED, SampleEnd.FAILED)


def new_envelope(model: str, fingerprint: str) -> dict[str, Any]:
    """What every document of one response has in common; `fingerprint` identifies the pair."""
    names = {"model": model, "system_fingerprint": fingerprint}
    return {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), **names}


@dataclass(frozen=True, slots=True)
class Choice:
    """One chain as it is given back.

    Args:
        reasoning: Its text; empty where that is the content.
        content: Its answer, or all it says where the model ended its text without a boxed answer.
        finish_reason: "stop", or "length" where it ran out of tokens or turns.
    """

    sample: int
    reasoning: str
    content: str
    finish_reason: str


def choices_of(result: Result, request: ChatRequest, *, leading: int | None = None) -> list[Choice]:
    """The chains to give back, best first: by the votes of their answer, so the first one's is the vote's.

    Among those of equal votes the sample `leading` comes first.
    """
    order = {answer: place for place, (answer, _) in enumerate(result.votes)}

    def rank(chain: Trajectory) -> tuple[int, int, bool, int]:
        if chain.answer is None:
            return 1, _WITHOUT_ANSWER.index(chain.end) if chain.end in _WITHOUT_ANSWER else 0, False, chain.sample
        return 0, order.get(normalise(chain.answer), len(order)), chain.sample != leading, chain.sample

    return [_choice(chain, request) for chain in sorted(result.trajectories, key=rank)[: request.n_choices]]


def _choice(chain: Trajectory, request: ChatRequest) -> Choice:
    reason = "length" if chain.end is SampleEnd.EXHAUSTED else "stop"
    if chain.answer is None and chain.end is SampleEnd.ENDED:
        return Choice(chain.sample, "", _cut(chain.text.strip(), request.stop), reason)
    answer = normalise(chain.answer) if chain.answer is not None else ""
    return Choice(chain.sample, chain.text, _cut(answer, request.stop), reason)


def _cut(text: str, stop: Sequence[str]) -> str:
    ends = [place for place in (text.find(cut) for cut in stop) if place >= 0]
    return text[: min(ends)] if ends else text


def message_of(choice: Choice, index: int) -> dict[str, Any]:
    """A choice of a response that is not streamed."""
    message = {"role": "assistant", "content": choice.content, "reasoning_content": choice.reasoning, "refusal": None}
    return {"index": index, "message": message, "logprobs": None, "finish_reason": choice.finish_reason}


def usage_of(
    result: Result, request: ChatRequest, choices: Sequence[Choice], count_tokens: Callable[..., int]
) -> dict[str, Any]:
    """OpenAI's usage: the target's prompt once, and every token that either model generated in any sample.

    What was generated beyond the contents that are given back is reasoning.
    """
    n_prompt = count_tokens(request.problem.text, as_prompt=True)
    n_content = sum(count_tokens(choice.content) for choice in choices if choice.content)
    n_written = result.usage.draft_tokens + result.usage.target_tokens
    return {
        "prompt_tokens": n_prompt,
        "completion_tokens": n_written,
        "total_tokens": n_prompt + n_written,
        "completion_tokens_details": {"reasoning_tokens": max(0, n_written - n_content)},
    }


def a1_of(result: Result, request: ChatRequest) -> dict[str, Any]:
    """What test-time scaling did: the object "a1"."""
    usage, parameters = result.usage, request.parameters
    document = {
        "answer": result.answer,
        "votes": [list(vote) for vote in result.votes],
        "rejection_rate": result.rejection_rate,
        **{name: getattr(parameters, name) for name in ("alpha", "n_samples", "max_turns", "max_chain_tokens", "seed")},
        "id": request.problem.id,
        "usage": {
            "draft": {"generated_tokens": usage.draft_tokens, "calls": usage.draft_calls},
            "target": {
                "generated_tokens": usage.target_tokens,
                "scored_tokens": usage.scored_tokens,
                "calls": usage.score_calls + usage.takeover_calls,
            },
            **{name: getattr(usage, name) for name in ("n_scored", "n_takeovers", "n_unscored", "n_stopped")},
        },
        "samples": [
            {"sample": chain.sample, "end": chain.end.value, "answer": chain.answer, "turns": len(chain.turns)}
            for chain in result.trajectories
        ],
        "wall_s": result.wall_s,
    }
    if request.trajectories:
        document["trajectories"] = result_to_dict(result)["trajectories"]
    return document
