"""A line for each sample of a solved problem, with everything that was written, scored and decided."""

from collections.abc import Mapping
from typing import Any

from a1_trt.types import ROLES, Result, Turn


def sample_lines(
    result: Result, right: Mapping[str | None, bool], groups: Mapping[str, str], alpha: float | None
) -> list[dict[str, Any]]:
    """The lines of records.jsonl; `alpha` is what p-values were compared with, None where it moves by turn."""
    level = {} if alpha is None else {"alpha": alpha}
    return [
        {
            "problem_id": result.problem.id,
            "problem_key": result.problem.key,
            "sample": chain.sample,
            "answer": chain.answer,
            "correct": right[chain.answer],
            "end": chain.end.value,
            **groups,
            **level,
            **({"error": chain.error.to_wire()} if chain.error else {}),
            "turns": [_turn(turn) for turn in chain.turns],
        }
        for chain in result.trajectories
    ]


def _turn(turn: Turn) -> dict[str, Any]:
    return {
        "score": turn.score,
        "p_value": turn.p_value,
        "takeover": turn.takeover,
        "forced": turn.forced,
        "unscored": turn.unscored,
        **{f"{role}_tokens": sum(s.n_tokens for s in turn.segments if s.role == role) for role in ROLES},
        "text": "".join(segment.text for segment in turn.segments),
        "segments": [
            {"role": segment.role, "n_chars": len(segment.text), "n_tokens": segment.n_tokens, "ended": segment.ended}
            for segment in turn.segments
        ],
    }
