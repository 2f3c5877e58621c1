"""Where a pair's models stand: how many GPUs of a kind each role has, and how its engines are cut out of them.

Whether models fit, how their weights are quantised and what their KV caches hold is what `a1-trt engine plan` says:
every size is `a1_trt.build.fit`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from a1_trt.build.fit import Fit, Sizing
from a1_trt.build.hardware import Gpu, GpuSpec, known_models
from a1_trt.build.memory import Split
from a1_trt.build.placement import Placement, place, splits
from a1_trt.build.sizes import TOKENS_PER_BLOCK
from a1_trt.config import Pair, load_pair, make_pair
from a1_trt.errors import ConfigError, InvalidRequestError
from a1_trt.simulate.engine_model.costs import EngineLimits
from a1_trt.simulate.engine_model.roofline import Assumptions, PlacedModel, engine_costs
from a1_trt.simulate.fleet import EnginePlan
from a1_trt.types import ROLES, Role

MAX_GPUS = 100_000


@dataclass(frozen=True, slots=True)
class RoleLayout:
    """The engines of one role: calls are spread over them, a chain stays with one; `split` spreads each over GPUs."""

    n_engines: int
    split: Split

    @property
    def n_gpus(self) -> int:
        return self.n_engines * self.split.n_gpus


@dataclass(frozen=True, slots=True)
class Layout:
    """Engines of both roles on GPUs of one kind; colocated ones share the same GPUs, and their memory."""

    gpu: Gpu
    draft: RoleLayout
    target: RoleLayout
    colocated: bool = False

    @property
    def n_gpus(self) -> int:
        return max(self.draft.n_gpus, self.target.n_gpus) if self.colocated else self.draft.n_gpus + self.target.n_gpus

    def role(self, role: Role) -> RoleLayout:
        return self.draft if role == "draft" else self.target

    def placement(self) -> Placement:
        """One engine of each role: engines are alike, so that these show what each holds."""
        start = 0 if self.colocated else self.draft.split.n_gpus
        return {"draft": place(self.draft.split), "target": place(self.target.split, start)}


def parse_gpus(text: str | None) -> GpuSpec:
    """Read "H100x8", "8 x h100-80g" or "L4"; a simulation may name more of them than one machine has."""
    if text is None:
        raise InvalidRequestError("no GPU is named", field="gpu", remedy="give --gpu NAMExN, such as H100x8")
    return GpuSpec.parse(text, most=MAX_GPUS)


def open_pair(text: str) -> Pair:
    """A pair by name or file, or "DRAFT+TARGET" of two models whose dimensions are known.

    Example:
        >>> open_pair("Qwen/Qwen2.5-7B-Instruct+Qwen/QwQ-32B").target.model
        'Qwen/QwQ-32B'
    """
    draft, plus, target = text.partition("+")
    if not plus or not {draft, target} <= known_models().keys():
        return load_pair(text)
    roles: dict[str, Any] = {
        role: {"model": model, "engine": "tensorrt_llm", "prompt": "chat"}
        for role, model in zip(ROLES, (draft, target), strict=True)
    }
    return make_pair({"name": f"{draft.split('/')[-1]}-{target.split('/')[-1]}", **roles})


def sizing_of(pair: Pair, gpu: Gpu) -> Sizing:
    """The pair on this kind of GPU; compiled engines only where the way of scoring needs them."""
    return Sizing.of(pair, "tensorrt" if pair.target.gpu.scoring == "external_draft" else "pytorch", gpu)


def default_layout(pair: Pair, gpus: GpuSpec) -> Layout:
    """A third of the GPUs for the draft, as the published code has it, the others for the target.

    Engines are as small as they can be without more quantisation than the GPUs need. Where the roles have to share
    GPUs, the layout is that of `a1-trt engine plan`.
    """
    sizing = sizing_of(pair, gpus.gpu)
    fit = sizing.best(gpus.count)
    if not fit.fits:
        raise _does_not_fit(pair, f"{gpus}", fit, "; or it ".join(sizing.remedies(gpus.count)))
    draft, target = (fit.placement[role].split for role in ROLES)
    draft_copies, target_copies = (pair.role(role).gpu.replicas for role in ROLES)
    if fit.is_shared:
        roles = RoleLayout(draft_copies, draft), RoleLayout(target_copies, target)
        return Layout(gpus.gpu, *roles, colocated=True)
    target = next(
        split
        for split in splits(pair, "target", sizing.models["target"], gpus.count)
        if sizing.fit({"draft": place(draft), "target": place(split, draft.n_gpus)}, fit.quantization).fits
    )
    n_draft_gpus = max(draft_copies * draft.n_gpus, gpus.count // 3)
    n_target = max(target_copies, (gpus.count - n_draft_gpus) // target.n_gpus)
    n_draft = max(draft_copies, (gpus.count - n_target * target.n_gpus) // draft.n_gpus)
    return Layout(gpus.gpu, RoleLayout(n_draft, draft), RoleLayout(n_target, target))


def divided_layout(pair: Pair, gpu: Gpu, n_draft: int, n_target: int) -> Layout:
    """So many GPUs for the draft and so many for the target, with the smallest engines that fill them."""
    sizing = sizing_of(pair, gpu)
    drafts = [split for split in splits(pair, "draft", sizing.models["draft"], n_draft) if n_draft % split.n_gpus == 0]
    targets = splits(pair, "target", sizing.models["target"], n_target)
    candidates: list[Placement] = [
        {"draft": place(draft), "target": place(target, draft.n_gpus)}
        for target in targets
        if n_target % target.n_gpus == 0
        for draft in drafts
    ]
    fit = sizing.first(candidates) if candidates else None
    if fit is None or not fit.fits:
        reason = f"{fit.short_gib:.1f} GiB are missing on the fullest GPU" if fit else "it leaves GPUs over"
        message = f"{pair.name} does not fit {n_draft} and {n_target} x {gpu.name}: {reason}"
        remedy = "choose another split, or set tensor_parallel in the pair file"
        raise InvalidRequestError(message, field="split", remedy=remedy)
    draft, target = (fit.placement[role].split for role in ROLES)
    return Layout(gpu, RoleLayout(n_draft // draft.n_gpus, draft), RoleLayout(n_target // target.n_gpus, target))


def _does_not_fit(pair: Pair, where: str, fit: Fit, remedy: str = "") -> ConfigError:
    return ConfigError(
        f"{pair.name} does not fit {where}: {fit.short_gib:.1f} GiB are missing on the fullest GPU",
        field="gpu",
        remedy=remedy or "take more or larger GPUs, a larger tensor_parallel or a quantization",
    )


@dataclass(frozen=True, slots=True)
class Deployment:
    """A pair on a layout: what an engine of each role holds, and how many calls it has in flight at most."""

    layout: Layout
    sizing: Sizing
    fit: Fit
    assumed: Assumptions
    in_flight: Mapping[Role, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls, pair: Pair, layout: Layout, assumed: Assumptions, in_flight: Mapping[Role, int] | None = None
    ) -> Deployment:
        """Size a layout, with as little quantisation as it takes; ConfigError where the models do not fit it."""
        sizing = sizing_of(pair, layout.gpu)
        fit = sizing.first([layout.placement()])
        if not fit.fits:
            raise _does_not_fit(pair, f"{layout.n_gpus} x {layout.gpu.name} in this layout", fit)
        return cls(layout, sizing, fit, assumed, in_flight or {})

    def document(self) -> dict[str, Any]:
        roles: dict[str, Any] = {
            role: {
                "engines": self.layout.role(role).n_engines,
                "tensor_parallel": self.layout.role(role).split.tensor,
                "pipeline_parallel": self.layout.role(role).split.pipeline,
                "quantization": self.fit.quantization[role],
            }
            for role in ROLES
        }
        layout = self.layout
        return {"gpu": layout.gpu.name, "gpus": layout.n_gpus, **roles, "colocated": layout.colocated}

    def plans(self) -> dict[Role, EnginePlan]:
        return {role: self._plan(role) for role in ROLES}

    def _plan(self, role: Role) -> EnginePlan:
        config, engines = self.sizing.pair.role(role), self.layout.role(role)
        model, quantization = self.sizing.models[role], self.fit.quantization[role]
        placed = PlacedModel(model, self.layout.gpu, engines.split.tensor, quantization, config.gpu.kv_cache_dtype)
        costs = engine_costs(placed, self.assumed)
        if self.layout.colocated:
            costs = replace(costs, shared_slowdown=self.assumed.colocated_slowdown)
        in_flight = self.in_flight.get(role, config.max_in_flight)
        return EnginePlan(costs, self._limits(role, in_flight), engines.n_engines, in_flight * engines.n_engines)

    def _limits(self, role: Role, in_flight: int) -> EngineLimits:
        sizes = self.fit.sizes[role]
        # More calls in flight than the pair has were not planned for; the batch takes what an engine usually takes.
        max_sequences = max(sizes.max_batch_size, min(in_flight, self.assumed.max_sequences))
        scored_tokens = self.fit.max_scoring_requests * sizes.max_seq_len
        return EngineLimits(
            max_sequences=max_sequences,
            max_num_batched_tokens=max(sizes.max_num_tokens, max_sequences),
            kv_blocks=self.fit.kv_tokens[role] // TOKENS_PER_BLOCK,
            block_tokens=TOKENS_PER_BLOCK,
            max_context_tokens=sizes.max_seq_len,
            logits_tokens=scored_tokens if sizes.scoring == "context_logits" else None,
        )
