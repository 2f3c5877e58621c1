"""A request is checked once in a process, whichever way it comes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from a1_trt import requests
from a1_trt.client import AsyncClient
from a1_trt.openai_server.chat import read_request
from a1_trt.runtime import virtual_time
from a1_trt.runtime.session import Session

Make = Callable[..., Session]


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The arguments of every check."""
    calls: list[dict[str, Any]] = []
    current = requests.current

    def counted(given: Mapping[str, Any]) -> dict[str, Any]:
        calls.append(dict(given))
        return current(given)

    monkeypatch.setattr(requests, "current", counted)
    return calls


def test_solve_checks_once(session: Make, checks: list[dict[str, Any]]) -> None:
    async def main() -> None:
        async with AsyncClient(session()) as client:
            await client.solve("What?", n_samples=3)

    virtual_time.run(main())
    assert checks == [{"n_samples": 3}]


def test_solve_many_checks_once_for_all_problems(session: Make, checks: list[dict[str, Any]]) -> None:
    async def main() -> int:
        async with AsyncClient(session()) as client:
            return len(await client.solve_many(["a", "b", "c"], n_samples=3))

    assert virtual_time.run(main()) == 3
    assert checks == [{"n_samples": 3}]


def test_a_chat_request_is_checked_once_from_its_body_to_its_result(
    session: Make, checks: list[dict[str, Any]]
) -> None:
    body = {
        "model": "p",
        "messages": [{"role": "user", "content": "What?"}],
        "n": 2,
        "max_tokens": 90,
        "a1": {"alpha": 0.3, "n_samples": 3},
    }

    async def main() -> int:
        opened = session()
        request = read_request(json.dumps(body).encode(), opened.pair.parameters(), "p")
        assert (request.parameters.early_stop, request.parameters.max_chain_tokens) == (False, 90)
        async with AsyncClient(opened) as client:
            return len([event async for event in client.events(request.problem, request.options)])

    assert virtual_time.run(main()) > 1
    assert len(checks) == 1
