"""What the driver asks of an engine: two verbs, and the token ids it is given; and a memory of scores for engines.

An *engine* holds one model and batches whatever is in flight by itself (in-flight batching). Code that talks to one is
an adapter (`a1_trt.backends`). Everything here is independent of any engine.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from a1_trt.types import Call, Role, SampleKey, Segment

_MOST_VALUES = 1 << 17


@dataclass(frozen=True, slots=True)
class Generation:
    """New tokens, int[n_new], without the end-of-text token; `ended` where the model ended its text itself."""

    token_ids: tuple[int, ...]
    ended: bool


class Tokenizer(Protocol):
    """The tokenizer that belongs to an engine's model."""

    @property
    def fingerprint(self) -> str:
        """Equal for two tokenizers exactly when ids of one mean the same text in the other."""

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """Token ids of `text`; with `special`, begin-of-text tokens as the model wants them before a prompt."""

    def decode(self, token_ids: Sequence[int]) -> str: ...

    def chat(self, system: str, user: str) -> str:
        """The model's own chat template around a user's message, ready for the model's turn."""


class Engine(Protocol):
    """One model behind an in-flight-batching engine.

    Both verbs may be called any number of times at once. Cancelling the awaiting task frees the request's slot in the
    engine. Every failure is an `a1_trt.errors.EngineError`.
    """

    @property
    def tokenizer(self) -> Tokenizer: ...

    @property
    def max_context_tokens(self) -> int:
        """Longest prompt plus generation."""

    async def generate(self, prompt: Sequence[int], *, max_tokens: int, temperature: float, seed: int) -> Generation:
        """Continue `prompt`, int[n_prompt] with n_prompt >= 1, by 1 to `max_tokens` tokens; temperature 0 is greedy.

        The same arguments give the same tokens. A `ContextLengthError` where n_prompt + max_tokens exceeds the context.
        """

    async def score(self, prompt: Sequence[int], segment: Sequence[int]) -> list[float]:
        """Natural-log probability of every token of `segment` after `prompt`, float64[n_segment]; prefill only.

        Neither is empty. A `ScoreShapeError` where there are fewer values than the segment has tokens.
        """

    async def aclose(self) -> None:
        """Free the engine; a second call does nothing."""


@dataclass(slots=True)
class TokenLedger:
    """The token ids of every chain for one role, appended to and never encoded anew.

    So a chain's prompt is byte-identical from turn to turn, which is what KV-cache reuse needs, and where a segment
    starts is known exactly. A segment of a role whose tokenizer is the same passes its ids straight through.

    Args:
        render: Makes the prompt's ids of a problem's text.
        shared: Roles whose segment ids mean the same here.
    """

    tokenizer: Tokenizer
    render: Callable[[str], list[int]]
    shared: frozenset[Role]
    _chains: dict[SampleKey, _Chain] = field(default_factory=dict)
    _prompts: dict[int, list[int]] = field(default_factory=dict)

    def prompt(self, call: Call) -> list[int]:
        """Ids of the problem and all of the call's segments."""
        return self._chain(call).ids

    def split(self, call: Call) -> tuple[list[int], list[int]]:
        """Ids before the call's last segment, and the ids of that segment."""
        chain = self._chain(call)
        return chain.ids[: chain.ends[-2]], chain.ids[chain.ends[-2] :]

    def forget(self, problem: int, n_samples: int) -> None:
        self._prompts.pop(problem, None)
        for sample in range(n_samples):
            self._chains.pop(SampleKey(problem, sample), None)

    def _chain(self, call: Call) -> _Chain:
        if call.key.problem not in self._prompts:
            self._prompts[call.key.problem] = self.render(call.problem)
        chain = self._chains.setdefault(call.key, _Chain.starting(self._prompts[call.key.problem]))
        chain.keep_common(call.segments)
        for segment in call.segments[len(chain.segments) :]:
            chain.append(segment, self._ids(segment))
        return chain

    def _ids(self, segment: Segment) -> Sequence[int]:
        if segment.token_ids and segment.role in self.shared:
            return segment.token_ids
        return self.tokenizer.encode(segment.text)


@dataclass(slots=True)
class _Chain:
    ids: list[int]
    ends: list[int]
    """`ends[i]` is where segment i - 1 ends and segment i starts."""
    segments: list[Segment]

    @classmethod
    def starting(cls, prompt: list[int]) -> _Chain:
        return cls(list(prompt), [len(prompt)], [])

    def append(self, segment: Segment, ids: Sequence[int]) -> None:
        self.ids.extend(ids)
        self.ends.append(len(self.ids))
        self.segments.append(segment)

    def keep_common(self, segments: Sequence[Segment]) -> None:
        """Cut back to the segments that are still in the chain: an answer that was taken back shortens its last one."""
        common = 0
        for old, new in zip(self.segments, segments, strict=False):
            if old is not new and old != new:
                break
            common += 1
        del self.segments[common:], self.ends[common + 1 :]
        del self.ids[self.ends[-1] :]


class ScoreMemory:
    """Remembers log-probs of tokens after whole prefixes, the latest 131,072 of them (about 30 MB).

    Where a prefix was cut into prompt and segment makes no difference. Keys are 128-bit digests of all tokens.

    Example:
        >>> memory = ScoreMemory()
        >>> memory.remember([1, 2], [3, 4], [-0.5, -0.25])
        >>> memory.recall([1, 2, 3], [4])
        [-0.25]
        >>> memory.recall([1, 2], [4]) is None
        True
    """

    def __init__(self) -> None:
        self._values: OrderedDict[bytes, float] = OrderedDict()

    def remember(self, prompt: Sequence[int], segment: Sequence[int], values: Sequence[float]) -> None:
        for key, value in zip(_keys(prompt, segment), values, strict=True):
            self._values[key] = value
            self._values.move_to_end(key)
        while len(self._values) > _MOST_VALUES:
            self._values.popitem(last=False)

    def recall(self, prompt: Sequence[int], segment: Sequence[int]) -> list[float] | None:
        """The log-probs of `segment` after `prompt` if all of them are known, float64[n_segment]."""
        values = [self._values.get(key) for key in _keys(prompt, segment)]
        known = [value for value in values if value is not None]
        return known if len(known) == len(values) else None


def _keys(prompt: Sequence[int], segment: Sequence[int]) -> list[bytes]:
    return prefix_digests([*prompt, *segment], start=len(prompt))


def prefix_digests(token_ids: Sequence[int], block_tokens: int = 1, *, start: int = 0) -> list[bytes]:
    """A 128-bit digest of each prefix that ends with a whole block; equal prefixes have equal digests.

    The first block begins at `start`; what comes before it is part of every prefix.

    Example:
        >>> first, second = prefix_digests([1, 2, 3, 4, 5], 2)
        >>> [second] == prefix_digests([1, 2, 3, 4], 2, start=2), first == second
        (True, False)
    """
    raw = memoryview(np.asarray(token_ids, np.int64).tobytes())
    n_bytes, begin = 8 * block_tokens, 8 * start
    digest = hashlib.blake2b(raw[:begin], digest_size=16)
    digests = []
    for end in range(begin + n_bytes, len(raw) + 1, n_bytes):
        digest.update(raw[end - n_bytes : end])
        digests.append(digest.digest())
    return digests
