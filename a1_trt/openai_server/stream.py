"""Events as the chunks of a streamed response."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from a1_trt.openai_server.answer import Choice, a1_of, choices_of, usage_of
from a1_trt.openai_server.chat import ChatRequest
from a1_trt.openai_server.preview import LeadingChain
from a1_trt.types import Event, ProblemFinished, Result
from a1_trt.wire import event_to_dict

DONE = b"data: [DONE]\n\n"
_OUTVOTED = "\n\n(This sample was outvoted; the winning one follows.)\n\n"


def server_sent(document: Mapping[str, Any]) -> bytes:
    """A document as a server-sent event."""
    return b"data: " + json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


class ChunkWriter:
    """Writes a problem's events as chunks.

    Args:
        envelope: What all chunks have in common.
        request: What was asked for.
        count_tokens: See `Backend.count_tokens`.
    """

    def __init__(self, envelope: Mapping[str, Any], request: ChatRequest, count_tokens: Callable[..., int]) -> None:
        self._envelope = {**envelope, "object": "chat.completion.chunk"}
        self._request = request
        self._count_tokens = count_tokens
        self._leading = LeadingChain(request.parameters)

    def open(self) -> Iterator[dict[str, Any]]:
        """The first chunks, before anything has happened."""
        for index in range(self._request.n_choices):
            yield self._chunk(index, {"role": "assistant", "content": ""})

    def write(self, event: Event) -> Iterator[dict[str, Any]]:
        """The chunks of one event."""
        if isinstance(event, ProblemFinished):
            yield from self._close(event.result)
            return
        text = self._leading.follow(event)
        more: dict[str, Any] = {"a1": event_to_dict(event)} if self._request.events else {}
        if text:
            yield self._chunk(0, {"reasoning_content": text}, **more)
        elif more:
            yield {**self._envelope, "choices": [], **more}

    def _close(self, result: Result) -> Iterator[dict[str, Any]]:
        choices = choices_of(result, self._request, leading=self._leading.sample)
        for index, choice in enumerate(choices):
            reasoning = self._rest(choice) if index == 0 else choice.reasoning
            if reasoning:
                yield self._chunk(index, {"reasoning_content": reasoning})
            if choice.content:
                yield self._chunk(index, {"content": choice.content})
        for index, choice in enumerate(choices):
            more: dict[str, Any] = {"a1": a1_of(result, self._request)} if index == len(choices) - 1 else {}
            yield self._chunk(index, {}, choice.finish_reason, **more)
        if self._request.include_usage:
            usage = usage_of(result, self._request, choices, self._count_tokens)
            yield {**self._envelope, "choices": [], "usage": usage}

    def _rest(self, choice: Choice) -> str:
        told = self._leading.told
        if choice.reasoning.startswith(told):
            return choice.reasoning[len(told) :]
        return _OUTVOTED + choice.reasoning if choice.reasoning else ""

    def _chunk(self, index: int, delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**self._envelope, "choices": [choice], **more}
