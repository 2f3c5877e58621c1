"""A checkpoint's tokenizer, by transformers (which TensorRT-LLM brings with it)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from a1_trt.backends.checks import chat_turns
from a1_trt.backends.prefixes import vocabulary_digest
from a1_trt.backends.tensorrt_llm.runtime import checkpoint_of
from a1_trt.errors import ConfigError


class TransformersTokenizer:
    """A Hugging Face tokenizer; `load` makes one. `end_ids` end a text: its own when None."""

    def __init__(self, native: Any, path: str, end_ids: frozenset[int] | None = None) -> None:
        self._native = native
        self._path = path
        own = frozenset() if native.eos_token_id is None else frozenset([int(native.eos_token_id)])
        self.end_ids = end_ids or own
        entries = sorted(native.get_vocab().items(), key=lambda item: item[1])
        self.fingerprint = vocabulary_digest(f"{number} {token}".encode() for token, number in entries)

    @classmethod
    def load(cls, checkpoint: str) -> Self:
        """The tokenizer of a checkpoint (a directory or a hub id) or of a built engine; no code in it is run."""
        try:
            from transformers import AutoTokenizer
        except ImportError as error:
            message = f"the tokenizer needs the package transformers ({error})"
            remedy = "it comes with TensorRT-LLM: run in NVIDIA's container (docs/gpu.md)"
            raise ConfigError(message, field="engine", remedy=remedy) from None
        checkpoint = checkpoint_of(checkpoint)
        try:
            native = AutoTokenizer.from_pretrained(checkpoint, trust_remote_code=False)
        except Exception as error:  # noqa: BLE001  it raises many kinds for a damaged file
            message = f"{checkpoint} has no tokenizer that can be loaded ({type(error).__name__})"
            remedy = "give the directory of a Hugging Face checkpoint with its tokenizer files"
            raise ConfigError(message, path=checkpoint, field="model", remedy=remedy) from None
        return cls(native, checkpoint, _end_ids(checkpoint))

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        return [int(token) for token in self._native.encode(text, add_special_tokens=special)]

    def decode(self, token_ids: Sequence[int]) -> str:
        return str(self._native.decode(list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def chat(self, system: str, user: str) -> str:
        turns = chat_turns(self._native.chat_template, self._path, system, user)
        return str(self._native.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))


def _end_ids(checkpoint: str) -> frozenset[int] | None:
    """The end-of-text tokens of generation_config.json: chat models list more of them than their tokenizer does."""
    path = Path(checkpoint) / "generation_config.json"
    if not path.is_file():
        return None
    try:
        ends = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", path=str(path), field="model") from None
    if ends is None:
        return None
    return frozenset(int(token) for token in (ends if isinstance(ends, list) else [ends]))
