"""How long, how many and how much at once: the limits of an engine, derived from the pair."""

import math
from dataclasses import dataclass, field
from typing import Literal

from a1_trt.build.hardware import ModelDimensions
from a1_trt.config import Pair
from a1_trt.errors import ConfigError
from a1_trt.types import Role

Profile = Literal["tensorrt", "pytorch"]
Scoring = Literal["additional_output", "context_logits", "external_draft"]

TOKENS_PER_BLOCK = 32  # tokens in a block of the KV cache; the default of TensorRT-LLM
PROMPT_TOKENS = 1024  # room for a problem and the words around it
FOREIGN_TEXT = 1.25  # how many tokens a text of another model's tokenizer may take, over its own number. An assumption.
CHUNK_TOKENS = 4096  # prompt tokens that go through a model at once, where prompts may be cut into chunks
SCORINGS: dict[Profile, tuple[Scoring, ...]] = {
    "pytorch": ("additional_output", "context_logits"),
    "tensorrt": ("external_draft", "context_logits"),
}
"""Ways to score in each profile, the cheapest first."""


@dataclass(frozen=True, slots=True)
class Sizes:
    max_seq_len: int  # prompt plus generation, tokens
    max_batch_size: int  # requests at once
    max_num_tokens: int  # that go through the model at once
    kv_tokens: int  # that the KV cache has to hold, at least
    scoring: Scoring | None = None  # how the target scores; None for a draft
    max_draft_len: int = 0  # longest segment that is passed as a draft; 0 where none is
    why: dict[str, str] = field(default_factory=dict)  # limit -> how it came about


def is_cross_tokenizer(draft: ModelDimensions, target: ModelDimensions) -> bool:
    """Whether segments cross over as text; models of unknown tokenizers count as different."""
    return draft.tokenizer is None or draft.tokenizer != target.tokenizer


def derive(pair: Pair, role: Role, profile: Profile, models: dict[Role, ModelDimensions]) -> Sizes:
    """The limits of a role's engine; ConfigError where the context is too short for one turn."""
    why: dict[str, str] = {}
    factor = FOREIGN_TEXT if is_cross_tokenizer(models["draft"], models["target"]) else 1.0
    max_seq_len, why["max_seq_len"] = _max_seq_len(pair, role, models[role], factor)
    max_batch_size = pair.role(role).max_in_flight
    why["max_batch_size"] = f"{role}.max_in_flight = {max_batch_size}: the scheduler has no more calls in flight"
    if role == "target":
        budget = math.ceil(pair.conformal.alpha * pair.scheduler.n_samples)
        why["max_batch_size"] += (
            f"; a turn of one problem asks for {pair.scheduler.n_samples} scores and about B = {budget} takeovers"
            f" (alpha {pair.conformal.alpha:g} of {pair.scheduler.n_samples} samples)"
        )
    scoring = _scoring(pair, profile) if role == "target" else None
    max_draft_len = _rounded(pair.draft.sampling.segment_tokens * factor, 4) if scoring == "external_draft" else 0
    if max_draft_len:
        why["max_draft_len"] = f"the longest segment of the draft, in tokens of the target: {max_draft_len}"
    max_num_tokens, why["max_num_tokens"] = _max_num_tokens(profile, role, max_seq_len, max_batch_size, max_draft_len)
    kv_tokens = max_batch_size * _rounded(max_seq_len, TOKENS_PER_BLOCK)
    why["kv_tokens"] = f"{max_batch_size} requests x {max_seq_len} tokens, so that none has to be put off"
    return Sizes(max_seq_len, max_batch_size, max_num_tokens, kv_tokens, scoring, max_draft_len, why)


def _max_seq_len(pair: Pair, role: Role, model: ModelDimensions, factor: float) -> tuple[int, str]:
    limit = model.max_context_tokens
    chosen = pair.role(role).max_context_tokens
    if chosen is not None:
        if chosen > limit:
            message = f"{role}.max_context_tokens is {chosen}, {model.name} was made for {limit}"
            remedy = f"choose at most {limit}, or leave the key out"
            raise ConfigError(message, path=str(pair.path), field=f"{role}.max_context_tokens", remedy=remedy)
        return chosen, f"{role}.max_context_tokens"
    turn = max(pair.draft.sampling.segment_tokens, pair.target.sampling.segment_tokens)
    wanted = _rounded(PROMPT_TOKENS + pair.scheduler.max_turns * turn * factor, 256)
    why = f"{PROMPT_TOKENS} of the prompt + {pair.scheduler.max_turns} turns x {turn} tokens"
    if factor > 1:
        why += f" x {factor:g}, as each model reads the other's text with a tokenizer of its own"
    if wanted <= limit:
        return wanted, why
    if limit <= 2 * turn:
        message = f"{model.name} reads {limit} tokens, too few for a prompt and turns of {turn}"
        remedy = "choose another model, or a smaller segment_tokens"
        raise ConfigError(message, path=str(pair.path), field=f"{role}.model", remedy=remedy)
    return limit, f"{why} would be {wanted}, but the model was made for {limit}"


def _scoring(pair: Pair, profile: Profile) -> Scoring:
    scoring = pair.target.gpu.scoring
    if scoring == "auto":
        return SCORINGS[profile][0]
    if scoring not in SCORINGS[profile]:
        message = f"target.gpu.scoring is {scoring!r}, which the profile {profile} does not have"
        remedy = f"choose one of auto, {', '.join(SCORINGS[profile])}"
        raise ConfigError(message, path=str(pair.path), field="target.gpu.scoring", remedy=remedy)
    return scoring


def _max_num_tokens(
    profile: Profile, role: Role, max_seq_len: int, max_batch_size: int, max_draft_len: int
) -> tuple[int, str]:
    if profile == "pytorch" and role == "target":
        tokens = _rounded(max_seq_len + max_batch_size, 64)
        return tokens, (
            f"a whole prompt ({max_seq_len}) and a token of each other request: the target's prompts are not cut into"
            " chunks, as each cut would lose a row of log-probs"
        )
    tokens = min(_rounded(max_seq_len, 64), CHUNK_TOKENS)
    if max_draft_len:
        drafts = _rounded(max_batch_size * (max_draft_len + 1), 64)
        if drafts > tokens:
            return drafts, f"{max_batch_size} requests that score {max_draft_len} tokens each at once"
    return max(tokens, max_batch_size), f"prompts are cut into chunks of at most {CHUNK_TOKENS} tokens"


def _rounded(value: float, step: int) -> int:
    return math.ceil(value / step) * step
