"""Events and results as JSON-ready dictionaries, and back. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from a1_trt.errors import A1Error, from_wire
from a1_trt.types import (
    Event,
    Problem,
    ProblemFinished,
    Result,
    SampleEnd,
    SampleFinished,
    Segment,
    SegmentScored,
    SegmentUnscored,
    SegmentWritten,
    Trajectory,
    Turn,
    Usage,
)

_DECISION = ("score", "p_value", "takeover", "forced", "unscored")
_NAMES: dict[type, str] = {
    SegmentWritten: "segment", SegmentScored: "score", SegmentUnscored: "unscored", SampleFinished: "sample",
    ProblemFinished: "result",
}  # fmt: skip


def event_to_dict(event: Event, *, trajectories: bool = True) -> dict[str, Any]:
    """An event as a dictionary with its kind under "event".

    Example:
        >>> event_to_dict(SampleFinished(3, SampleEnd.ANSWERED, "42"))
        {'event': 'sample', 'sample': 3, 'end': 'answered', 'answer': '42'}
    """
    name = _NAMES[type(event)]
    if isinstance(event, ProblemFinished):
        return {"event": name, **result_to_dict(event.result, trajectories=trajectories)}
    if isinstance(event, SegmentWritten):
        return {"event": name, "sample": event.sample, "turn": event.turn, "segment": _segment_to_dict(event.segment)}
    values = {key: str(value) if isinstance(value, SampleEnd) else value for key, value in asdict(event).items()}
    return {"event": name, **values}


def event_from_dict(document: dict[str, Any]) -> Event:
    """The event that `event_to_dict` wrote."""
    values = {key: value for key, value in document.items() if key != "event"}
    kind = document["event"]
    if kind == "segment":
        return SegmentWritten(values["sample"], values["turn"], _segment_from_dict(values["segment"]))
    if kind == "score":
        return SegmentScored(**values)
    if kind == "unscored":
        return SegmentUnscored(**values)
    if kind == "sample":
        return SampleFinished(values["sample"], SampleEnd(values["end"]), values["answer"])
    return ProblemFinished(result_from_dict(values))


def result_to_dict(result: Result, *, trajectories: bool = True) -> dict[str, Any]:
    """A result as a dictionary; token ids are left out, and whole chains where they are not wanted."""
    return {
        "problem": asdict(result.problem),
        "answer": result.answer,
        "votes": [list(vote) for vote in result.votes],
        "rejection_rate": result.rejection_rate,
        "usage": asdict(result.usage),
        "wall_s": result.wall_s,
        "trajectories": list(map(_trajectory_to_dict, result.trajectories)) if trajectories else [],
    }


def result_from_dict(document: dict[str, Any]) -> Result:
    """The result that `result_to_dict` wrote."""
    return Result(
        problem=Problem(**document["problem"]),
        answer=document["answer"],
        votes=tuple((answer, int(n)) for answer, n in document["votes"]),
        trajectories=tuple(map(_trajectory_from_dict, document["trajectories"])),
        usage=Usage(**document["usage"]),
        wall_s=document["wall_s"],
    )


def _segment_to_dict(segment: Segment) -> dict[str, Any]:
    return {"role": segment.role, "text": segment.text, "n_tokens": segment.n_tokens, "ended": segment.ended}


def _segment_from_dict(document: dict[str, Any]) -> Segment:
    return Segment(document["role"], document["text"], document["n_tokens"], ended=document["ended"])


def _turn_to_dict(turn: Turn) -> dict[str, Any]:
    segments = [_segment_to_dict(segment) for segment in turn.segments]
    return {"segments": segments, **{key: getattr(turn, key) for key in _DECISION}}


def _trajectory_to_dict(trajectory: Trajectory) -> dict[str, Any]:
    return {
        "sample": trajectory.sample,
        "end": trajectory.end.value,
        "answer": trajectory.answer,
        "error": trajectory.error.to_wire() if trajectory.error else None,
        "turns": list(map(_turn_to_dict, trajectory.turns)),
    }


def _trajectory_from_dict(document: dict[str, Any]) -> Trajectory:
    turns = tuple(
        Turn(tuple(map(_segment_from_dict, turn["segments"])), **{key: turn[key] for key in _DECISION})
        for turn in document["turns"]
    )
    line = document["error"]
    error = (from_wire(line) or A1Error(line)) if line else None
    return Trajectory(document["sample"], turns, SampleEnd(document["end"]), document["answer"], error)
