"""Workloads from the traces of the published code: what was written then is written again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from a1_trt.benchmarks.traces import TAKEOVER_PERCENTILE, Arrays, read_arrays
from a1_trt.errors import InvalidRequestError
from a1_trt.simulate.workload import Piece, Workload

CHARS_PER_TOKEN = 2.74
"""Characters of a token. The published segments were cut at 500 tokens, and those which did not end their chain have a
median of 1368 characters in the published trace."""

_ARRAYS = (
    *("question", "sample", "turn", "ppl", "percentile", "segment_chars", "continuation_chars"),
    *("sample_question", "sample_index", "sample_turns", "sample_duration_s"),
)


@dataclass(frozen=True, slots=True)
class RecordedTurn:
    """Tokens of the draft's segment and of the target's continuation, and the segment's perplexity (NaN if empty)."""

    draft: int
    target: int
    score: float
    takeover: bool


@dataclass(frozen=True, slots=True)
class RecordedScript:
    """A recorded sample; `other_target` is the length of a continuation where the segment was accepted then.

    Example:
        >>> script = RecordedScript((RecordedTurn(500, 0, 1.4, False), RecordedTurn(90, 0, 1.7, True)), 300)
        >>> script.draft(0, 0, 500), script.draft(1, 500, 500), script.takeover(1)
        (Piece(n_tokens=500, ends=False), Piece(n_tokens=90, ends=True), True)
    """

    turns: tuple[RecordedTurn, ...]
    other_target: int

    @property
    def last_turn(self) -> int | None:
        return len(self.turns) - 1

    def draft(self, turn: int, written: int, max_tokens: int) -> Piece:
        """The recorded segment; the last one holds the answer unless the target wrote something after it."""
        recorded = self.turns[turn]
        last = turn + 1 == len(self.turns)
        return Piece(min(recorded.draft, max_tokens), last and not recorded.target)

    def target(self, turn: int, written: int, max_tokens: int) -> Piece:
        recorded = self.turns[turn]
        n_tokens = recorded.target if recorded.takeover else self.other_target
        return Piece(max(1, min(n_tokens, max_tokens)), turn + 1 == len(self.turns))

    def alone(self, max_tokens: int) -> Piece:
        """As long as the recorded chain: what the target would have written alone is not in the trace."""
        n_tokens = max(1, sum(turn.draft + turn.target for turn in self.turns))
        return Piece(min(n_tokens, max_tokens), n_tokens < max_tokens)

    def score(self, turn: int) -> float:
        return self.turns[turn].score

    def takeover(self, turn: int) -> bool | None:
        return self.turns[turn].takeover


def trace_workload(
    path: Path, n_problems: int | None = None, n_samples: int | None = None, *, chars_per_token: float = CHARS_PER_TOKEN
) -> Workload:
    """The samples of a published trace as scripts; more problems or samples than it has are its own over again."""
    if not 0.1 <= chars_per_token <= 100:
        raise InvalidRequestError(f"chars_per_token is {chars_per_token}", field="chars_per_token", remedy="try 3")
    chains = _chains(read_arrays(path, _ARRAYS), chars_per_token)
    taken = [turn.target for samples in chains for turns in samples for turn in turns if turn.takeover and turn.target]
    other = round(sum(taken) / len(taken)) if taken else 1
    scripts = tuple(
        tuple(
            RecordedScript(chains[problem % len(chains)][sample % len(chains[problem % len(chains)])], other)
            for sample in range(n_samples or len(chains[problem % len(chains)]))
        )
        for problem in range(n_problems or len(chains))
    )
    about = {"trace": path.name, "problems_in_trace": len(chains), "chars_per_token": chars_per_token}
    return Workload("trace", (150,) * len(scripts), scripts, {**about, "prompt_tokens": 150})


def _chains(arrays: Arrays, ratio: float) -> list[list[tuple[RecordedTurn, ...]]]:
    """The turns of each sample of each question, in order."""
    chains: dict[int | str, dict[int, list[RecordedTurn]]] = {}
    for row in np.lexsort((arrays["turn"], arrays["sample"], arrays["question"])):
        takeover = bool(arrays["percentile"][row] >= TAKEOVER_PERCENTILE)
        turn = RecordedTurn(
            draft=math.ceil(max(0, int(arrays["segment_chars"][row])) / ratio),
            target=math.ceil(max(0, int(arrays["continuation_chars"][row])) / ratio) if takeover else 0,
            score=float(arrays["ppl"][row]),
            takeover=takeover,
        )
        question = chains.setdefault(arrays["question"][row].item(), {})
        question.setdefault(int(arrays["sample"][row]), []).append(turn)
    return [[tuple(turns) for turns in samples.values()] for samples in chains.values()]


def durations(path: Path) -> list[list[float]]:
    """The recorded wall seconds of each sample, by question."""
    arrays = read_arrays(path, _ARRAYS)
    by_question: dict[int | str, list[float]] = {}
    order = np.lexsort((arrays["sample_index"], arrays["sample_question"]))
    for row in order:
        duration_s = float(arrays["sample_duration_s"][row])
        if not 0 <= duration_s < 1e9:
            raise InvalidRequestError(f"a duration is {duration_s} s", field="sample_duration_s")
        by_question.setdefault(arrays["sample_question"][row].item(), []).append(duration_s)
    return list(by_question.values())
