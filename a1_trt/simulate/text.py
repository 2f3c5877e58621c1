"""The text of a script, for the schedulers and strategies that want to see some, in virtual time.

A chain's first token is a mark that names its problem, every segment starts with one that names its sample and turn;
the rest is filler. Each mark and each boxed answer is one token, and so are both together, so that lengths are as the
script has them.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from a1_trt.core.scheduler.seeds import call_seed
from a1_trt.engine import Generation
from a1_trt.errors import InvalidRequestError
from a1_trt.simulate.workload import Script
from a1_trt.types import Problem

_PIECES = re.compile(r"⟦(\d+)⟧(?:\\boxed\{(\d+)\})?|\\boxed\{(\d+)\}|.", re.DOTALL)
_MARK, _BOX, _BOTH = 0x200000, 0x40000000, 0x80000000
_ANSWERS = 1000


@dataclass(frozen=True, slots=True)
class ScriptTokenizer:
    r"""One token a character, a mark ⟦n⟧, an answer \boxed{n}, or a mark and an answer.

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
    mark, marked_answer, answer = piece.groups()
    if answer is not None:
        return _BOX + int(answer)
    if marked_answer is not None:
        return _BOTH + int(mark) * _ANSWERS + int(marked_answer)
    return ord(piece[0]) if mark is None else _MARK + int(mark)


def _text(token: int) -> str:
    if token >= _BOTH:
        mark, answer = divmod(token - _BOTH, _ANSWERS)
        return f"⟦{mark}⟧\\boxed{{{answer}}}"
    if token >= _BOX:
        return f"\\boxed{{{token - _BOX}}}"
    return f"⟦{token - _MARK}⟧" if token >= _MARK else chr(token)


def script_problem(number: int, n_tokens: int) -> Problem:
    """A problem whose prompt has `n_tokens` tokens in the template ``{problem}`` and whose name is its number.

    Example:
        >>> len(ScriptTokenizer().encode(script_problem(3, 10).text))
        10
    """
    return Problem(f"⟦{number}⟧" + "p" * (n_tokens - 1), id=str(number))


@dataclass(frozen=True)
class ScriptText:
    """The model inside a simulated engine, which follows the scripts of a workload.

    Args:
        scripts: By problem.
        prompts: Tokens of each problem's prompt.
        seed: Seed of the run; which sample a call is for is known from its own seed.
        max_turns: Longest chain.
        alone_tokens: Longest chain that is written in one call; shorter calls write segments.
    """

    scripts: Sequence[Sequence[Script]]
    prompts: Sequence[int]
    seed: int
    max_turns: int
    alone_tokens: int
    tokenizer: ScriptTokenizer = ScriptTokenizer()

    def __post_init__(self) -> None:
        found: dict[int, tuple[int, int, int, str]] = {}
        for problem, samples in enumerate(self.scripts):
            for sample in range(len(samples)):
                for turn in range(self.max_turns):
                    for kind in ("draft", "takeover"):
                        found[call_seed(self.seed, str(problem), sample, turn, kind)] = (problem, sample, turn, kind)
        object.__setattr__(self, "_calls", found)

    _calls: Mapping[int, tuple[int, int, int, str]] = None  # type: ignore[assignment]

    def generate(self, prompt: Sequence[int], *, max_tokens: int, temperature: float, seed: int) -> Generation:
        """The script's next segment."""
        if seed not in self._calls:
            raise InvalidRequestError(f"no call of the script has the seed {seed}", field="seed")
        problem, sample, turn, kind = self._calls[seed]
        script, written = self.scripts[problem][sample], len(prompt) - self.prompts[problem]
        if not written and max_tokens >= self.alone_tokens:
            n_tokens, ends = script.alone(max_tokens)
        else:
            n_tokens, ends = (script.draft if kind == "draft" else script.target)(turn, written, max_tokens)
        ends = ends and n_tokens < max_tokens
        mark = (sample << 10) + turn
        ids = [_MARK + mark] + [ord("x")] * (n_tokens - 1) if n_tokens else []
        if ends and ids:
            answer = self._answer(problem, sample)
            ids[-1] = _BOX + answer if len(ids) > 1 else _BOTH + mark * _ANSWERS + answer
        return Generation(tuple(ids), ended=ends)

    def score(self, prompt: Sequence[int], segment: Sequence[int]) -> list[float]:
        """As strange as the script says; the segment's mark says which sample and turn it is."""
        problem = prompt[0] - _MARK
        mark = (segment[0] - _BOTH) // _ANSWERS if segment[0] >= _BOTH else segment[0] - _MARK
        score = self.scripts[problem][mark >> 10].score(mark & 1023)
        return [-math.log(score)] * len(segment)

    def _answer(self, problem: int, sample: int) -> int:
        digest = hashlib.blake2b(f"{problem} {sample}".encode(), digest_size=2).digest()
        return int.from_bytes(digest, "big") % _ANSWERS
