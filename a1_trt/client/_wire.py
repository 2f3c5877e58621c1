"""What a request and a response of the served model look like, whatever carries them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from a1_trt.errors import A1Error, EngineError, InvalidRequestError, from_wire
from a1_trt.requests import INPUTS
from a1_trt.types import Event, Problem, ProblemFinished
from a1_trt.wire import event_from_dict

MODEL = "a1"

DATATYPES = {name: {"STRING": "BYTES"}.get(kind, kind) for name, kind in INPUTS.items()}
"""Input tensors of the served model as requests name their types: a text is BYTES there."""


def tensors_of(problem: Problem, given: Mapping[str, Any], *, live: bool) -> dict[str, Any]:
    """Input tensor name -> value.

    Args:
        problem: The problem, of which a server sees the text.
        given: Parameters that are not left to the server's pair.
        live: See `Transport`.

    Raises:
        InvalidRequestError: A parameter that a server takes from its pair file alone.
    """
    for name in given:
        if name not in DATATYPES:
            raise InvalidRequestError(
                f"{name} cannot be set for a request to a server", field=name, remedy="set it in the server's pair file"
            )
    return {"problem": problem.text, **given, "stream": live, "return_trajectories": True}


def events_of(text: str | bytes, problem: Problem) -> Iterator[Event]:
    """The event in an "event" tensor, none where it is empty; a result gets back its problem as the caller gave it."""
    if text:
        event = event_from_dict(json.loads(text))
        yield ProblemFinished(replace(event.result, problem=problem)) if isinstance(event, ProblemFinished) else event


def typed_error(text: str) -> A1Error:
    """The typed error in a server's words, or an `EngineError` with those words."""
    return from_wire(text) or EngineError(f"the server failed: {text}", remedy="see the server's log")
