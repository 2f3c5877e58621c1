"""Roofline of a transformer on GPUs: what an iteration of its engine costs, from data sheet and dimensions.

What the engine holds is not modelled here: that is `a1_trt.build.fit`'s.

Notation: P_l weights of all layers, P_h = vocabulary * hidden weights of the head, t GPUs that share each layer (tensor
parallelism), F peak arithmetic and W peak bandwidth of one GPU, each times the share that is reached in practice
(simulation.toml), b bytes of a weight::

    one token through all layers      2 P_l / (t F)                           2 FLOP a weight
    one row of logits                 2 P_h / (t F)
    one (query, key) pair             4 n_layers n_heads head_dim / (t F)     a product for the score, one for the sum
    the weights, once an iteration    (b P_l + 2 P_h) / (t W)                 the head stays in 16 bits
    one token of context, read        2 n_layers n_kv_heads head_dim b_kv / (min(t, n_kv_heads) W)
    all-reduce, two a layer           2 n_layers (latency + 2 (t - 1) / t * 2 hidden tokens / link)

An iteration takes the larger one of arithmetic and memory, and the rest on top (`EngineCosts`). The model: Williams,
Waterman, Patterson, "Roofline", CACM 52(4), 2009. The counts: Pope et al., "Efficiently Scaling Transformer Inference",
2022, arXiv 2211.05102. The all-reduces: Shoeybi et al., "Megatron-LM", 2019, arXiv 1909.08053, moved as a ring does.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from typing import Any

from a1_trt.build.hardware import Gpu, ModelDimensions
from a1_trt.build.memory import Split, kv_bytes_per_token
from a1_trt.build.quantization import FORMATS, Quantization
from a1_trt.errors import ConfigError, InvalidRequestError
from a1_trt.simulate.engine_model.costs import EngineCosts


@dataclass(frozen=True, slots=True)
class Assumptions:
    """The section [engine] of simulation.toml, where each value has its reason."""

    arithmetic_efficiency: float
    bandwidth_efficiency: float
    link_efficiency: float
    all_reduce_latency_s: float
    kernel_launch_s: float
    kernels_per_layer: int
    overhead_s: float
    max_sequences: int
    colocated_slowdown: float

    @classmethod
    def stated(cls, changes: Mapping[str, float] | None = None) -> Assumptions:
        """The ones of the package, with changes."""
        values = dict(_table()["engine"])
        known = {field.name: field.type for field in fields(cls)}
        for name, value in (changes or {}).items():
            if name not in known:
                message = f"there is no assumption {name!r}"
                raise InvalidRequestError(message, field="set", remedy=f"choose from {', '.join(known)}")
            if not 0 < value < 1e9:
                raise InvalidRequestError(f"{name} is {value}", field="set", remedy="choose more than 0")
            values[name] = max(1, int(value)) if known[name] == "int" else float(value)
        return cls(**values)


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(resources.files("a1_trt.simulate").joinpath("simulation.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class PlacedModel:
    """A model on GPUs."""

    model: ModelDimensions
    gpu: Gpu
    tensor_parallel: int = 1  # GPUs that share each layer
    quantization: Quantization = "none"
    kv_cache_dtype: str = "auto"

    @property
    def tflops(self) -> float:
        """Peak of one GPU in the arithmetic of the weights; where it cannot do that, in 16 bits, else in 32."""
        peaks = self.gpu.tflops
        for kind in (FORMATS[self.quantization].arithmetic, "bf16", "fp32"):
            if kind in peaks:
                return peaks[kind]
        raise ConfigError(f"the peak of {self.gpu.name} is not known", field="gpu", remedy="name one of gpus.toml")


def engine_costs(placed: PlacedModel, assumed: Assumptions) -> EngineCosts:
    """What an iteration costs; the formulas are in this module's docstring.

    Example:
        >>> from a1_trt.build.hardware import known_gpus, model_dimensions
        >>> placed = PlacedModel(model_dimensions("Qwen/QwQ-32B"), known_gpus()["h100-80g"], 2)
        >>> costs = engine_costs(placed, Assumptions.stated())
        >>> round(1e3 * costs.iteration_s(prefill_tokens=0, decoding=1, context_tokens=1000), 1)  # milliseconds
        13.8
    """
    shape, gpu, t = placed.model, placed.gpu, placed.tensor_parallel
    if not gpu.bandwidth_gb_s or (t > 1 and not gpu.link_gb_s):
        message = f"the data sheet of {gpu.name} is not known"
        raise ConfigError(message, field="gpu", remedy="name one of gpus.toml with --gpu")
    flops = t * placed.tflops * 1e12 * assumed.arithmetic_efficiency
    bandwidth = gpu.bandwidth_gb_s * 1e9 * assumed.bandwidth_efficiency
    head = 2.0 * shape.n_embedding_parameters
    layers_bytes = FORMATS[placed.quantization].weight_bytes * shape.n_layer_parameters
    token_s = 2.0 * shape.n_layer_parameters / flops
    return EngineCosts(
        overhead_s=assumed.overhead_s,
        weights_s=(layers_bytes + head) / (t * bandwidth),
        prefill_s_per_token=token_s,
        decode_s_per_token_sequence=token_s,
        kv_s_per_context_token=kv_bytes_per_token(shape, Split(t), placed.kv_cache_dtype) / bandwidth,
        s_per_pair=4.0 * shape.n_layers * shape.n_heads * shape.head_dim / flops,
        s_per_logit_row=head / flops,
        sync_s=2 * shape.n_layers * assumed.all_reduce_latency_s if t > 1 else 0.0,
        sync_s_per_token=_all_reduce_s(shape, gpu, t, assumed),
        prefill_launch_s=shape.n_layers * assumed.kernels_per_layer * assumed.kernel_launch_s,
    )


def _all_reduce_s(shape: ModelDimensions, gpu: Gpu, t: int, assumed: Assumptions) -> float:
    """Transfer time of one token's activations in all all-reduces, seconds; links are quoted for both directions."""
    if t == 1:
        return 0.0
    one_way = (gpu.link_gb_s or 0.0) / 2 * 1e9 * assumed.link_efficiency
    return 2 * shape.n_layers * 2 * (t - 1) / t * 2.0 * shape.hidden / one_way
