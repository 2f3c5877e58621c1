"""A first model of what an engine needs of a GPU's memory.

Weights and KV cache follow from the model's dimensions and are exact but for rounding. Runtime, activations and reserve
are allowances, chosen generously and not measured; where they are wrong, `RUNTIME_GIB` and `RESERVE` are the places.
"""

from dataclasses import dataclass

from a1_trt.build.hardware import ModelDimensions
from a1_trt.build.quantization import FORMATS, Quantization
from a1_trt.build.sizes import Profile, Sizes

GIB = 2**30
RUNTIME_GIB: dict[Profile, float] = {"pytorch": 2.5, "tensorrt": 1.5}
"""CUDA context, libraries and workspaces of a process, GiB; with PyTorch also its allocator and CUDA graphs."""
NCCL_GIB = 0.5  # buffers of GPUs that share a layer
RESERVE = 0.04  # share of a GPU that is left alone: the driver, fragmentation, and what this model gets wrong
SCORED_ROWS = 512
"""Rows of logits that exist at a time when log-probs are computed inside the forward; as in the backend's model."""


@dataclass(frozen=True, slots=True)
class MemoryRow:
    """What one part of a role ("weights") needs on each of its GPUs; role "gpu" is for what belongs to neither."""

    role: str
    part: str
    gib: float
    explanation: str


@dataclass(frozen=True, slots=True)
class Split:
    """How a model is spread over GPUs: `tensor` of them share each layer, `pipeline` groups share the layers."""

    tensor: int = 1
    pipeline: int = 1

    @property
    def n_gpus(self) -> int:
        return self.tensor * self.pipeline

    def __str__(self) -> str:
        return f"TP {self.tensor}" + (f" x PP {self.pipeline}" if self.pipeline > 1 else "")


def weights(model: ModelDimensions, split: Split, quantization: Quantization) -> MemoryRow:
    """Weights on each GPU. Every GPU is counted as holding the embedding, which not all of them do."""
    weight_bytes = FORMATS[quantization].weight_bytes
    layers = model.n_layer_parameters * weight_bytes / split.n_gpus
    ends = model.n_embedding_parameters * 2.0
    head = 0.0 if model.tied else ends / split.tensor
    text = (
        f"{_count(model.n_layer_parameters)} weights x {weight_bytes:.3g} bytes ({quantization})"
        f" / {split.n_gpus} GPUs, embedding and head in 16 bits"
    )
    return MemoryRow("", "weights", (layers + ends + head) / GIB, text)


def runtime(profile: Profile, split: Split) -> MemoryRow:
    shared = NCCL_GIB if split.n_gpus > 1 else 0.0
    text = "allowance: CUDA context, libraries, workspaces"
    text += ", allocator, CUDA graphs" if profile == "pytorch" else ""
    text += f"; {NCCL_GIB} for exchange between GPUs" if shared else ""
    return MemoryRow("", "runtime", RUNTIME_GIB[profile] + shared, text)


def activations(model: ModelDimensions, split: Split, sizes: Sizes) -> MemoryRow:
    """Largest intermediate results of a forward, and logits and probabilities of the tokens it samples."""
    heads = (model.n_heads + 2 * model.n_kv_heads) * model.head_dim / split.tensor
    per_token = 2.0 * (6 * model.hidden + 3 * model.intermediate / split.tensor + heads)
    sampled = 3 * 4.0 * sizes.max_batch_size * model.vocabulary
    text = (
        f"{sizes.max_num_tokens} tokens x {per_token / 1024:.0f} KiB of intermediate results,"
        f" {sizes.max_batch_size} x {model.vocabulary} logits to sample from"
    )
    return MemoryRow("", "activations", (sizes.max_num_tokens * per_token + sampled) / GIB, text)


def logits(model: ModelDimensions, sizes: Sizes, profile: Profile, n_scoring: int) -> MemoryRow:
    """Logits of prompt tokens, which scoring needs: the part that the engine itself does not set aside."""
    vocabulary = model.vocabulary
    if sizes.scoring is None:
        return MemoryRow("", "logits", 0.0, "a draft does not score")
    if sizes.scoring == "additional_output":
        n_bytes = SCORED_ROWS * vocabulary * 10.0 + 4.0 * n_scoring * sizes.max_seq_len
        text = f"{SCORED_ROWS} rows x {vocabulary} at a time, in 16 and 32 bits and their exponentials; what leaves the"
        text += f" engine is {n_scoring} x {sizes.max_seq_len} floats"
    elif sizes.scoring == "external_draft":
        rows = sizes.max_batch_size * (sizes.max_draft_len + 1)
        n_bytes = 2 * 4.0 * rows * vocabulary
        text = f"{sizes.max_batch_size} requests x {sizes.max_draft_len + 1} rows x {vocabulary} x 4 bytes, twice"
    elif profile == "tensorrt":
        n_bytes = 4.0 * sizes.max_num_tokens * vocabulary
        text = f"{sizes.max_num_tokens} rows of a chunk x {vocabulary} x 4 bytes; whole prompts are in host memory"
    else:
        held = 4.0 * n_scoring * sizes.max_seq_len * vocabulary
        n_bytes = held + 6.0 * sizes.max_num_tokens * vocabulary
        text = f"{n_scoring} scores x {sizes.max_seq_len} rows x {vocabulary} x 4 bytes, and those of one forward"
    return MemoryRow("", "logits", n_bytes / GIB, text)


def kv_bytes_per_token(model: ModelDimensions, split: Split, kv_cache_dtype: str) -> float:
    """Keys and values of a token on each GPU, bytes; more GPUs than heads hold heads twice."""
    value = 1.0 if kv_cache_dtype == "fp8" else 2.0
    return model.kv_bytes_per_token(value) / split.pipeline / min(split.tensor, model.n_kv_heads)


def _count(n: int) -> str:
    return f"{n / 1e9:.1f}e9" if n >= 1e8 else f"{n / 1e6:.2g}e6"
