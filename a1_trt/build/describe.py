"""A plan in words, as JSON, and as a shell script."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

from a1_trt.build.plan import Plan
from a1_trt.types import ROLES

_LIMITS = ("max_seq_len", "max_batch_size", "max_num_tokens", "max_draft_len")


def document(made: Plan) -> dict[str, Any]:
    """Everything that a plan says, ready for JSON."""
    return {
        "fits": made.fits,
        "memory_gib": made.memory_gib(),
        "commands": made.commands,
        "settings": made.settings,
        "warnings": list(made.warnings),
        "remedies": list(made.remedies),
        "short_gib": made.short_gib,
        "pair": made.pair,
        "profile": made.profile,
        "gpu": {"name": made.gpu.gpu.name, "count": made.gpu.count, "memory_gib": made.gpu.gpu.memory_gib},
        "output": str(made.output),
        "placement": {role: [list(gpus) for gpus in place.replicas] for role, place in made.placement.items()},
        "quantization": made.quantization,
        "scoring": made.sizes["target"].scoring,
        "max_scoring_requests": made.max_scoring_requests,
        "kv_tokens": made.kv_tokens,
        "limits": {role: dict(sizes.why) for role, sizes in made.sizes.items()},
        "memory": [
            {"role": row.role, "part": row.part, "gib": round(row.gib, 3), "explanation": row.explanation}
            for row in made.memory
        ],
        "runtime": made.runtime,
        "steps": [
            {"name": step.title, "output": str(step.output), "line": step.line, "explanation": step.explanation}
            for step in made.steps
        ],
        "files": {str(step.output / name): text for step in made.steps for name, text in step.files.items()},
        "versions": made.versions,
    }


def lines(made: Plan) -> Iterator[str]:
    """The plan as text: whether it fits, why its numbers are what they are, and every command."""
    verdict = (
        f"fits; {-made.short_gib:.1f} GiB more than it needs on the fullest GPU"
        if made.fits
        else f"DOES NOT FIT: {made.short_gib:.1f} GiB are missing on the fullest GPU"
    )
    yield f"{made.pair} on {made.gpu}, profile {made.profile}: {verdict}"
    yield from (f"  it {remedy}" for remedy in made.remedies)
    yield "\nMemory, GiB on each GPU of a role (a first model, not measured)"
    yield from _memory(made)
    yield "\nLimits"
    yield from _limits(made)
    for role in ROLES:
        yield f"\nSettings of the {role}"
        yield from (f"  {key} = {json.dumps(value)}" for key, value in made.settings[role].items())
        yield from (f"  triton: {key} = {value}" for key, value in made.runtime[role].items())
    yield "\nCommands"
    yield from (f"  # {step.title}: {step.explanation}\n  {step.line}" for step in made.steps)
    if made.warnings:
        yield "\nTo know"
        yield from (f"  - {text}" for text in made.warnings)


def _memory(made: Plan) -> Iterator[str]:
    titles = {"gpu": "each GPU"}
    for role in ROLES:
        place = made.placement[role]
        gpus = "; ".join(", ".join(map(str, replica)) for replica in place.replicas)
        titles[role] = f"{role}: GPU {gpus}, {place.split}, weights {made.quantization[role]}"
    for role_or_gpu in (*ROLES, "gpu"):
        yield f"  {titles[role_or_gpu]}"
        rows = (row for row in made.memory if row.role == role_or_gpu)
        yield from (f"    {row.part:<12}{row.gib:8.2f}  {row.explanation}" for row in rows)


def _limits(made: Plan) -> Iterator[str]:
    for role in ROLES:
        sizes = made.sizes[role]
        for key in (key for key in _LIMITS if key in sizes.why):
            yield f"  {role:<7}{key:<16}{getattr(sizes, key):>7}  {sizes.why[key]}"
        yield f"  {role:<7}{'KV cache':<16}{made.kv_tokens[role]:>7}  tokens; at least {sizes.why['kv_tokens']}"
    way = made.sizes["target"].scoring
    yield f"  target {'scores at once':<16}{made.max_scoring_requests:>7}  by {way}; each needs memory of its own"


def script(made: Plan) -> Iterator[str]:
    """The commands as a shell script: what a build does, without resuming and without its records."""
    yield "#!/bin/sh\nset -eu"
    for step in made.steps:
        yield f"\n# {step.title}: {step.explanation}"
        if step.argv:
            yield step.line
        for name, text in step.files.items():
            yield f"mkdir -p {shlex.quote(str(step.output))}"
            yield f"cat > {shlex.quote(str(step.output / name))} <<'END_OF_FILE'\n{text}END_OF_FILE"
