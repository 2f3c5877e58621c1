"""The tokenizer of a compiled model directory or a .gguf file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from a1_trt.backends.openvino.gguf import read_metadata
from a1_trt.backends.openvino.loading import checked_model, loading, openvino_genai
from a1_trt.errors import ConfigError


class OpenVinoTokenizer:
    """A model's tokenizer; `load` makes one.

    For byte-level BPE, ``decode(a) + decode(b) == decode(a + b)`` unless a character of several bytes is cut in two,
    which shows as U+FFFD on both sides.

    Example:
        >>> tokenizer = OpenVinoTokenizer.load(Path("engines/reference/draft"))  # doctest: +SKIP
        >>> tokenizer.decode(tokenizer.encode("1 + 1"))  # doctest: +SKIP
        '1 + 1'
    """

    def __init__(self, native: Any, fingerprint: str, path: Path) -> None:
        self._native = native
        self._fingerprint = fingerprint
        self._path = path

    @classmethod
    def load(cls, model: Path) -> OpenVinoTokenizer:
        """The tokenizer of a model, without loading the model.

        Args:
            model: A compiled model directory, or a .gguf file.

        Raises:
            ConfigError: It is missing or damaged, or openvino-genai is not installed.
        """
        genai = openvino_genai()
        checked_model(model)
        if model.is_dir() and not (model / "openvino_tokenizer.xml").is_file():
            raise ConfigError(
                f"{model} has no openvino_tokenizer.xml",
                path=str(model),
                field="model",
                remedy="build the directory with 'a1-trt engine build', which compiles the tokenizer too",
            )
        with loading(model):
            # More threads only wait for each other, which burns the engines' time.
            native = genai.Tokenizer(str(model), INFERENCE_NUM_THREADS=1)
            native.decode(native.encode("a", add_special_tokens=False).input_ids.data[0].tolist())
            return cls(native, _fingerprint(model), model)

    @property
    def fingerprint(self) -> str:
        """Hash of the vocabulary: equal when ids of one mean the same text in the other."""
        return self._fingerprint

    @property
    def end_ids(self) -> list[int]:
        """The tokens that end a text, as far as the tokenizer knows them."""
        end = int(self._native.get_eos_token_id())
        return [] if end < 0 else [end]

    @property
    def native(self) -> Any:
        """The openvino_genai.Tokenizer."""
        return self._native

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """Token ids of `text`; with `special`, begin-of-text tokens as the model wants them before a prompt."""
        if not text and not special:
            return []
        ids: list[int] = self._native.encode(text, add_special_tokens=special).input_ids.data[0].tolist()
        return ids

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of token ids, spaces kept as they are, special tokens left out."""
        return str(self._native.decode(list(token_ids), skip_special_tokens=True)) if token_ids else ""

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
                path=str(self._path),
                field="prompt",
                remedy='write the prompt out, such as prompt = "{problem}\\n", instead of prompt = "chat"',
            )
        return str(self._native.apply_chat_template(turns, add_generation_prompt=True))


def _fingerprint(model: Path) -> str:
    """Hash of the token strings in the order of their ids, which is what gives ids their meaning."""
    digest = hashlib.sha256()
    for token in _tokens(model):
        digest.update(len(token).to_bytes(4, "little") + token)
    return digest.hexdigest()[:32]


def _tokens(model: Path) -> list[bytes]:
    if model.is_file():
        strings = read_metadata(model).get("tokenizer.ggml.tokens")
        return [_numbered(number, token) for number, token in enumerate(strings)] if strings else [model.read_bytes()]
    listed = model / "tokenizer.json"
    if not listed.is_file():
        return [(model / f"openvino_detokenizer.{kind}").read_bytes() for kind in ("xml", "bin")]
    document = json.loads(listed.read_text(encoding="utf-8"))
    vocabulary = document["model"]["vocab"]
    if isinstance(vocabulary, list):  # a unigram model lists its tokens in the order of their ids, with their weights
        vocabulary = {token: number for number, (token, _) in enumerate(vocabulary)}
    tokens = {int(number): token for token, number in vocabulary.items()}
    tokens |= {int(added["id"]): added["content"] for added in document.get("added_tokens", ())}
    return [_numbered(number, tokens[number].encode()) for number in sorted(tokens)]


def _numbered(number: int, token: bytes) -> bytes:
    return b"%d %s" % (number, token)
