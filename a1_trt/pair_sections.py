"""The sections of a pair file; `a1_trt.config` puts them together. [scheduler] is `a1_trt.parameters.Scheduling`."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from a1_trt.core.conformal import Category, ControllerSettings
from a1_trt.parameters import DEFAULTS, Alpha, OnScoreError, Temperature, Tokens
from a1_trt.types import Role

ControllerName = Literal[
    "two-level", "growing", "mondrian", "window", "exponential", "per-problem", "aci", "static", "published", "random",
    "counter",
]  # fmt: skip
ScoreName = Literal["perplexity", "mean_nll", "tail_nll", "worst_nll", "window_nll", "root_nll", "rise_nll"]


class Section(BaseModel):
    """A table of a pair file: frozen, without unknown keys or conversions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Sampling(Section):
    """How a role generates: temperature (0 is greedy), and the longest segment in tokens of its own tokenizer."""

    temperature: Temperature = DEFAULTS.temperature
    segment_tokens: Tokens = DEFAULTS.draft_tokens


class GpuRole(Section):
    """How a role is built for GPUs; `a1-trt engine plan` explains what follows.

    Args:
        tensor_parallel: GPUs that share each layer; chosen from the GPUs that there are when None.
        pipeline_parallel: Groups of GPUs that hold a share of the layers each.
        replicas: Copies of the model; each holds the prefixes of the samples that are sent to it.
        quantization: Weights: "none" (16 bits), "fp8" (Ada and later), "int4_awq" or "nvfp4" (Blackwell and later);
            "auto" takes the first of these that fits the GPUs, 16 bits first.
        kv_cache_dtype: "auto", the type of the activations, or "fp8".
        kv_cache_fraction: Share of the free memory that the KV cache takes; computed when None.
        scoring: How a target scores: "additional_output" and "context_logits" on TensorRT-LLM's PyTorch backend,
            "external_draft" and "context_logits" in a compiled engine; the cheapest when "auto".
    """

    tensor_parallel: int | None = Field(default=None, ge=1, le=64)
    pipeline_parallel: int = Field(default=1, ge=1, le=64)
    replicas: int = Field(default=1, ge=1, le=64)
    quantization: Literal["auto", "none", "fp8", "int4_awq", "nvfp4"] = "none"
    kv_cache_dtype: Literal["auto", "fp8"] = "auto"
    kv_cache_fraction: float | None = Field(default=None, gt=0.0, lt=1.0)
    scoring: Literal["auto", "additional_output", "context_logits", "external_draft"] = "auto"


class RoleConfig(Section):
    """One model of the pair.

    Args:
        model: A directory or .gguf file (relative to the pair file), ``package:NAME/FILE`` for a file inside an
            installed Python package, or a Hugging Face id.
        prompt: The prompt around a problem, with ``{problem}`` in it; or "chat" for the model's own chat template.
        system: System message, for ``prompt = "chat"``.
        max_in_flight: Most calls in flight at once.
        kv_cache_gb: Size of the KV cache on a CPU engine, GB.
        threads: Processor threads of a CPU engine; one a core when None. A tiny draft is fastest on one.
        precision: Arithmetic and KV cache of a CPU engine: "f32", in which scores do not depend on the machine, or
            "device", the processor's own choice, which is faster and enough for a draft.
        max_context_tokens: Longest prompt plus generation; the model's own when None.
    """

    model: str = Field(min_length=1)
    engine: Literal["openvino", "tensorrt_llm"] = "openvino"
    prompt: str = "{problem}\n"
    system: str = ""
    max_in_flight: int = Field(16, ge=1, le=4096)
    kv_cache_gb: int = Field(1, ge=1, le=1024)
    threads: int | None = Field(None, ge=1, le=1024)
    precision: Literal["f32", "device"] = "f32"
    max_context_tokens: int | None = Field(None, ge=16)
    sampling: Sampling = Sampling()
    gpu: GpuRole = GpuRole()


