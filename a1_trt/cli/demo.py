"""a1-trt demo"""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from a1_trt.benchmarks.problems import read_problems
from a1_trt.cli.options import calibration_problems_option, json_option, pair_option, problems_option, setting_options
from a1_trt.cli.output import note, percent, say_json
from a1_trt.cli.pair import problems_path
from a1_trt.cli.progress import SolvingView
from a1_trt.config import Pair, load_pair
from a1_trt.errors import InvalidRequestError
from a1_trt.requests import make_parameters
from a1_trt.types import Parameters, Problem

N_PROBLEMS = 32
N_BLOCKS = 4
N_WARM_UP = 2
_ARMS = {"a1": "a1", "target-only": "target_only", "a1-barrier": "barrier"}
"""Strategy -> what the demo calls it."""
_FIGURES = ("accuracy", "accuracy_ci95", "wall_s", "n_scored", "n_takeovers", "n_stopped", "n_failed")


@click.command()
@pair_option
@problems_option
@click.option(
    "--problems", "n_problems", type=click.IntRange(min=2), default=N_PROBLEMS, show_default=True, help="How many."
)
@click.option("--level", default="middle", show_default=True, help="Level of the problems: easy, middle or hard.")
@click.option("--compare", type=click.Choice(["barrier"]), help="A third arm: A1 under the barrier schedule.")
@click.option("--blocks", type=click.IntRange(min=1), default=N_BLOCKS, show_default=True, help="Turns of each arm.")
@calibration_problems_option
@setting_options
@json_option
def demo(
    pair: str,
    problems_file: Path | None,
    n_problems: int,
    level: str,
    compare: str | None,
    blocks: int,
    allow_calibration_problems: bool,
    as_json: bool,
    **parameters: Any,
) -> None:
    """Start Triton, solve held-out problems by A1 and by the target alone on its engines, and compare the two.

    Both get the same problems, samples, seeds and settings, all problems in flight at once. The problems are dealt out
    into blocks in which the ways take turns, each leading in its turn, so that a machine that grows slower favours
    none; wall times are sums over the blocks.

    \b
    Examples:
      a1-trt demo
      a1-trt demo --level hard --problems 24 --samples 8
      a1-trt demo --compare barrier --json
    """
    from a1_trt.runtime.calibration import check_held_out

    loaded = load_pair(pair)
    settings = make_parameters(loaded.parameters(), **parameters)
    path = problems_file or problems_path(loaded)
    found = read_problems(path, level=level, with_answers=True)
    if len(found) < n_problems:
        raise InvalidRequestError(
            f"{path} has {len(found)} problems of level {level}", field="problems", remedy="ask for fewer"
        )
    n_used = check_held_out(loaded, found[:n_problems], allow=allow_calibration_problems)
    strategies = ["a1", "target-only", *([f"a1-{compare}"] if compare else [])]
    figures = asyncio.run(_measure(loaded, found, n_problems, strategies, blocks, settings))
    report = {
        "pair": loaded.name,
        "level": level,
        "alpha": settings.alpha,
        "n_problems": n_problems,
        "n_calibration_problems": n_used,
        "n_samples": settings.n_samples,
        "seed": settings.seed,
        "n_blocks": min(blocks, n_problems),
        **figures,
        "command": shlex.join(["a1-trt", *sys.argv[1:]]),
    }
    if as_json:
        say_json(report)
    else:
        _print(report, [_ARMS[name] for name in strategies])


