"""A call of the scheduler as lengths and times, for a fleet of simulated engines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from a1_trt.simulate.engine_model.chain_cache import Chain
from a1_trt.simulate.engine_model.sequences import Sequence as Request
from a1_trt.types import CallKind, Role


@dataclass(slots=True, eq=False)
class FleetCall:
    """A call to be carried out.

    Args:
        n_prompt: Tokens of the problem's prompt, which the samples of a problem share.
        n_before: Tokens of prompt and chain that it starts from.
        n_new: Tokens it will generate, in so many iterations (`steps`); once cancelled, those that it got.
        max_tokens: The most it may generate.
        n_scored: Tokens it scores.
        wanted_s: When it was asked for; `started_s` when an engine got it, `ended_s` when it was over.
        engine: Which engine of the role does it; -1 while it waits.
        request: What the engine's batch knows of it.
    """

    role: Role
    kind: CallKind
    problem: int
    sample: int
    turn: int
    n_prompt: int
    n_before: int
    n_new: int = 0
    steps: int = 0
    max_tokens: int = 0
    n_scored: int = 0
    on_end: Callable[[FleetCall], None] | None = None
    wanted_s: float = 0.0
    started_s: float = 0.0
    ended_s: float = 0.0
    engine: int = -1
    request: Request | None = None
    end: Literal["done", "cancelled"] | None = None


def request_of(call: FleetCall) -> Request:
    n_tokens = call.n_before + call.n_scored
    chain = Chain(call.problem, call.sample, call.n_prompt, n_tokens)
    grown = chain._replace(n_tokens=n_tokens + max(0, min(call.n_new, call.steps - 1)))
    return Request(
        chain,
        n_tokens,
        reusable_tokens=call.n_before - 1,
        total_tokens=n_tokens + call.max_tokens,
        n_new=call.n_new,
        steps=call.steps,
        scored_tokens=call.n_scored,
        written=lambda: grown,
        owner=call,
    )


def call_document(call: FleetCall) -> dict[str, object]:
    """A call that is over, as runs record it (`a1_trt.benchmarks.strategies`)."""
    done = call.end == "done"
    names = "role", "kind", "problem", "sample", "turn", "wanted_s", "started_s", "ended_s"
    return {
        **{name: getattr(call, name) for name in names},
        "n_prompt_tokens": call.n_before,
        "n_new_tokens": call.n_new if done else 0,
        "n_scored_tokens": call.n_scored if done else 0,
        "end": call.end,
    }
