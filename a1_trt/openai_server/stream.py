"""Events as the chunks of a streamed response."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from a1_trt.openai_server.answer import Choice, a1_of, choices_of, usage_of
from a1_trt.openai_server.chat import ChatRequest
from a1_trt.types import (
    Event,
    Parameters,
    ProblemFinished,
    Result,
    Segment,
    SegmentScored,
    SegmentUnscored,
    SegmentWritten,
)
from a1_trt.wire import event_to_dict

DONE = b"data: [DONE]\n\n"
_OUTVOTED = "\n\n(This sample was outvoted; the winning one follows.)\n\n"


def server_sent(document: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


class LeadingChain:
    """Follows the first sample whose text is decided on, and tells of it only what stays.

    A draft's segment is told once the target has let it stand, or as far as it has. `sample` is the leading one, once
    there is one, and `told` what was told of it, always the beginning of its final text.
    """

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._open: dict[int, str] = {}
        self.sample: int | None = None
        self.told = ""

    def follow(self, event: Event) -> str:
        """What there is to add to the reasoning after an event; often nothing."""
        if isinstance(event, SegmentWritten):
            return self._written(event.sample, event.segment)
        if isinstance(event, SegmentScored):
            text = self._open.pop(event.sample, "")
            return self._tell(event.sample, text if event.kept is None else event.kept)
        if isinstance(event, SegmentUnscored):
            self._open.pop(event.sample, None)
        return ""

    def _written(self, sample: int, segment: Segment) -> str:
        if segment.role == "draft" and self._parameters.strategy == "a1":
            self._open[sample] = segment.text
            return ""
        return self._tell(sample, segment.text)

    def _tell(self, sample: int, text: str) -> str:
        if self.sample not in (None, sample):
            return ""
        self.sample = sample
        self.told += text
        return text


class ChunkWriter:
    """Writes a problem's events as chunks; `envelope` is what all chunks have in common."""

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
