"""A double of transformers: a tokenizer with a token for each ASCII character; 0 ends a text."""

from __future__ import annotations

from typing import Any


class AutoTokenizer:
    eos_token_id = 0
    chat_template = None

    @classmethod
    def from_pretrained(cls, checkpoint: str, *, trust_remote_code: bool) -> AutoTokenizer:
        assert not trust_remote_code
        return cls()

    def get_vocab(self) -> dict[str, int]:
        return {chr(number): number for number in range(128)}

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        return [ord(character) for character in text]

    def decode(self, tokens: list[int], **_: Any) -> str:
        return "".join(chr(token) for token in tokens)
