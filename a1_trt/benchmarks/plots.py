"""The plots of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from a1_trt.plotting import COLOURS, new_figure
from a1_trt.types import ROLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Document = Mapping[str, Any]

_KINDS = {"draft": COLOURS[0], "score": COLOURS[4], "takeover": COLOURS[1]}
_WINDOW = 200
_MOST_CALLS = 4000
_BARRIERS = ("sync-rank", "sync-threshold", "a1-barrier", "sync-rank-overlapped", "published")


def plots(document: Document) -> dict[str, tuple[str, Figure]]:
    """Every plot that the document has data for: name -> title and figure."""
    made: dict[str, tuple[str, Figure | None]] = {
        "accuracy": ("Accuracy against time", accuracy_against_time(document)),
        "speedup_samples": ("Speed-up against samples", speedup_against(document, "n_samples", "samples")),
        "speedup_turns": ("Speed-up against turns", speedup_against(document, "max_turns", "most turns")),
        "rejections": ("Rejection rate", rejection_rate(document)),
        "latency": ("Latency", latency(document)),
        "utilisation": ("Engine utilisation", utilisation(document)),
        "timeline": ("Calls in time", timeline(document)),
    }
    return {name: (title, figure) for name, (title, figure) in made.items() if figure is not None}


def accuracy_against_time(document: Document) -> Figure:
    """One point a strategy and setting: seconds a problem, and accuracy with its interval."""
    figure, ((ax,),) = new_figure(height=3.6)
    for name, colour in _colours(document).items():
        mine = _of(document, name)
        ax.errorbar(
            [each["wall_s"] / each["n_problems"] for each in mine],
            [100 * each["accuracy"] for each in mine],
            yerr=_errors([each["accuracy"] for each in mine], [each["accuracy_ci95"] for each in mine], 100),
            fmt="o-",
            color=colour,
            capsize=2,
            label=name,
        )
    ax.set(xscale="log", xlabel="seconds a problem", ylabel="accuracy of the vote, %")
    ax.legend()
    return figure


def speedup_against(document: Document, key: str, title: str) -> Figure | None:
    """Speed-up of the first strategy over each other one, against samples or turns; None where these were not swept."""
    values = sorted({each[key] for each in document["overall"]})
    if len(values) < 2 or not document["ratios"]:
        return None
    other = "max_turns" if key == "n_samples" else "n_samples"
    most = max(each[other] for each in document["overall"])
    figure, ((ax,),) = new_figure()
    for name, colour in _colours(document).items():
        mine = [each for each in document["ratios"] if each["against"] == name and each[other] == most]
        if mine:
            heights = [each["speedup"] for each in mine]
            bars = _errors(heights, [each["speedup_ci95"] for each in mine])
            ax.errorbar([each[key] for each in mine], heights, yerr=bars, fmt="o-", color=colour, capsize=2, label=name)
    ax.axhline(1.0, color="black", linewidth=0.8)
    ax.set(xlabel=title, ylabel=f"speed-up of {document['plan']['strategies'][0]}", xticks=values, ylim=(0, None))
    ax.legend(title="over")
    return figure


def rejection_rate(document: Document) -> Figure | None:
    """Over time, as the mean of the last 200 decisions, and by turn with intervals; alpha is the line."""
    if not any(cell["decisions"] for name in _colours(document) for cell in _cells(document, name)):
        return None
    alpha = document["parameters"]["alpha"]
    figure, ((running, turns),) = new_figure(1, 2)
    for name, colour in _colours(document).items():
        taken = [decision[-1] for cell in _cells(document, name) for decision in cell["decisions"]]
        if not taken:
            continue
        running.plot(range(1, len(taken) + 1), _running_rate(taken), color=colour, label=name)
        by_turn = _of(document, name)[-1]["rejection_rate_by_turn"]
        rates = [each["rate"] for each in by_turn]
        bars = _errors(rates, [each["ci95"] for each in by_turn])
        turns.errorbar([each["turn"] + 1 for each in by_turn], rates, yerr=bars, fmt="o-", color=colour, capsize=2)
    for ax in (running, turns):
        ax.axhline(alpha, color="black", linewidth=0.8, linestyle="--")
        ax.set(ylim=(0, 1), ylabel="rejection rate")
    running.set(xlabel=f"decisions (mean of the last {_WINDOW})")
    turns.set(xlabel="turn")
    running.legend()
    return figure


def latency(document: Document) -> Figure:
    """Share of problems and of samples that were done after so many seconds."""
    figure, ((problems, samples),) = new_figure(1, 2)
    for name, colour in _colours(document).items():
        solved = [problem for cell in _cells(document, name) for problem in cell["problems"]]
        _distribution(problems, [problem["latency_s"] for problem in solved], colour, name)
        _distribution(samples, [each for problem in solved for each in problem["sample_latencies_s"]], colour, name)
    problems.set(xscale="log", xlabel="seconds to a problem's vote", ylabel="share")
    samples.set(xscale="log", xlabel="seconds to a sample's end")
    problems.legend()
    return figure


def utilisation(document: Document) -> Figure:
    """Share of the time in which each engine had work, and share of its slots that were taken."""
    figure, ((ax,),) = new_figure()
    names = list(_colours(document))
    said = {name: _of(document, name)[-1]["utilisation"] for name in names}
    bars = (("draft", "draft busy"), ("target", "target busy"), ("of_lower_bound", "lower bound / makespan"))
    for place, (key, title) in enumerate(bars):
        heights = [said[name][key] or 0.0 for name in names]
        ax.bar([at + (place - 1) * 0.26 for at in range(len(names))], heights, width=0.24, label=title)
    ax.set(xticks=range(len(names)), ylim=(0, 1.05), ylabel="share of wall time")
    ax.set_xticklabels(names, rotation=20, ha="right")
    ax.legend(ncols=3)
    return figure


def timeline(document: Document) -> Figure | None:
    """Calls per engine, one line a slot, of a barrier strategy and of a1 side by side: what is white is waiting."""
    with_calls = {name: cell for name in _colours(document) for cell in _cells(document, name)[:1] if cell.get("calls")}
    barrier = next((name for name in _BARRIERS if name in with_calls), None)
    chosen = [name for name in (barrier, next(iter(with_calls), None)) if name is not None]
    chosen = list(dict.fromkeys(chosen))
    if not chosen:
        return None
    figure, axes = new_figure(2, len(chosen), height=2.6)
    for column, name in enumerate(chosen):
        calls = _named_calls(document, with_calls[name])
        for row, role in enumerate(ROLES):
            ax = axes[row, column]
            _gantt(ax, [call for call in calls if call["role"] == role])
            ax.set(ylabel=f"{role} slots" if column == 0 else "", xlabel="seconds" if row == 1 else "")
            if row == 0:
                ax.set_title(name)
    longest = max(with_calls[name]["wall_s"] for name in chosen)
    for ax in axes.flat:
        ax.set_xlim(0, longest)
    _legend(axes[0, -1])
    return figure


def _gantt(ax: Axes, calls: Sequence[Mapping[str, Any]]) -> None:
    free_s: list[float] = []
    lanes: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for call in sorted(calls, key=lambda call: call["started_s"])[:_MOST_CALLS]:
        lane = next((at for at, end_s in enumerate(free_s) if end_s <= call["started_s"] + 1e-9), len(free_s))
        free_s[lane : lane + 1] = [call["ended_s"]]
        span = (call["started_s"], call["ended_s"] - call["started_s"])
        lanes.setdefault((lane, call["kind"]), []).append(span)
    for (lane, kind), spans in lanes.items():
        ax.broken_barh(spans, (lane + 0.05, 0.9), facecolors=_KINDS[kind], edgecolor="white", linewidth=0.2)
    ax.set_ylim(0, max(1, len(free_s)))
    ax.grid(visible=False)


def _legend(ax: Axes) -> None:
    for kind, colour in _KINDS.items():
        ax.bar(0, 0, color=colour, label=kind)
    ax.legend(loc="upper right", frameon=True, ncols=3)


def _named_calls(document: Document, cell: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [dict(zip(document["call_fields"], call, strict=True)) for call in cell["calls"]]


def _distribution(ax: Axes, values: Sequence[float], colour: str, label: str) -> None:
    if values:
        ordered = sorted(values)
        ax.step(
            ordered, [(at + 1) / len(ordered) for at in range(len(ordered))], where="post", color=colour, label=label
        )


def _running_rate(taken: Sequence[bool]) -> list[float]:
    sums = [0]
    for each in taken:
        sums.append(sums[-1] + each)
    ends = range(1, len(sums))
    return [(sums[end] - sums[max(0, end - _WINDOW)]) / min(end, _WINDOW) for end in ends]


def _colours(document: Document) -> dict[str, str]:
    measured = {each["strategy"] for each in document["overall"]}
    names = [name for name in document["plan"]["strategies"] if name in measured]
    return {name: COLOURS[at % len(COLOURS)] for at, name in enumerate(names)}


def _of(document: Document, name: str) -> list[Mapping[str, Any]]:
    return [each for each in document["overall"] if each["strategy"] == name]


def _cells(document: Document, name: str) -> list[Mapping[str, Any]]:
    """A strategy's cells of its last setting, the largest of a sweep."""
    mine = [cell for cell in document["cells"] if cell["strategy"] == name]
    if not mine:
        return []
    last = (mine[-1]["n_samples"], mine[-1]["max_turns"])
    return [cell for cell in mine if (cell["n_samples"], cell["max_turns"]) == last]


def _errors(values: Sequence[float], intervals: Sequence[Sequence[float] | None], scale: float = 1) -> Any:
    pairs = [interval or (value, value) for value, interval in zip(values, intervals, strict=True)]
    low = [scale * max(0.0, value - pair[0]) for value, pair in zip(values, pairs, strict=True)]
    high = [scale * max(0.0, pair[1] - value) for value, pair in zip(values, pairs, strict=True)]
    return [low, high]
