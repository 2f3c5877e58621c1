"""The doubles of packages that need a GPU, as if they were installed."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
_REGISTERED = "a1_trt.backends.tensorrt_llm.model"


@contextmanager
def tensorrt_llm(**world: Any) -> Iterator[Any]:
    """The double of tensorrt_llm, with a version and faults (see its `_world.World`); yields its World."""
    sys.path.insert(0, str(HERE))
    _forget()
    try:
        yield importlib.import_module("tensorrt_llm._world").set_world(**world)
    finally:
        _forget()
        sys.path.remove(str(HERE))


def _forget() -> None:
    for name in list(sys.modules):
        if name.split(".")[0] == "tensorrt_llm" or name == _REGISTERED:
            del sys.modules[name]


def checkpoint(directory: Path, *, architecture: str = "Qwen2ForCausalLM", vocabulary: int = 128) -> Path:
    """A checkpoint of the double's language model."""
    directory.mkdir(parents=True, exist_ok=True)
    said = {"architectures": [architecture], "vocab_size": vocabulary, "max_position_embeddings": 512}
    (directory / "config.json").write_text(json.dumps(said), encoding="utf-8")
    return directory


class CharacterTokenizer:
    """A token for each ASCII character; 0 ends a text."""

    fingerprint = "characters"
    end_ids: frozenset[int] = frozenset()

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        return [ord(character) for character in text]

    def decode(self, token_ids: Any) -> str:
        return "".join(chr(token) for token in token_ids)

    def chat(self, system: str, user: str) -> str:
        return f"{system}\n{user}\n"
