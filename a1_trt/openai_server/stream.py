"""Events as the chunks of a streamed response."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from a1_trt.openai_server.answer import Choice, Envelope, a1_of, choices_of, usage_of
from a1_trt.openai_server.chat import Wish
from a1_trt.openai_server.preview import LeadingChain
from a1_trt.types import Event, ProblemFinished, Result
from a1_trt.wire import event_to_dict

DONE = b"data: [DONE]\n\n"
_OUTVOTED = "\n\n(This sample was outvoted; the winning one follows.)\n\n"


def server_sent(document: Mapping[str, Any]) -> bytes:
    """A document as a server-sent event."""
    return b"data: " + json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


class Narrator:
    """Tells a problem's events as chunks.

    Args:
        envelope: What all chunks have in common.
        wish: What was asked for.
        usage: Makes the usage of a result and the contents given back.
    """

    def __init__(self, envelope: Envelope, wish: Wish, usage: Callable[[Result, list[Choice]], dict[str, Any]]) -> None:
        self._envelope = envelope
        self._wish = wish
        self._usage = usage
        self._leading = LeadingChain(wish.parameters)

    def opening(self) -> Iterator[dict[str, Any]]:
        """The first chunks, before anything has happened."""
        for index in range(self._wish.n_choices):
            yield self._chunk(index, {"role": "assistant", "content": ""})

    def tell(self, event: Event) -> Iterator[dict[str, Any]]:
        """The chunks of one event."""
        if isinstance(event, ProblemFinished):
            yield from self._closing(event.result)
            return
        text = self._leading.follow(event)
        more: dict[str, Any] = {"a1": event_to_dict(event)} if self._wish.events else {}
        if text:
            yield self._chunk(0, {"reasoning_content": text}, **more)
        elif more:
            yield self._envelope.document("chat.completion.chunk", [], **more)

    def _closing(self, result: Result) -> Iterator[dict[str, Any]]:
        choices = choices_of(result, self._wish, leading=self._leading.sample)
        for index, choice in enumerate(choices):
            reasoning = self._rest(choice) if index == 0 else choice.reasoning
            if reasoning:
                yield self._chunk(index, {"reasoning_content": reasoning})
            if choice.content:
                yield self._chunk(index, {"content": choice.content})
        for index, choice in enumerate(choices):
            more: dict[str, Any] = {"a1": a1_of(result, self._wish)} if index == len(choices) - 1 else {}
            yield self._chunk(index, {}, choice.finish_reason, **more)
        if self._wish.include_usage:
            yield {**self._envelope.document("chat.completion.chunk", []), "usage": self._usage(result, choices)}

    def _rest(self, choice: Choice) -> str:
        """The reasoning that was not told yet."""
        told = self._leading.told
        if choice.reasoning.startswith(told):
            return choice.reasoning[len(told) :]
        return _OUTVOTED + choice.reasoning if choice.reasoning else ""

    def _chunk(self, index: int, delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return self._envelope.document("chat.completion.chunk", [choice], **more)


def usage_with(count_tokens: Callable[..., int], wish: Wish) -> Callable[[Result, list[Choice]], dict[str, Any]]:
    """What makes the usage of a response."""

    def usage(result: Result, choices: list[Choice]) -> dict[str, Any]:
        n_content = sum(count_tokens(choice.content) for choice in choices if choice.content)
        return usage_of(result, count_tokens(wish.problem.text, as_prompt=True), n_content)

    return usage