async def _measure(
    loaded: Pair, found: list[Problem], n_problems: int, strategies: list[str], blocks: int, settings: Parameters
) -> dict[str, Any]:
    from a1_trt.benchmarks import Comparison, Plan, machine, versions
    from a1_trt.runtime.opening import open_engines
    from a1_trt.triton.server import TritonServer

    problems, others = found[:n_problems], found[n_problems : n_problems + N_WARM_UP]
    blocks = min(blocks, n_problems)
    plan = Plan(
        strategies=tuple(strategies),
        n_samples=(settings.n_samples,),
        max_turns=(settings.max_turns,),
        blocks=blocks,
        seed=settings.seed,
        n_in_flight=-(-n_problems // blocks),
        keep_calls="none",
    )
    about = {"machine": machine(), "versions": versions()}
    with TritonServer(loaded, progress=lambda text: note(f"Triton: {text}")) as server:
        engines = await open_engines(loaded, url=server.grpc_url)
        try:
            comparison = Comparison(plan, loaded, engines, problems, settings)
            with SolvingView(strategies, n_problems) as view:
                document = await comparison.measure(warm_up=others or problems[:1], on_progress=view.update)
        finally:
            for engine in engines.values():
                await engine.aclose()
    return {**_said(document), **about}


def _said(document: dict[str, Any]) -> dict[str, Any]:
    """The figures of a comparison under the names that the demo has for them."""
    said: dict[str, Any] = {}
    for each in document["overall"]:
        tokens = {f"{name}_tokens": n for name, n in each["tokens"].items()}
        said[_ARMS[each["strategy"]]] = {
            **{name: each[name] for name in _FIGURES},
            "sample_accuracy": each["pass_at_k"]["1"]["value"],
            **tokens,
        }
    for ratio in document["ratios"]:
        if ratio["against"] == "target-only":
            said |= {name: ratio[name] for name in ("accuracy_difference", "accuracy_difference_ci95", "speedup")}
        else:
            said["async_over_barrier"] = ratio["speedup"]
    a1 = next(each for each in document["overall"] if each["strategy"] == "a1")
    return {**said, **{name: a1[name] for name in ("rejection_rate", "rejection_rate_ci95")}}


def _print(report: dict[str, Any], arms: list[str]) -> None:
    names = {"a1": "A1", "target_only": "target alone", "barrier": "A1, barrier"}
    table = Table(title=f"{report['n_problems']} {report['level']} problems, {report['n_samples']} samples each")
    table.add_column("")
    for arm in arms:
        table.add_column(names[arm], justify="right")
    rows: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
        ("accuracy of the vote", lambda said: percent(said["accuracy"])),
        ("accuracy of one sample", lambda said: percent(said["sample_accuracy"])),
        ("rejection rate", lambda said: percent(_rate(said))),
        ("wall time", lambda said: f"{said['wall_s']:.2f} s"),
        ("tokens by the draft", lambda said: f"{said['draft_tokens']:,}"),
        ("tokens by the target", lambda said: f"{said['target_tokens']:,}"),
        ("tokens scored by the target", lambda said: f"{said['scored_tokens']:,}"),
        ("problems that failed", lambda said: str(said["n_failed"])),
    ]
    for name, cell in rows:
        table.add_row(name, *(cell(report[arm]) for arm in arms))
    console = Console()
    console.print(table)
    low, high = report["accuracy_difference_ci95"]
    between = [f"{100 * end:+.1f}" for end in (low, high)]
    lines = [
        f"speed-up over the target alone    {report['speedup']:.2f} x",
        f"accuracy, A1 minus target alone   {100 * report['accuracy_difference']:+.1f} points, "
        f"95 % interval {between[0]} to {between[1]}",
        f"rejection rate                    {percent(report['rejection_rate'])}, asked for {percent(report['alpha'])}",
    ]
    if "async_over_barrier" in report:
        lines.append(f"barrier time over asynchronous    {report['async_over_barrier']:.2f} x")
    lines.append(
        f"measured in {report['n_blocks']} blocks, in which the ways took turns on the same problems and seeds,"
    )
    lines.append(f"on {report['machine']['processor']}, {report['machine']['cores']} cores")
    for line in lines:
        click.echo(line)


def _rate(said: dict[str, Any]) -> float | None:
    return said["n_takeovers"] / said["n_scored"] if said["n_scored"] else None
