"""Digests of vocabularies, and of the beginnings of token sequences, a block of the KV cache at a time."""

import hashlib
from collections.abc import Iterable, Sequence

from a1_trt.engine import prefix_digests

BLOCK_TOKENS = 32  # tokens in a block: the usual size of TensorRT-LLM's, and that of openvino-genai on a CPU


def block_digests(token_ids: Sequence[int]) -> list[bytes]:
    """A digest for each whole block, which stands for all tokens up to the block's end.

    Example:
        >>> one, other = block_digests([7] * 70), block_digests([7] * 32)
        >>> len(one), one[:1] == other
        (2, True)
    """
    return prefix_digests(token_ids, BLOCK_TOKENS)


def vocabulary_digest(entries: Iterable[bytes]) -> str:
    """Hash of token strings, with their ids, in the order of their ids, which is what gives ids their meaning."""
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(len(entry).to_bytes(4, "little") + entry)
    return digest.hexdigest()[:32]
