"""The scripts of a simulated workload as text, for the real scheduler, driver and session in virtual time.

A chain's first token is a mark that names its problem, every segment has one that names its sample, turn and writer;
the rest is filler. Each mark and each boxed answer is one token, and so are both together, so that lengths are as the
script has them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from a1_trt.core.scheduler.seeds import call_seed
from a1_trt.engine import Generation
from a1_trt.errors import InvalidRequestError
from a1_trt.simulate.text import calm_tokens
from a1_trt.simulate.workload import Workload

_PIECES = re.compile(r"⟦(\d+)⟧|\\boxed\{(\d+)\}(?:⟦(\d+)⟧)?|.", re.DOTALL)
_MARK, _BOX, _BOTH = 0x200000, 0x40000000, 0x80000000
_ANSWERS = 1000
_CALM = 0.4
"""Log-probs before the surprise, as a share of their mean: above half of the lowest one, as the others cannot be."""


@dataclass(frozen=True, slots=True)
class ScriptTokenizer:
    r"""One token a character, a mark ⟦n⟧, an answer \boxed{n}, or an answer and a mark.

    Example:
        >>> tokenizer = ScriptTokenizer()
        >>> len(tokenizer.encode("⟦12⟧ab")), tokenizer.decode(tokenizer.encode("⟦12⟧ab\\boxed{7}"))
        (3, '⟦12⟧ab\\boxed{7}')
    """

    fingerprint: str = "script"

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """Token ids of `text`."""
        return [_token(piece) for piece in _PIECES.finditer(text)]

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of token ids."""
        return "".join(_text(token) for token in token_ids)

    def chat(self, system: str, user: str) -> str:
        """A plain template."""
        return f"{system}\n\n{user}\n\n" if system else f"{user}\n\n"


def _token(piece: re.Match[str]) -> int:
    mark, answer, answer_mark = piece.groups()
    if answer_mark is not None:
        return _BOTH + int(answer_mark) * _ANSWERS + int(answer)
    if answer is not None:
        return _BOX + int(answer)
    return ord(piece[0]) if mark is None else _MARK + int(mark)


def _text(token: int) -> str:
    if token >= _BOTH:
        mark, answer = divmod(token - _BOTH, _ANSWERS)
        return f"\\boxed{{{answer}}}⟦{mark}⟧"
    if token >= _BOX:
        return f"\\boxed{{{token - _BOX}}}"
    return f"⟦{token - _MARK}⟧" if token >= _MARK else chr(token)


@dataclass(frozen=True)
class ScriptText:
    """The model inside a simulated engine, which follows the scripts of a workload.

    Args:
        workload: The scripts.
        seed: Seed of the run; which sample a call is for is known from its own seed.
        max_turns: Longest chain.
        alone: Chains are written in one call.
    """

    workload: Workload
    seed: int
    max_turns: int
    alone: bool = False
    tokenizer: ScriptTokenizer = ScriptTokenizer()

    def __post_init__(self) -> None:
        calls: dict[int, tuple[int, int, int, str]] = {}
        for problem, samples in enumerate(self.workload.scripts):
            for sample in range(len(samples)):
                for turn in range(self.max_turns):
                    for kind in ("draft", "takeover"):
                        calls[call_seed(self.seed, str(problem), sample, turn, kind)] = (problem, sample, turn, kind)
        object.__setattr__(self, "_calls", calls)

    _calls: Mapping[int, tuple[int, int, int, str]] = None  # type: ignore[assignment]

    def generate(self, prompt: Sequence[int], *, max_tokens: int, temperature: float, seed: int) -> Generation:
        """The script's next segment."""
        if seed not in self._calls:
            raise InvalidRequestError(f"no call of the script has the seed {seed}", field="seed")
        problem, sample, turn, kind = self._calls[seed]
        script, written = self.workload.scripts[problem][sample], len(prompt) - self.workload.prompts[problem]
        if self.alone:
            n_tokens, ends = script.alone(max_tokens)
        else:
            n_tokens, ends = (script.draft if kind == "draft" else script.target)(turn, written, max_tokens)
        mark = (sample << 10) + 2 * turn + (kind == "takeover")
        ids = [_MARK + mark] + [ord("x")] * (n_tokens - 1) if n_tokens else []
        if ends and ids:
            answer = self.workload.answer(problem, sample)
            ids[-1] = _BOX + answer if len(ids) > 1 else _BOTH + mark * _ANSWERS + answer
        return Generation(tuple(ids), ended=ends and n_tokens < max_tokens)

    def score(self, prompt: Sequence[int], segment: Sequence[int]) -> list[float]:
        """As strange as the script says; the segment's mark says which sample and turn it is."""
        problem, n = prompt[0] - _MARK, len(segment)
        mark = (segment[0] - _BOTH) // _ANSWERS if segment[0] >= _BOTH else segment[0] - _MARK
        sample, turn = mark >> 10, (mark & 1023) // 2
        mean = -math.log(self.workload.scripts[problem][sample].score(turn))
        calm = calm_tokens(problem, sample, turn, n)
        return [_CALM * mean] * calm + [mean * (n - _CALM * calm) / (n - calm)] * (n - calm)
