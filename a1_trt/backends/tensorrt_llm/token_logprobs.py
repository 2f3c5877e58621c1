"""Log-probs of the tokens of a batch, from hidden states, a few rows at a time."""

from collections.abc import Callable
from typing import Any

BLOCK_ROWS = 512
"""Rows that go through the language-model head at once: the logits that exist at a time are BLOCK_ROWS x vocabulary."""


def token_logprobs(
    hidden: Any,
    lm_head: Callable[[Any], Any],
    input_ids: Any,
    sequence_lengths: Any,
    *,
    vocabulary: int,
    block: int = BLOCK_ROWS,
) -> Any:
    """Row i: the natural-log probability of token i + 1 of the same sequence; NaN where that token is not in the batch.

    NaN and never 0: the last row of a sequence, or of a chunk of one, has no target, and 0 would be a certainty.
    Only methods of the tensors are used, so this module imports no torch.

    Args:
        hidden: The model's last hidden states, floating[n_tokens, width].
        lm_head: Makes logits of hidden states, floating[n, >= vocabulary]; padding behind that is cut off.
        input_ids: The tokens, int[n_tokens].
        sequence_lengths: Tokens of each sequence, in the order of the batch, int[n_sequences]; their sum is n_tokens.
        vocabulary: Number of token ids. A head that is spread over GPUs and not gathered gives fewer: a ValueError.
        block: Rows at a time.

    Returns:
        float32[n_tokens, 1].
    """
    n_tokens = hidden.shape[0]
    values = hidden.new_full((n_tokens, 1), float("nan")).float()
    for start in range(0, n_tokens - 1, block):
        stop = min(start + block, n_tokens - 1)
        logits = lm_head(hidden[start:stop]).float()
        if logits.shape[-1] < vocabulary:
            raise ValueError(f"the head gives {logits.shape[-1]} logits for a vocabulary of {vocabulary}")
        logits = logits[:, :vocabulary]
        targets = input_ids[start + 1 : stop + 1].long().unsqueeze(-1)
        values[start:stop] = logits.gather(1, targets) - logits.logsumexp(-1, keepdim=True)
    values[sequence_lengths.long().cumsum(0) - 1] = float("nan")
    return values
