"""A session on simulated engines, to talk to through the client in virtual time."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from a1_trt.config import make_pair
from a1_trt.runtime.session import Session
from tests.doubles.simulated import Fault, RandomText, SimulatedEngine

PAIR = make_pair(
    {
        "name": "simulated",
        "draft": {"model": "none", "sampling": {"segment_tokens": 40}},
        "target": {"model": "none", "sampling": {"segment_tokens": 40}},
        "scheduler": {"n_samples": 4, "max_turns": 8},
    }
)


@pytest.fixture
def session() -> Callable[..., Session]:
    """Makes a session; `faults` disturb both of its engines."""

    def make(faults: Fault | None = None) -> Session:
        text = RandomText(segment_tokens=20, segments=(1, 3))
        return Session(
            PAIR,
            {
                "draft": SimulatedEngine("draft", text=text, faults=faults),
                "target": SimulatedEngine("target", text=text, faults=faults),
            },
        )

    return make


@pytest.fixture
def unused_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
