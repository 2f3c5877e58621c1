"""What an iteration of the simulated engine costs, and how much the engine holds."""

from __future__ import annotations

from dataclasses import dataclass

from a1_trt.errors import InvalidRequestError


@dataclass(frozen=True, slots=True)
class EngineCosts:
    """Roofline of one engine iteration, which takes every running sequence one step further::

        overhead_s + sync + max(arithmetic, memory, launch)
        arithmetic = prefill_s_per_token * prefilled tokens + decode_s_per_token_sequence * decoding sequences
                     + s_per_pair * (query, key) pairs + s_per_logit_row * rows of the LM head
        memory     = weights_s + kv_s_per_context_token * tokens of context that are read
        sync       = sync_s + sync_s_per_token * tokens of the iteration
        launch     = prefill_launch_s where anything is prefilled, else 0

    As long as memory is the larger one, more sequences cost next to nothing: that is what in-flight batching lives on.
    A decoding sequence has one pair for each token of its context and one row of logits. `roofline.engine_costs` makes
    these constants of a model and a GPU. The defaults are round figures of the order of a 7-billion-parameter model on
    a large GPU, measured nowhere.

    Example:
        >>> EngineCosts(overhead_s=1.0, weights_s=10.0).iteration_s(prefill_tokens=0, decoding=1, context_tokens=0)
        11.0
    """

    overhead_s: float = 5e-4  # scheduling and sampling of an iteration
    weights_s: float = 5e-3  # reading all weights once
    prefill_s_per_token: float = 4e-5  # arithmetic of one prompt token
    decode_s_per_token_sequence: float = 4e-5  # arithmetic of one generated token of one sequence
    kv_s_per_context_token: float = 4e-8  # reading the keys and values of one token of context
    s_per_pair: float = 0.0  # attention of one query to one key
    s_per_logit_row: float = 0.0  # the LM head for one token
    sync_s: float = 0.0  # latency of the all-reduces between GPUs in one iteration
    sync_s_per_token: float = 0.0  # their transfer time for one token
    # launching kernels that no CUDA graph holds; hidden behind the GPU's own time if longer
    prefill_launch_s: float = 0.0
    # factor on an iteration that starts while another engine of the same `Processor` is busy
    shared_slowdown: float = 1.0

    def iteration_s(
        self,
        *,
        prefill_tokens: int,
        decoding: int,
        context_tokens: int,
        prefill_context_tokens: int = 0,
        prefill_pairs: int = 0,
        prefill_rows: int = 0,
    ) -> float:
        """Seconds that one iteration takes.

        Args:
            prefill_tokens: Prompt tokens computed in it.
            decoding: Sequences that get a token each.
            context_tokens: Tokens that these sequences have in the KV cache, in all.
            prefill_context_tokens: Tokens in the KV cache before the chunks of prefill, in all.
            prefill_pairs: (query, key) pairs of the chunks.
            prefill_rows: Rows of logits that the chunks need: one where a prompt ends, one a scored token.
        """
        arithmetic = (
            self.prefill_s_per_token * prefill_tokens
            + (self.decode_s_per_token_sequence + self.s_per_logit_row) * decoding
            + self.s_per_pair * (prefill_pairs + context_tokens)
            + self.s_per_logit_row * prefill_rows
        )
        memory = self.weights_s + self.kv_s_per_context_token * (context_tokens + prefill_context_tokens)
        sync = self.sync_s + self.sync_s_per_token * (prefill_tokens + decoding)
        launch = self.prefill_launch_s if prefill_tokens else 0.0
        return self.overhead_s + sync + max(arithmetic, memory, launch)

    def decode_ends(self, start_s: float, n: int, decoding: int, context_tokens: int, slowdown: float) -> list[float]:
        """When each of `n` iterations that only decode ends, after when the first starts, float64[n + 1].

        The same as adding up `iteration_s` times `slowdown`, to the bit, while the context grows by `decoding` tokens
        an iteration; only faster.
        """
        fixed = self.overhead_s + (self.sync_s + self.sync_s_per_token * decoding)
        arithmetic = (self.decode_s_per_token_sequence + self.s_per_logit_row) * decoding
        pair_s, weights_s, kv_s = self.s_per_pair, self.weights_s, self.kv_s_per_context_token
        ends = [start_s]
        for context in range(context_tokens, context_tokens + n * decoding, decoding):
            work, reading = arithmetic + pair_s * context, weights_s + kv_s * context
            start_s += (fixed + (work if work > reading else reading)) * slowdown
            ends.append(start_s)
        return ends


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """What the engine holds at once.

    Raises:
        InvalidRequestError: A limit is below 1, or the limits contradict each other.
    """

    max_sequences: int = 64  # in the batch; further requests wait, first come, first served
    max_num_batched_tokens: int = 2048  # in one iteration; longer prompts are prefilled in chunks
    kv_blocks: int = 16384  # a request takes what it needs for prompt and max_tokens when it starts
    block_tokens: int = 16  # the unit of prefix reuse
    max_context_tokens: int = 32768  # prompt plus generation
    prefix_reuse: bool = True  # keep the blocks of finished requests, for prompts that start alike
    logits_tokens: int | None = None  # of all scores at work that there is memory for; a longer one is scored alone

    def __post_init__(self) -> None:
        for name in ("max_sequences", "max_num_batched_tokens", "kv_blocks", "block_tokens", "max_context_tokens"):
            if getattr(self, name) < 1:
                raise InvalidRequestError(f"{name} is {getattr(self, name)}", field=name, remedy="choose at least 1")
        if self.max_num_batched_tokens < self.max_sequences:
            message = f"max_num_batched_tokens is {self.max_num_batched_tokens}, less than max_sequences"
            remedy = f"choose at least {self.max_sequences}, so that every sequence gets on in every iteration"
            raise InvalidRequestError(message, field="max_num_batched_tokens", remedy=remedy)
        if self.max_context_tokens > self.kv_blocks * self.block_tokens:
            message = f"max_context_tokens is {self.max_context_tokens}, more than the KV cache holds"
            remedy = f"choose at most kv_blocks * block_tokens = {self.kv_blocks * self.block_tokens}"
            raise InvalidRequestError(message, field="max_context_tokens", remedy=remedy)
