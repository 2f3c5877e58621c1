"""A checkpoint's tokenizer, by transformers (which TensorRT-LLM brings with it)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from a1_trt.backends.tensorrt_llm.runtime import checkpoint_of
from a1_trt.errors import ConfigError


class TransformersTokenizer:
    """A Hugging Face tokenizer; `load` makes one.

    Args:
        native: The tokenizer of transformers.
        path: Where it came from, for error messages.
        end_ids: Tokens that end a text; the tokenizer's own when None.
    """

    def __init__(self, native: Any, path: str, end_ids: frozenset[int] | None = None) -> None:
        self._native = native
        self._path = path
        own = frozenset() if native.eos_token_id is None else frozenset([int(native.eos_token_id)])
        self.end_ids = end_ids or own
        self._fingerprint = _fingerprint(native.get_vocab())

    @classmethod
    def load(cls, checkpoint: str) -> TransformersTokenizer:
        """The tokenizer of a checkpoint, or of a built engine; no code in it is run.

        Args:
            checkpoint: A directory, or an id on the Hugging Face hub.

        Raises:
            ConfigError: It is missing or damaged, or transformers is not installed.
        """
        try:
            from transformers import AutoTokenizer
        except ImportError as error:
            raise ConfigError(
                f"the tokenizer needs the package transformers ({error})",
                field="engine",
                remedy="it comes with TensorRT-LLM: run in NVIDIA's container (docs/gpu.md)",
            ) from None
        checkpoint = checkpoint_of(checkpoint)
        try:
            native = AutoTokenizer.from_pretrained(checkpoint, trust_remote_code=False)
        except Exception as error:  # noqa: BLE001  it raises many kinds for a damaged file
            raise ConfigError(
                f"{checkpoint} has no tokenizer that can be loaded ({type(error).__name__})",
                path=checkpoint,
                field="model",
                remedy="give the directory of a Hugging Face checkpoint with its tokenizer files",
            ) from None
        return cls(native, checkpoint, _end_ids(checkpoint))

    @property
    def fingerprint(self) -> str:
        """Hash of the vocabulary: equal when ids of one mean the same text in the other."""
        return self._fingerprint

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """Token ids of `text`; with `special`, begin-of-text tokens as the model wants them before a prompt."""
        return [int(token) for token in self._native.encode(text, add_special_tokens=special)]

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of token ids, spaces kept as they are, special tokens left out."""
        return str(self._native.decode(list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def chat(self, system: str, user: str) -> str:
        """The model's own chat template around a user's message, ready for the model's turn.

        Raises:
            ConfigError: The model has no chat template.
        """
        turns = [{"role": "system", "content": system}] if system else []
        turns.append({"role": "user", "content": user})
        if not self._native.chat_template:
            raise ConfigError(
                f"{self._path} has no chat template",
                path=self._path,
                field="prompt",
                remedy='write the prompt out, such as prompt = "{problem}\\n", instead of prompt = "chat"',
            )
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


def _fingerprint(vocabulary: dict[str, int]) -> str:
    """Hash of the token strings in the order of their ids, which is what gives ids their meaning."""
    digest = hashlib.sha256()
    for token, number in sorted(vocabulary.items(), key=lambda item: item[1]):
        entry = f"{number} {token}".encode()
        digest.update(len(entry).to_bytes(4, "little") + entry)
    return digest.hexdigest()[:32]
