"""What an iteration of the simulated engine costs, and how much the engine holds."""

from __future__ import annotations

from dataclasses import dataclass

from a1_trt.errors import InvalidRequestError


@dataclass(frozen=True, slots=True)
class EngineCosts:
    """Roofline of one engine iteration, which takes every running sequence one step further::

        overhead_s + max(arithmetic, memory)
        arithmetic = prefill_s_per_token * prefilled tokens + decode_s_per_token_sequence * decoding sequences
        memory     = weights_s + kv_s_per_context_token * tokens in the KV cache of the decoding sequences

    As long as memory is the larger one, more sequences cost next to nothing: that is what in-flight batching lives on.
    The defaults are round figures of the order of a 7-billion-parameter model on a large GPU, measured nowhere.

    Args:
        overhead_s: Launching an iteration, seconds.
        weights_s: Reading all weights once, seconds.
        prefill_s_per_token: Arithmetic of one prompt token, seconds.
        decode_s_per_token_sequence: Arithmetic of one generated token of one sequence, seconds.
        kv_s_per_context_token: Reading the keys and values of one token of context, seconds.

    Example:
        >>> EngineCosts(overhead_s=1.0, weights_s=10.0).iteration_s(prefill_tokens=0, decoding=1, context_tokens=0)
        11.0
    """

    overhead_s: float = 5e-4
    weights_s: float = 5e-3
    prefill_s_per_token: float = 4e-5
    decode_s_per_token_sequence: float = 4e-5
    kv_s_per_context_token: float = 4e-8

    def iteration_s(self, *, prefill_tokens: int, decoding: int, context_tokens: int) -> float:
        """Seconds that one iteration takes.

        Args:
            prefill_tokens: Prompt tokens computed in it.
            decoding: Sequences that get a token each.
            context_tokens: Tokens that these sequences have in the KV cache, in all.
        """
        arithmetic = self.prefill_s_per_token * prefill_tokens + self.decode_s_per_token_sequence * decoding
        memory = self.weights_s + self.kv_s_per_context_token * context_tokens
        return self.overhead_s + max(arithmetic, memory)


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """What the engine holds at once.

    Args:
        max_sequences: Sequences in the batch; further requests wait, first come, first served.
        max_num_batched_tokens: Tokens computed in one iteration; longer prompts are prefilled in chunks.
        kv_blocks: Blocks of the KV cache. A request takes what it needs for prompt and max_tokens when it starts.
        block_tokens: Tokens in a block; the unit of prefix reuse.
        max_context_tokens: Longest prompt plus generation.
        prefix_reuse: Keep the blocks of finished requests, for prompts that start alike.

    Raises:
        InvalidRequestError: A limit is below 1, or the limits contradict each other.
    """

    max_sequences: int = 64
    max_num_batched_tokens: int = 2048
    kv_blocks: int = 16384
    block_tokens: int = 16
    max_context_tokens: int = 32768
    prefix_reuse: bool = True

    def __post_init__(self) -> None:
        for name in ("max_sequences", "max_num_batched_tokens", "kv_blocks", "block_tokens", "max_context_tokens"):
            if getattr(self, name) < 1:
                raise InvalidRequestError(f"{name} is {getattr(self, name)}", field=name, remedy="choose at least 1")
        if self.max_num_batched_tokens < self.max_sequences:
            raise InvalidRequestError(
                f"max_num_batched_tokens is {self.max_num_batched_tokens}, less than max_sequences",
                field="max_num_batched_tokens",
                remedy=f"choose at least {self.max_sequences}, so that every sequence gets on in every iteration",
            )
        if self.max_context_tokens > self.kv_blocks * self.block_tokens:
            raise InvalidRequestError(
                f"max_context_tokens is {self.max_context_tokens}, more than the KV cache holds",
                field="max_context_tokens",
                remedy=f"choose at most kv_blocks * block_tokens = {self.kv_blocks * self.block_tokens}",
            )
