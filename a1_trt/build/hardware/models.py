"""How large a model is, read from its config.json or from models.toml."""

import hashlib
import json
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from a1_trt.errors import ConfigError
from a1_trt.files import first_mistake

_MAX_CONFIG_BYTES = 2**20
_MAX_TOKENIZER_BYTES = 64 * 2**20
_Size = Annotated[int, Field(ge=1, lt=2**31)]


@dataclass(frozen=True, slots=True)
class ModelDimensions:
    """The shape of a decoder-only transformer with a gated feed-forward block (Llama, Qwen2).

    Example:
        >>> qwq = model_dimensions("Qwen/QwQ-32B")
        >>> round(qwq.n_parameters / 1e9, 1), qwq.kv_bytes_per_token(2.0)
        (32.8, 262144.0)
    """

    name: str  # Hugging Face id or directory
    architecture: str  # the class that config.json names
    n_layers: int
    hidden: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    max_context_tokens: int  # longest sequence
    tied: bool = False  # the head shares its weights with the embedding
    tokenizer: str | None = None  # models that give text the same ids share this name; None when unknown
    quantization: str | None = None  # what a checkpoint is quantised to already; None for 16 bits
    source: str = ""  # where the figures are from

    @property
    def n_layer_parameters(self) -> int:
        """Weights of all layers: the part that quantisation makes smaller and that tensor parallelism divides."""
        attention = self.hidden * self.head_dim * (2 * self.n_heads + 2 * self.n_kv_heads)
        return self.n_layers * (attention + 3 * self.hidden * self.intermediate)

    @property
    def n_embedding_parameters(self) -> int:
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
    table = tomllib.loads(resources.files("a1_trt.build.hardware").joinpath("models.toml").read_text(encoding="utf-8"))
    return {name: _HuggingFaceConfig.model_validate(row).dimensions(name, row["source"]) for name, row in table.items()}


def model_dimensions(model: str, directory: Path | None = None) -> ModelDimensions:
    """The shape of a model: of the config.json in `directory` or in the directory `model`, or as models.toml has it."""
    place = directory or Path(model)
    if (place / "config.json").is_file():
        return _from_checkpoint(model, place)
    known = known_models().get(model)
    if known is None:
        message = f"the size of the model {model!r} is not known: it is not a directory with a config.json"
        remedy = f"download the checkpoint and name its directory, or use one of {', '.join(known_models())}"
        raise ConfigError(message, path=str(place), field="model", remedy=remedy)
    return known


def _from_checkpoint(model: str, directory: Path) -> ModelDimensions:
    path = directory / "config.json"
    try:
        document = _json(path)
        document = document.get("text_config", document)
        facts = {"quantization": _quantization(directory, document), "tokenizer": _tokenizer(directory)}
        return _HuggingFaceConfig.model_validate({**document, **facts}).dimensions(model, str(path))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = first_mistake(error) if isinstance(error, ValidationError) else f"{type(error).__name__}: {error}"
        message = f"{path} is not the configuration of a language model ({reason})"
        remedy = "give the directory of a Hugging Face checkpoint of a Llama or Qwen2 model"
        raise ConfigError(message, path=str(path), field="model", remedy=remedy) from None


def _json(path: Path) -> Any:
    if path.stat().st_size > _MAX_CONFIG_BYTES:
        raise ValueError(f"it is larger than {_MAX_CONFIG_BYTES} bytes")
    return json.loads(path.read_text(encoding="utf-8"))


def _tokenizer(directory: Path) -> str | None:
    """A name that two checkpoints share when their tokenizers are the same file."""
    path = directory / "tokenizer.json"
    if not path.is_file() or path.stat().st_size > _MAX_TOKENIZER_BYTES:
        return None
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _quantization(directory: Path, document: dict[str, Any]) -> str | None:
    """As ModelOpt writes it down, or as transformers does."""
    path = directory / "hf_quant_config.json"
    if path.is_file():
        return str(_json(path)["quantization"]["quant_algo"])
    config = document.get("quantization_config")
    return None if config is None else str(config.get("quant_algo") or config["quant_method"])


class _HuggingFaceConfig(BaseModel):
    model_config = ConfigDict(strict=True)

    architectures: list[str] = Field(min_length=1)
    n_layers: _Size = Field(alias="num_hidden_layers")
    hidden: _Size = Field(alias="hidden_size")
    n_heads: _Size = Field(alias="num_attention_heads")
    n_kv_heads: _Size | None = Field(None, alias="num_key_value_heads")
    head_dim: _Size | None = None
    intermediate: _Size = Field(alias="intermediate_size")
    vocabulary: _Size = Field(alias="vocab_size")
    max_context_tokens: _Size = Field(alias="max_position_embeddings")
    tied: bool = Field(False, alias="tie_word_embeddings")
    tokenizer: str | None = None
    quantization: str | None = None

    def dimensions(self, name: str, source: str) -> ModelDimensions:
        values = self.model_dump(exclude={"architectures"})
        values["n_kv_heads"] = self.n_kv_heads or self.n_heads
        values["head_dim"] = self.head_dim or self.hidden // self.n_heads
        return ModelDimensions(name=name, architecture=self.architectures[0], source=source, **values)
