"""The tokenizer of a compiled model directory or a .gguf file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from a1_trt.backends.checks import chat_turns
from a1_trt.backends.openvino.gguf import read_metadata
from a1_trt.backends.openvino.loading import checked_model, loading, openvino_genai
from a1_trt.backends.prefixes import vocabulary_digest
from a1_trt.errors import ConfigError


class OpenVinoTokenizer:
    """A model's tokenizer; `load` makes one.

    For byte-level BPE, ``decode(a) + decode(b) == decode(a + b)`` unless a character of several bytes is cut in two,
    which shows as U+FFFD on both sides.
    """

    def __init__(self, native: Any, fingerprint: str, path: Path) -> None:
        self.native = native
        self.fingerprint = fingerprint
        self._path = path

    @classmethod
    def load(cls, model: Path) -> OpenVinoTokenizer:
        """The tokenizer of a compiled model directory or a .gguf file, without loading the model."""
        genai = openvino_genai()
        checked_model(model)
        if model.is_dir() and not (model / "openvino_tokenizer.xml").is_file():
            message = f"{model} has no openvino_tokenizer.xml"
            remedy = "build the directory with 'a1-trt engine build', which compiles the tokenizer too"
            raise ConfigError(message, path=str(model), field="model", remedy=remedy)
        with loading(model):
            # More threads only wait for each other, which burns the engines' time.
            native = genai.Tokenizer(str(model), INFERENCE_NUM_THREADS=1)
            native.decode(native.encode("a", add_special_tokens=False).input_ids.data[0].tolist())
            return cls(native, vocabulary_digest(_tokens(model)), model)

    @property
    def end_ids(self) -> list[int]:
        end = int(self.native.get_eos_token_id())
        return [] if end < 0 else [end]

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        if not text and not special:
            return []
        ids: list[int] = self.native.encode(text, add_special_tokens=special).input_ids.data[0].tolist()
        return ids

    def decode(self, token_ids: Sequence[int]) -> str:
        return str(self.native.decode(list(token_ids), skip_special_tokens=True)) if token_ids else ""

    def chat(self, system: str, user: str) -> str:
        turns = chat_turns(self.native.chat_template, str(self._path), system, user)
        return str(self.native.apply_chat_template(turns, add_generation_prompt=True))


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
