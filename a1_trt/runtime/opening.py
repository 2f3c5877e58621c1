"""What a session stands on: the engines of a pair, its controller, and the ledgers of its prompts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from a1_trt.config import Pair
from a1_trt.core.conformal import Controller
from a1_trt.core.reasoning import prompts
from a1_trt.engine import Engine, Tokenizer, TokenLedger
from a1_trt.locations import find_checkpoint
from a1_trt.pair_sections import RoleConfig
from a1_trt.runtime.calibration import CalibrationWriter, controller_of, provenance_of, stored_log
from a1_trt.types import ROLES, Role


async def open_engines(
    pair: Pair, *, url: str | None = None, replicas: Mapping[Role, Sequence[str]] | None = None
) -> dict[Role, Engine]:
    """The pair's engines, one a role; whoever opens them closes them. See `open_session`."""
    engines: dict[Role, Engine] = {}
    try:
        for role in ROLES:
            addresses = _addresses(pair, role, url, replicas or {})
            engines[role] = await (_remote(pair, role, addresses) if addresses else _local(pair, role))
    except BaseException:
        for engine in engines.values():
            await engine.aclose()
        raise
    return engines


def open_controller(pair: Pair) -> tuple[Controller, CalibrationWriter | None]:
    """The pair's controller in the state of its calibration file, and a writer if it keeps its decisions there."""
    path = pair.calibration_path()
    if path is None or not pair.conformal.keep:
        return controller_of(pair, stored_log(pair)), None
    writer = CalibrationWriter(path, provenance_of(pair))
    try:
        return controller_of(pair, writer.log), writer
    except BaseException:
        writer.close()
        raise


async def _local(pair: Pair, role: Role) -> Engine:
    # Adapters are imported where they are wanted: each needs packages that the others do not.
    if pair.role(role).engine == "tensorrt_llm":
        from a1_trt.backends.tensorrt_llm import TensorRtLlmEngine

        return await TensorRtLlmEngine.for_pair(pair, role)
    from a1_trt.backends.openvino import OpenVinoEngine

    return await asyncio.to_thread(OpenVinoEngine.for_pair, pair, role)


def _addresses(pair: Pair, role: Role, url: str | None, replicas: Mapping[Role, Sequence[str]]) -> Sequence[str]:
    """Where a role is served; nowhere if it is to be loaded into this process."""
    own = pair.serving.replicas(role) if url else ()
    return own or replicas.get(role) or ([url] if url else [])


async def _remote(pair: Pair, role: Role, addresses: Sequence[str]) -> Engine:
    from a1_trt.backends.replicated import Replicated
    from a1_trt.backends.triton import TritonEngine

    tokenizer, max_context_tokens, end_ids = await asyncio.to_thread(_metadata, pair, role)
    context_logits = role == "target" and pair.role(role).gpu.scoring == "context_logits"

    def engine(address: str) -> TritonEngine:
        server, _, model = address.removeprefix("grpc://").partition("/")
        return TritonEngine(
            server, model or role, tokenizer, role=role, max_context_tokens=max_context_tokens, end_ids=end_ids,
            context_logits=context_logits, cancel=pair.serving.cancel,
        )  # fmt: skip

    engines = [engine(address) for address in addresses]
    return engines[0] if len(engines) == 1 else Replicated(engines)


def _metadata(pair: Pair, role: Role) -> tuple[Tokenizer, int, list[int]]:
    """Local metadata of a remote model: tokenizer, context length, end-of-text tokens."""
    config = pair.role(role)
    if config.engine == "tensorrt_llm":
        from a1_trt.backends.tensorrt_llm import ModelShape, TransformersTokenizer

        place = find_checkpoint(config.model, pair.path, role)
        checkpoint = TransformersTokenizer.load(place)
        limit = config.max_context_tokens or ModelShape.read(place).max_context_tokens
        return checkpoint, limit, sorted(checkpoint.end_ids)
    path = pair.model_path(role)
    from a1_trt.backends.openvino import OpenVinoTokenizer, context_length

    compiled = OpenVinoTokenizer.load(path)
    return compiled, config.max_context_tokens or context_length(path), compiled.end_ids


def ledgers_of(pair: Pair, engines: Mapping[Role, Engine]) -> dict[Role, TokenLedger]:
    """Fresh ledgers of both roles, which know the pair's prompts and which tokenizers are the same."""
    return {role: _ledger(pair.role(role), role, engines) for role in ROLES}


def _ledger(config: RoleConfig, role: Role, engines: Mapping[Role, Engine]) -> TokenLedger:
    tokenizer = engines[role].tokenizer
    same = frozenset(other for other in ROLES if engines[other].tokenizer.fingerprint == tokenizer.fingerprint)

    def render(problem: str) -> list[int]:
        if config.prompt == prompts.CHAT:
            return tokenizer.encode(tokenizer.chat(config.system, problem))
        return tokenizer.encode(prompts.render(config.prompt, problem), special=True)

    return TokenLedger(tokenizer, render, same)
