"""Many simulations: one for every combination of what is varied."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from a1_trt.errors import InvalidRequestError
from a1_trt.simulate.config import Request, prepare, requested_pair
from a1_trt.simulate.layout import Layout, default_layout, divided_layout, parse_gpus

AXES = ("strategy", "samples", "turns", "alpha", "split", "replicas", "in_flight")
MAX_POINTS = 10_000


def split_layout(text: str, request: Request) -> Layout:
    """The layout with so many GPUs for the draft and the target: "2:6"."""
    n_draft, n_target = _two(text, "split")
    gpus = parse_gpus(request.gpu)
    if n_draft + n_target > gpus.count:
        message = f"the split {text} takes more than {gpus.count} GPUs"
        raise InvalidRequestError(message, field="split", remedy="name more with --gpu")
    return divided_layout(requested_pair(request), gpus.gpu, n_draft, n_target)


def _two(text: str, field: str) -> tuple[int, int]:
    parts = text.split(":")
    if len(parts) != 2 or not all(part.isdecimal() and 0 < int(part[:9]) < 10**6 for part in parts):
        raise InvalidRequestError(f"{field} is {text!r}", field=field, remedy="write DRAFT:TARGET, such as 2:6")
    return int(parts[0]), int(parts[1])


def replicated(layout: Layout, n: int) -> Layout:
    if not 1 <= n <= 100_000:
        raise InvalidRequestError(f"replicas is {n}", field="replicas", remedy="choose at least 1")
    draft, target = (replace(role, n_engines=n * role.n_engines) for role in (layout.draft, layout.target))
    return replace(layout, draft=draft, target=target)


def varied(request: Request, point: Mapping[str, Any]) -> Request:
    names = {"max_turns": "turns", "alpha": "alpha"}
    parameters = {**request.parameters, **{name: point[axis] for name, axis in names.items() if axis in point}}
    strategy, n_samples = point.get("strategy", request.strategy), point.get("samples", request.n_samples)
    changed = replace(request, parameters=parameters, strategy=strategy, n_samples=n_samples)
    if "in_flight" in point:
        n_draft, n_target = _two(point["in_flight"], "in_flight")
        changed = replace(changed, in_flight={"draft": n_draft, "target": n_target})
    if "split" in point:
        changed = replace(changed, layout=split_layout(point["split"], changed))
    if "replicas" in point:
        layout = changed.layout or default_layout(requested_pair(changed), parse_gpus(request.gpu))
        changed = replace(changed, layout=replicated(layout, point["replicas"]))
    return changed


def sweep(
    request: Request, axes: Mapping[str, Sequence[Any]], *, on_point: Callable[[int, int], object] = lambda *_: None
) -> dict[str, Any]:
    """Simulate every combination.

    Args:
        request: What stays the same.
        axes: What is varied, by name out of `AXES`.
        on_point: Told after each one how many are done, of how many.

    Returns:
        ``axes`` and ``points``, each with its values and figures; where strategies are varied, also ``speedup`` over
        "target-only" with the same other values.
    """
    names = [name for name in AXES if axes.get(name)]
    combinations = list(itertools.product(*(axes[name] for name in names)))
    if not names or len(combinations) > MAX_POINTS:
        message = f"{len(combinations) if names else 0} combinations"
        raise InvalidRequestError(message, field="axes", remedy=f"vary 1 to {MAX_POINTS} of them")
    points = []
    for done, values in enumerate(combinations, start=1):
        point = dict(zip(names, values, strict=True))
        prepared = prepare(varied(request, point))
        points.append({"at": point, **prepared.document(prepared.run())})
        on_point(done, len(combinations))
    _speedups(points)
    return {"simulated": True, "axes": {name: list(axes[name]) for name in names}, "points": points}


def _speedups(points: list[dict[str, Any]]) -> None:
    """Add the speed-up over the target alone, where that was simulated for the same other values."""
    alone = {
        _others(point["at"]): point["makespan_s"] for point in points if point["at"].get("strategy") == "target-only"
    }
    for point in points:
        base_s = alone.get(_others(point["at"]))
        if base_s is not None and point["makespan_s"]:
            point["speedup"] = base_s / point["makespan_s"]


def _others(at: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted((name, value) for name, value in at.items() if name != "strategy"))
