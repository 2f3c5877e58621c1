"""How large a model is, read from its config.json or from models.toml."""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from a1_trt.errors import ConfigError

_MAX_CONFIG_BYTES = 2**20
_MAX_TOKENIZER_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class ModelDimensions:
    """The shape of a decoder-only transformer with a gated feed-forward block (Llama, Qwen2).

    Args:
        name: Hugging Face id or directory.
        architecture: The class that config.json names.
        n_layers: Layers.
        hidden: Width.
        n_heads: Heads that ask.
        n_kv_heads: Heads of keys and values.
        head_dim: Width of a head.
        intermediate: Width of the feed-forward block.
        vocabulary: Number of token ids.
        max_context_tokens: Longest sequence.
        tied: The head shares its weights with the embedding.
        tokenizer: Models that give text the same ids share this name; None when unknown.
        quantization: What a checkpoint is quantised to already; None for 16 bits.
        source: Where the figures are from.

    Example:
        >>> qwq = model_dimensions("Qwen/QwQ-32B")
        >>> round(qwq.n_parameters / 1e9, 1), qwq.kv_bytes_per_token(2.0)
        (32.8, 262144.0)
    """

    name: str
    architecture: str
    n_layers: int
    hidden: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    max_context_tokens: int
    tied: bool = False
    tokenizer: str | None = None
    quantization: str | None = None
    source: str = ""

    @property
    def n_layer_parameters(self) -> int:
        """Weights of all layers: the part that quantisation makes smaller and that tensor parallelism divides."""
        attention = self.hidden * self.head_dim * (2 * self.n_heads + 2 * self.n_kv_heads)
        return self.n_layers * (attention + 3 * self.hidden * self.intermediate)

    @property
    def n_embedding_parameters(self) -> int:
        """Weights of the token embedding; the head has as many, or shares them."""
        return self.vocabulary * self.hidden

    @property
    def n_parameters(self) -> int:
        """All weights but norms and biases, which are below a thousandth."""
        return self.n_layer_parameters + self.n_embedding_parameters * (1 if self.tied else 2)

    def kv_bytes_per_token(self, bytes_per_value: float) -> float:
        """Size of one token's keys and values in all layers, bytes."""
        return 2 * self.n_layers * self.n_kv_heads * self.head_dim * bytes_per_value


@cache
def known_models() -> dict[str, ModelDimensions]:
    """Every model whose dimensions come with the package, by Hugging Face id."""
    table = tomllib.loads(resources.files("a1_trt.build.hardware").joinpath("models.toml").read_text(encoding="utf-8"))
    return {name: _read(name, said, said["source"]) for name, said in table.items()}


def model_dimensions(model: str, directory: Path | None = None) -> ModelDimensions:
    """The shape of a model.

    Args:
        model: Hugging Face id, or a directory with config.json.
        directory: Where the checkpoint is, when that is known.

    Raises:
        ConfigError: There is neither a readable config.json nor an entry in models.toml.
    """
    place = directory or Path(model)
    if (place / "config.json").is_file():
        return _from_checkpoint(model, place)
    known = known_models().get(model)
    if known is None:
        raise ConfigError(
            f"the size of the model {model!r} is not known: it is no directory with a config.json",
            path=str(place),
            field="model",
            remedy=f"download the checkpoint and name its directory, or use one of {', '.join(known_models())}",
        )
    return known


def _from_checkpoint(model: str, place: Path) -> ModelDimensions:
    path = place / "config.json"
    try:
        said = _json(path)
        said = said.get("text_config", said)
        said = {**said, "architecture": said["architectures"][0], "quantization": _quantization(place, said)}
        said["tokenizer"] = _tokenizer(place)
        return _read(model, said, str(path))
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path} is no configuration of a language model ({type(error).__name__}: {error})",
            path=str(path),
            field="model",
            remedy="give the directory of a Hugging Face checkpoint of a Llama or Qwen2 model",
        ) from None


def _json(path: Path) -> Any:
    if path.stat().st_size > _MAX_CONFIG_BYTES:
        raise ValueError(f"it is larger than {_MAX_CONFIG_BYTES} bytes")
    return json.loads(path.read_text(encoding="utf-8"))


def _tokenizer(place: Path) -> str | None:
    """A name that two checkpoints share when their tokenizers are the same file."""
    path = place / "tokenizer.json"
    if not path.is_file() or path.stat().st_size > _MAX_TOKENIZER_BYTES:
        return None
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _quantization(place: Path, said: dict[str, Any]) -> str | None:
    """What a checkpoint is quantised to: as ModelOpt writes it down, or as transformers does."""
    path = place / "hf_quant_config.json"
    if path.is_file():
        return str(_json(path)["quantization"]["quant_algo"])
    other = said.get("quantization_config")
    return None if other is None else str(other.get("quant_algo") or other["quant_method"])


def _read(name: str, said: dict[str, Any], source: str) -> ModelDimensions:
    n_heads, hidden = _positive(said, "num_attention_heads"), _positive(said, "hidden_size")
    return ModelDimensions(
        name=name,
        architecture=str(said["architecture"]),
        n_layers=_positive(said, "num_hidden_layers"),
        hidden=hidden,
        n_heads=n_heads,
        n_kv_heads=_positive(said, "num_key_value_heads") if said.get("num_key_value_heads") else n_heads,
        head_dim=_positive(said, "head_dim") if said.get("head_dim") else hidden // n_heads,
        intermediate=_positive(said, "intermediate_size"),
        vocabulary=_positive(said, "vocab_size"),
        max_context_tokens=_positive(said, "max_position_embeddings"),
        tied=bool(said.get("tie_word_embeddings", False)),
        tokenizer=said.get("tokenizer"),
        quantization=said.get("quantization"),
        source=source,
    )


def _positive(said: dict[str, Any], key: str) -> int:
    value = said[key]
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 2**31:
        raise ValueError(f"{key} is {value!r}")
    return value
