"""A plan in words, as JSON, and as a shell script."""

import json
import shlex
from collections.abc import Iterator
from typing import Any

from a1_trt.build.plan import BuildPlan
from a1_trt.types import ROLES

_LIMITS = ("max_seq_len", "max_batch_size", "max_num_tokens", "max_draft_len")


def document(plan: BuildPlan) -> dict[str, Any]:
    return {
        "fits": plan.fits,
        "memory_gib": plan.memory_gib(),
        "commands": plan.commands,
        "settings": plan.settings,
        "warnings": list(plan.warnings),
        "remedies": list(plan.remedies),
        "short_gib": plan.short_gib,
        "pair": plan.pair,
        "profile": plan.profile,
        "gpu": {"name": plan.gpu.gpu.name, "count": plan.gpu.count, "memory_gib": plan.gpu.gpu.memory_gib},
        "output": str(plan.output),
        "placement": {role: [list(gpus) for gpus in place.replicas] for role, place in plan.placement.items()},
        "quantization": plan.quantization,
        "scoring": plan.sizes["target"].scoring,
        "max_scoring_requests": plan.max_scoring_requests,
        "kv_tokens": plan.kv_tokens,
        "limits": {role: dict(sizes.why) for role, sizes in plan.sizes.items()},
        "memory": [
            {"role": row.role, "part": row.part, "gib": round(row.gib, 3), "explanation": row.explanation}
            for row in plan.memory
        ],
        "runtime": plan.runtime,
        "steps": [
            {"name": step.title, "output": str(step.output), "line": step.line, "explanation": step.explanation}
            for step in plan.steps
        ],
        "files": {str(step.output / name): text for step in plan.steps for name, text in step.files.items()},
        "versions": plan.versions,
    }


def lines(plan: BuildPlan) -> Iterator[str]:
    verdict = (
        f"fits; {-plan.short_gib:.1f} GiB more than it needs on the fullest GPU"
        if plan.fits
        else f"DOES NOT FIT: {plan.short_gib:.1f} GiB are missing on the fullest GPU"
    )
    yield f"{plan.pair} on {plan.gpu}, profile {plan.profile}: {verdict}"
    yield from (f"  it {remedy}" for remedy in plan.remedies)
    yield "\nMemory, GiB on each GPU of a role (a first model, not measured)"
    yield from _memory(plan)
    yield "\nLimits"
    yield from _limits(plan)
    for role in ROLES:
        yield f"\nSettings of the {role}"
        yield from (f"  {key} = {json.dumps(value)}" for key, value in plan.settings[role].items())
        yield from (f"  triton: {key} = {value}" for key, value in plan.runtime[role].items())
    yield "\nCommands"
    yield from (f"  # {step.title}: {step.explanation}\n  {step.line}" for step in plan.steps)
    if plan.warnings:
        yield "\nTo know"
        yield from (f"  - {text}" for text in plan.warnings)


def _memory(plan: BuildPlan) -> Iterator[str]:
    titles = {"gpu": "each GPU"}
    for role in ROLES:
        place = plan.placement[role]
        gpus = "; ".join(", ".join(map(str, replica)) for replica in place.replicas)
        titles[role] = f"{role}: GPU {gpus}, {place.split}, weights {plan.quantization[role]}"
    for role_or_gpu in (*ROLES, "gpu"):
        yield f"  {titles[role_or_gpu]}"
        rows = (row for row in plan.memory if row.role == role_or_gpu)
        yield from (f"    {row.part:<12}{row.gib:8.2f}  {row.explanation}" for row in rows)


def _limits(plan: BuildPlan) -> Iterator[str]:
    for role in ROLES:
        sizes = plan.sizes[role]
        for key in (key for key in _LIMITS if key in sizes.why):
            yield f"  {role:<7}{key:<16}{getattr(sizes, key):>7}  {sizes.why[key]}"
        yield f"  {role:<7}{'KV cache':<16}{plan.kv_tokens[role]:>7}  tokens; at least {sizes.why['kv_tokens']}"
    way = plan.sizes["target"].scoring
    yield f"  target {'scores at once':<16}{plan.max_scoring_requests:>7}  by {way}; each needs memory of its own"


def script(plan: BuildPlan) -> Iterator[str]:
    """The commands as a shell script: what a build does, without resuming and without its records."""
    yield "#!/bin/sh\nset -eu"
    for step in plan.steps:
        yield f"\n# {step.title}: {step.explanation}"
        if step.argv:
            yield step.line
        for name, text in step.files.items():
            yield f"mkdir -p {shlex.quote(str(step.output))}"
            yield f"cat > {shlex.quote(str(step.output / name))} <<'END_OF_FILE'\n{text}END_OF_FILE"
