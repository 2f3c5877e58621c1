"""a1-trt eval"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from a1_trt.cli.old_spellings import Command
from a1_trt.cli.options import choice_option, parameter_options
from a1_trt.cli.output import FOLDER, Output, command_line, json_option, note
from a1_trt.cli.problems import calibration_problems_option
from a1_trt.cli.progress import SolvingView
from a1_trt.cli.tables import interval, percent, print_table, seconds
from a1_trt.config import Pair, load_pair
from a1_trt.requests import make_parameters
from a1_trt.types import ROLES, Parameters

if TYPE_CHECKING:
    from a1_trt.benchmarks.evaluation import Dataset, Folder

_MOVING = ("aci", "two-level")
"""Controllers that compare p-values with another level than alpha."""


@click.command(name="eval", cls=Command)
@click.argument("pair")
@click.option("--data", required=True, help="JSON lines with problem and answer, or a data set of Hugging Face's hub.")
@click.option("--output", type=FOLDER, required=True, help="Folder of the results.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first so many problems.")
@choice_option("--subset", of=("full", "official"), help="official: the rows that the published code scores.")
@click.option("--url", help="Solve on a server, grpc://host:port or http://host:port, instead of in this process.")
@click.option("--concurrency", type=click.IntRange(1, 4096), default=8, help="Problems in flight.")
@click.option("--deadline", "deadline_s", type=float, help="Seconds a problem may take; then it counts as wrong.")
@click.option("--choices-seed", type=int, default=42, help="Seed of the order of choices (GPQA).")
@calibration_problems_option
@parameter_options
@json_option
def evaluate(
    pair: str,
    data: str,
    output: Path,
    limit: int | None,
    subset: Literal["full", "official"],
    url: str | None,
    concurrency: int,
    deadline_s: float | None,
    choices_seed: int,
    allow_calibration_problems: bool,
    out: Output,
    **parameters: Any,
) -> None:
    """Solve a data set with PAIR, grade it, and keep every sample with its full trace.

    The command may be killed at any moment: the same command goes on, and at most the problems in flight are lost. The
    folder of --output holds records.jsonl (samples), problems.jsonl, run.json (what was asked for) and summary.json.

    Data sets with a short name, for which the package datasets is needed: math500, aime24, aime25, amc23, amc,
    olympiad, gpqa.

    \b
    Examples:
      a1-trt eval reference --data engines/reference/problems.jsonl --output results --limit 32
      a1-trt eval reference --data math500.jsonl --subset official --output math --no-early-stop
      a1-trt eval mine/pair.toml --data HuggingFaceH4/MATH-500 --output math --url grpc://127.0.0.1:8001
    """
    from a1_trt.benchmarks.evaluation import Folder, read_dataset, summarise
    from a1_trt.runtime.calibration import check_held_out

    loaded = load_pair(pair)
    dataset = read_dataset(data, subset=subset, seed=choices_seed)
    given = {name: value for name, value in parameters.items() if value is not None}
    settings = make_parameters(loaded.parameters(), **given)
    n_used = check_held_out(loaded, dataset.problems[:limit], allow=allow_calibration_problems)
    asked = _asked_for(loaded, dataset, subset, settings, url, deadline_s)
    how = {"concurrency": concurrency, "limit": limit}
    with Folder(output, asked, {**_about(), **how}) as folder:
        n_total = len(dataset.problems[:limit])
        try:
            asyncio.run(_solve(loaded, dataset, folder, given, settings, url, deadline_s=deadline_s, **how))
        except KeyboardInterrupt:
            note("stopped; the same command goes on")
            raise
        finally:
            n_total = max(n_total, len(folder.lines))
            summary = summarise(folder.lines, n_total=n_total, alpha=settings.alpha, starts=folder.starts)
            summary = _described(summary, asked, dataset, n_used)
            folder.write("summary.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    out.deliver(summary, _show)


async def _solve(
    pair: Pair,
    dataset: Dataset,
    folder: Folder,
    given: Mapping[str, Any],
    settings: Parameters,
    url: str | None,
    **how: Any,
) -> None:
    from a1_trt.benchmarks.evaluation import Evaluation
    from a1_trt.benchmarks.evaluation.run_calibration import with_own_past
    from a1_trt.client import AsyncClient

    done = {line["problem_key"] for line in folder.lines}
    if done:
        note(f"{len(folder.lines)} problems are done already")
    fixed = pair.conformal.controller not in _MOVING and not pair.conformal.exact_budget
    async with AsyncClient(url or with_own_past(pair, folder.path, done)) as client:
        evaluation = Evaluation(client, dataset, folder, given, alpha=settings.alpha if fixed else None, **how)
        with SolvingView(["evaluating"], len(evaluation.todo)) as view:
            await evaluation.run(lambda n_done, n_total, outcome: view.solved("evaluating", n_done, n_total, outcome))


def _asked_for(
    pair: Pair, dataset: Dataset, subset: str, settings: Parameters, url: str | None, deadline_s: float | None
) -> dict[str, Any]:
    """What determines the figures: a folder is gone on with only if all of it is the same."""
    rows = [[problem.id, problem.key, problem.answer] for problem in dataset.problems]
    return {
        "pair": pair.name,
        "fingerprint": pair.fingerprint(),
        "engines": {role: [pair.role(role).engine, pair.role(role).precision] for role in ROLES},
        "conformal": pair.conformal.model_dump(mode="json", exclude={"calibration", "keep"}),
        "data": {"subset": subset, "sha256": hashlib.sha256(json.dumps(rows).encode()).hexdigest()},
        "parameters": asdict(settings),
        "deadline_s": deadline_s,
        "served": url is not None,
    }


def _about() -> dict[str, Any]:
    from a1_trt.benchmarks import commit, machine, versions

    about = {"started_at": time.time(), "command": command_line(), "commit": commit()}
    return {**about, "machine": machine(), "versions": versions()}


def _described(summary: Mapping[str, Any], asked: Mapping[str, Any], dataset: Dataset, n_used: int) -> dict[str, Any]:
    used = [f"{n_used} of these problems made the pair's stored calibration: the figures flatter"] if n_used else []
    first = {"pair": asked["pair"], "data": dataset.name, "subset": asked["data"]["subset"]}
    last = {"n_calibration_problems": n_used, "seed": asked["parameters"]["seed"]}
    return {**first, **summary, **last, "notes": [*used, *dataset.notes, *summary["notes"]]}


def _show(summary: Mapping[str, Any]) -> None:
    whole = (summary["accuracy"], summary["pass_at_k"].get("1"), summary["rejection_rate"])
    rows = [["all", summary["n_done"], *map(_figure, whole)]]
    for name, groups in summary["groups"].items():
        for value, group in groups.items():
            figures = (group["accuracy"], group["pass_at_1"], group["rejection_rate"])
            rows.append([f"{name} {value}", group["n_problems"], *map(_figure, figures)])
    title = f"{summary['data']}: {summary['n_done']} of {summary['n_problems']} problems"
    print_table(("", "n", "accuracy of the vote", "pass@1", "rejection rate"), rows, title=title)
    click.echo("\n".join(_lines(summary)))


def _lines(summary: Mapping[str, Any]) -> list[str]:
    passed = ", ".join(f"{k}: {_figure(row)}" for k, row in summary["pass_at_k"].items())
    latency, tokens = summary["latency_s"], summary["tokens"]
    lines = [
        "",
        f"pass@k            {passed or '-'}",
        f"any sample right  {_figure(summary['any_right'])} (the published rule, of {summary['n_samples']} samples)",
        *(f"rejected {name:<9}{_figure(row)}" for name, row in summary["rejection_rate_by_turn"].items()),
        f"tokens            draft {tokens['draft']:,}, target {tokens['target']:,}, scored {tokens['scored']:,}",
    ]
    if latency["p50"] is not None:
        times = ", ".join(f"{name} {seconds(latency[name])}" for name in ("p50", "p95", "p99"))
        lines.append(f"latency           {times}")
    return [*lines, *(f"note: {text}" for text in summary["notes"])]


def _figure(row: Mapping[str, Any] | None) -> str:
    if row is None or row["value"] is None:
        return "-"
    ends = "" if row["low"] is None else f" {interval(row['low'], row['high'], 1, 100.0)}"
    return percent(row["value"]) + ends
