"""Token-level speculative decoding by the engine itself: the library peer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Protocol, runtime_checkable

from a1_trt.benchmarks.strategies.context import Solve, StrategyContext
from a1_trt.benchmarks.strategies.session_strategy import in_session
from a1_trt.engine import Engine
from a1_trt.errors import ConfigError


@runtime_checkable
class DecodesWithDraft(Protocol):
    """A target engine that can decode with a draft's proposals."""

    async def with_draft(self, draft: Engine) -> Engine:
        """Another engine of the same model that proposes tokens with the draft's model and checks them with its own."""


@asynccontextmanager
async def token_by_token(context: StrategyContext) -> AsyncIterator[Solve]:
    """Self-consistency of the target, which decodes speculatively."""
    draft, target = context.engines["draft"], context.engines["target"]
    if draft.tokenizer.fingerprint != target.tokenizer.fingerprint:
        raise ConfigError(
            "token-level speculative decoding needs one tokenizer for draft and target, and these have two",
            field="strategies",
            remedy="leave token-speculative out for this pair",
        )
    if not isinstance(target, DecodesWithDraft):
        raise ConfigError(
            f"the target's engine, {type(target).__name__}, has no token-level speculative decoding",
            field="strategies",
            remedy="leave token-speculative out, or use an engine that has it",
        )
    engine = await target.with_draft(draft)
    try:
        async with in_session(replace(context, engines={**context.engines, "target": engine})) as solve:
            yield solve
    finally:
        await engine.aclose()
