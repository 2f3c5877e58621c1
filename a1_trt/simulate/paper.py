"""The paper's table, simulated: what its settings would give on stated GPUs, beside what it reports.

Two ways of running the target alone are compared with, for the paper does not say which it means: as its published
code does, eight calls at a time and one problem after another, and with all problems in flight, as any server would.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from itertools import count
from typing import Any

from a1_trt.build.memory import Split
from a1_trt.simulate.config import Request, prepare
from a1_trt.simulate.layout import Layout, RoleLayout, parse_gpus
from a1_trt.simulate.outcome import Outcome
from a1_trt.simulate.workload import Lengths
from a1_trt.types import ROLES, Role

MOST = {"speedup": 56.7, "throughput": 4.14}
"""Gains that the paper's abstract reports at most; for which pair and data it does not say."""


def paper_settings() -> dict[str, Any]:
    """The stated settings and workloads, with where they are from."""
    return tomllib.loads(resources.files(__package__).joinpath("paper.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class _Way:
    strategy: str
    in_flight: Mapping[Role, int]
    concurrency: int | None


def _ways(settings: Mapping[str, Any]) -> dict[str, _Way]:
    both: dict[Role, int] = {"draft": settings["draft_in_flight"], "target": settings["target_in_flight"]}
    wide: dict[Role, int] = {"draft": 256, "target": 256}
    return {
        "target-only, one by one": _Way("target-only", {"target": settings["alone_in_flight"]}, 1),
        "target-only, all at once": _Way("target-only", wide, None),
        "sync-rank": _Way("sync-rank", both, 1),
        "published": _Way("published", both, 1),
        "a1": _Way("a1", both, None),
        "a1, 256 in flight": _Way("a1", wide, None),
    }


def paper_table(
    gpu: str = "H100",
    seed: int = 0,
    *,
    most_problems: int | None = None,
    on_run: Callable[[int, int], object] = lambda *_: None,
) -> dict[str, Any]:
    """Simulate every dataset every way, with one GPU for the draft and two for the target.

    Args:
        gpu: Kind of GPU.
        seed: Seed of the workloads.
        most_problems: Of each dataset, for a first look; all of them when None.
        on_run: Told how many simulations are done, and how many there are.
    """
    document = paper_settings()
    settings, datasets = document["settings"], document["datasets"]
    roles = RoleLayout(settings["draft_gpus"], Split()), RoleLayout(1, Split(settings["target_gpus"]))
    layout = Layout(parse_gpus(gpu).gpu, *roles)
    ways = _ways(settings)
    rows: list[dict[str, Any]] = []
    done = count(1)
    for dataset in datasets:
        dataset["problems"] = min(dataset["problems"], most_problems or dataset["problems"])
        outcomes: dict[str, Outcome] = {}
        for name, way in ways.items():
            prepared = prepare(_request(settings, dataset, way, layout, seed))
            outcomes[name] = prepared.run()
            on_run(next(done), len(datasets) * len(ways))
        rows.append(_row(dataset, outcomes))
    return {
        "simulated": True,
        "layout": prepared.layout(),
        "settings": settings,
        "seed": seed,
        "paper_at_most": MOST,
        "rows": rows,
    }


def _request(settings: Mapping[str, Any], dataset: Mapping[str, Any], way: _Way, layout: Layout, seed: int) -> Request:
    ratio = dataset["alone_tokens"] / dataset["draft_tokens"]
    return Request(
        settings["pair"],
        strategy=way.strategy,
        n_problems=dataset["problems"],
        n_samples=settings["samples"],
        seed=seed,
        layout=layout,
        parameters={
            "max_turns": settings["max_turns"],
            "draft_tokens": settings["segment_tokens"],
            "target_tokens": settings["segment_tokens"],
            "alpha": settings["alpha"],
            "early_stop": False,  # neither the paper nor its code stops a settled vote
        },
        in_flight=way.in_flight,
        concurrency=way.concurrency,
        lengths=Lengths(median_tokens=dataset["draft_tokens"], spread=dataset["spread"], alone_ratio=ratio),
    )


def _row(dataset: Mapping[str, Any], outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    makespans = {name: outcome.makespan_s for name, outcome in outcomes.items()}
    bases = ("target-only, one by one", "target-only, all at once", "sync-rank")
    return {
        "dataset": dataset["name"],
        "problems": dataset["problems"],
        "assumed": {key: dataset[key] for key in ("alone_tokens", "draft_tokens", "spread")},
        "paper": dataset["paper"],
        "makespan_s": makespans,
        "speedup": {
            name: {base: makespans[base] / makespans[name] for base in bases}
            for name in ("published", "a1", "a1, 256 in flight")
        },
        "rejection_rate": {name: outcome.rejection_rate for name, outcome in outcomes.items()},
        "tokens": {
            name: {role: outcome.tally.counts[f"{role}_tokens"] for role in ROLES} for name, outcome in outcomes.items()
        },
        "utilisation": {name: outcome.utilisation for name, outcome in outcomes.items()},
    }
