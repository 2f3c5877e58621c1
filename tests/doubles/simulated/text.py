"""What a simulated model writes and thinks: pure functions of seed and prompt."""

from __future__ import annotations

import hashlib
import random
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from a1_trt.engine import Generation, Tokenizer

_LETTERS = "abcdefghijklmnopqrstuvwxyz      "
_MARK = re.compile(r"⟦(\d+)/(\d+) [a-z]+⟧")


class SimulatedText(Protocol):
    """The model inside a simulated engine."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of its ids."""

    def generate(self, prompt: Sequence[int], *, max_tokens: int, temperature: float, seed: int) -> Generation:
        """What it writes after `prompt`; the engine cuts it at `max_tokens`. Same arguments, same tokens."""

    def score(self, prompt: Sequence[int], segment: Sequence[int]) -> list[float]:
        """Natural-log probability of every token of `segment` after `prompt`, float64[n_segment]."""


@dataclass(frozen=True, slots=True)
class CharacterTokenizer:
    """One token a character; different fingerprints number the characters differently.

    Example:
        >>> one, other = CharacterTokenizer("one"), CharacterTokenizer("other")
        >>> one.decode(one.encode("2 + 2")), one.encode("2") == other.encode("2")
        ('2 + 2', False)
    """

    fingerprint: str = "character"
    _shift: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        digest = hashlib.blake2b(self.fingerprint.encode(), digest_size=3).digest()
        object.__setattr__(self, "_shift", int.from_bytes(digest, "big"))

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """Token ids of `text`; there are no special tokens."""
        return [ord(character) + self._shift for character in text]

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of token ids; what is no character shows as U+FFFD."""
        codes = (token - self._shift for token in token_ids)
        return "".join(chr(code) if 0 <= code < 0x110000 else "\ufffd" for code in codes)

    def chat(self, system: str, user: str) -> str:
        """A plain template."""
        return f"{system}\n\n{user}\n\n" if system else f"{user}\n\n"


@dataclass(frozen=True, slots=True)
class RandomText:
    r"""Random letters in segments, a boxed answer after a random number of them.

    Every segment starts with a mark such as ⟦2/5 qzkfwd⟧, second segment of five and a name, which is all the state
    there is: any model that reads the chain goes on from it. The number of segments is drawn with the first one; the
    last one holds ``\boxed{...}`` and ends. The name decides how probable the segment is as a whole, so perplexities
    differ from segment to segment and are independent; the log-probs of single tokens scatter about that.

    Args:
        tokenizer: The tokenizer of its ids; one token a character.
        seed: What makes this model another one than the next.
        segments: Fewest and most segments of a chain, equally likely.
        segment_tokens: Median length of a segment before the last, as if a stop word ended it; None: up to the limit.
        answer_tokens: Median length of the last segment, answer included.
        spread: Sigma of these lengths, which are log-normal; 0 makes them all alike.
        answers: What it may answer; the first one is right.
        accuracy: Chance of the right answer; the wrong ones are equally likely.
        nll: Median over the segments of the mean negative log-likelihood per token.
        nll_spread: Sigma of these means, which are log-normal.

    Example:
        >>> text = RandomText(segments=(1, 1), accuracy=1.0)
        >>> written = text.generate([1], max_tokens=500, temperature=0.8, seed=3)
        >>> written.ended, text.tokenizer.decode(written.token_ids)[-10:]
        (True, '\\boxed{42}')
    """

    tokenizer: CharacterTokenizer = CharacterTokenizer()
    seed: int = 0
    segments: tuple[int, int] = (2, 8)
    segment_tokens: int | None = None
    answer_tokens: int = 100
    spread: float = 0.5
    answers: tuple[str, ...] = ("42", "41", "43", "7")
    accuracy: float = 0.6
    nll: float = 0.5
    nll_spread: float = 0.5

    def generate(self, prompt: Sequence[int], *, max_tokens: int, temperature: float, seed: int) -> Generation:
        """The next segment of the chain in `prompt`; greedy sampling (temperature 0) takes no notice of the seed."""
        chance = self._chance(seed if temperature > 0 else 0, prompt)
        drawn = chance.randint(*self.segments)
        found = _MARK.match(self.tokenizer.decode(prompt[self._last_mark(prompt) :]))
        step, last = (int(found[1]) + 1, int(found[2])) if found else (1, drawn)
        mark = f"⟦{step}/{last} {''.join(chance.choices(_LETTERS[:26], k=6))}⟧"
        right = chance.random() < self.accuracy or len(self.answers) == 1
        answer = self.answers[0] if right else chance.choice(self.answers[1:])
        stretch = chance.lognormvariate(0.0, self.spread)
        if step < last:
            length = max_tokens if self.segment_tokens is None else round(self.segment_tokens * stretch)
            return Generation(self._ids(mark, chance, length, ""), ended=False)
        # The end-of-text token needs room, too.
        length = min(round(self.answer_tokens * stretch), max_tokens - 1)
        return Generation(self._ids(mark, chance, length, f"\\boxed{{{answer}}}"), ended=True)

    def score(self, prompt: Sequence[int], segment: Sequence[int]) -> list[float]:
        """Log-probs; each depends on the tokens up to its own, as those of a language model do."""
        tokens = [*prompt[self._last_mark(prompt) :], *segment]
        chance, rate, mark = random.Random(self.seed), 1.0 / self.nll, ""  # noqa: S311  reproducible on purpose
        values = []
        for character in self.tokenizer.decode(tokens):
            if mark or character == "⟦":
                mark = character if character == "⟦" else mark + character
                values.append(-self.nll)
            else:
                values.append(-chance.expovariate(rate))
            if mark and character == "⟧":
                chance.seed(f"{self.seed} {mark}")
                rate = 1.0 / (self.nll * chance.lognormvariate(0.0, self.nll_spread))
                mark = ""
        return values[-len(segment) :]

    def _ids(self, mark: str, chance: random.Random, length: int, answer: str) -> tuple[int, ...]:
        letters = "".join(chance.choices(_LETTERS, k=max(0, length - len(mark) - len(answer))))
        return tuple(self.tokenizer.encode(mark + letters + answer))

    def _last_mark(self, tokens: Sequence[int]) -> int:
        """Where the last mark starts; 0 where there is none."""
        (opening,) = self.tokenizer.encode("⟦")
        return next((i for i in range(len(tokens) - 1, -1, -1) if tokens[i] == opening), 0)

    def _chance(self, seed: int, tokens: Sequence[int]) -> random.Random:
        digest = hashlib.blake2b(array("q", tokens).tobytes(), digest_size=8)
        return random.Random(f"{self.seed} {seed} {digest.hexdigest()}")  # noqa: S311  reproducible on purpose