class Conformal(Section):
    """When the target takes over. `ControllerSettings` says what debt, window, half_life, prior, smoothed, store mean.

    Args:
        alpha: Rejection rate: the share of scored segments that the target takes over.
        controller: What holds the rate; see `a1_trt.core.conformal.CONTROLLERS`.
        score: Nonconformity score; see `a1_trt.core.conformal.SCORES`.
        category: Which past scores a new one is ranked among: all ("none"), those of its turn bucket ("turn") or of
            its problem ("problem").
        horizon: Problems over which the rate must hold, each counted as one decision a sample. A short horizon gives
            hard problems no more takeovers than easy ones.
        exact_budget: Exactly round(alpha n_samples) takeovers among the samples of a turn.
        max_takeovers: Most takeovers that wait or are in flight at once, over all problems.
        on_score_error: What happens to a segment that could not be scored. It never stands: the target writes in its
            place, from its start ("takeover"), or the sample fails ("fail").
        max_unscored: Share of the last 200 score calls (20 at least) that may fail. Above it, a problem fails as a
            whole when a score of it fails, and nothing is ready, until 20 scores in a row have come. A problem of which
            4 scores failed before any came fails, too. At 1 neither happens.
        calibration: File of decisions to start from, written by ``a1-trt calibrate run`` or by an earlier run with
            `keep` (relative to the pair file). For "static" and "published" they are the only scores that count.
        keep: Add this run's decisions to that file as they are made; it is made if it is not there.
    """

    alpha: Alpha = DEFAULTS.alpha
    controller: ControllerName = "two-level"
    score: ScoreName = "perplexity"
    category: Category = "turn"
    horizon: float = Field(default=12.5, gt=0.0, le=1e9)
    debt: float | None = Field(default=None, ge=0.0)
    window: int = Field(default=1000, ge=1, le=10_000_000)
    half_life: float = Field(default=500.0, ge=1.0)
    prior: float = Field(default=4.0, ge=0.0)
    exact_budget: bool = DEFAULTS.exact_budget
    max_takeovers: int | None = Field(default=None, ge=1)
    smoothed: bool = True
    store: Literal["exact", "histogram"] = "exact"
    on_score_error: OnScoreError = DEFAULTS.on_score_error
    max_unscored: float = Field(default=0.05, ge=0.0, le=1.0)
    calibration: str | None = None
    keep: bool = False

    @field_validator("debt")
    @classmethod
    def _as_the_controller_takes_it(cls, debt: float | None) -> float | None:
        return ControllerSettings(debt=debt).debt

    def settings(self, n_samples: int) -> ControllerSettings:
        """What the controller is told, for problems of `n_samples` samples."""
        settings = {item.name: getattr(self, item.name) for item in fields(ControllerSettings)}
        return ControllerSettings(**{**settings, "horizon": max(1.0, self.horizon * n_samples)})


Address = Annotated[str, Field(pattern=r"^(grpc://)?[^/\s:]+:\d{1,5}(/[A-Za-z0-9._-]+)?$", max_length=300)]


class Serving(Section):
    """Where the pair is served.

    Args:
        url: ``grpc://host:port`` or ``http://host:port`` of the Triton server.
        draft: Addresses of the draft's replicas, ``host:port`` or ``host:port/model``, where they are not all on the
            server at `url`. Samples are kept on the replica that holds their text.
        target: Likewise of the target's.
        cancel: How a call to a server is cut short: "client" breaks it off; "stop" sends a second request that asks
            the server to stop, for backends that do not survive the first way.
        engines: Where the served model a1 finds its engines with the profile "cpu": in the "models" draft and target of
            the same server, or in a second copy "inside" itself, so that no call passes through the server. That takes
            the memory twice, and pays where calls take milliseconds. On GPUs it is always the models.
    """

    url: str = "grpc://127.0.0.1:8001"
    draft: tuple[Address, ...] = Field(default=(), strict=False, max_length=64)
    target: tuple[Address, ...] = Field(default=(), strict=False, max_length=64)
    cancel: Literal["client", "stop"] = "client"
    engines: Literal["models", "inside"] = "models"

    @model_validator(mode="after")
    def _replicas_are_models(self) -> Serving:
        if self.engines == "inside" and (self.draft or self.target):
            raise ValueError('replicas are models of their own: write engines = "models", or leave the replicas out')
        return self

    def replicas(self, role: Role) -> tuple[str, ...]:
        return self.draft if role == "draft" else self.target
