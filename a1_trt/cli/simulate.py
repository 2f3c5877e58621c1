"""a1-trt simulate"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from a1_trt.cli import simulate_tables
from a1_trt.cli.output import note, say_json
from a1_trt.cli.progress import CountView
from a1_trt.cli.simulate_options import (
    alpha_option,
    load_option,
    make_request,
    split_option,
    strategy_option,
    workload_options,
)

_file, _out = click.Path(path_type=Path, dir_okay=False, allow_dash=True), click.Path(path_type=Path, dir_okay=False)
_json_file = click.option("--json", "json_path", type=_file, metavar="FILE", help="Write the figures; - prints them.")
_json_flag = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
_html = click.option("--html", type=_out, help="Write a report with plots.")


@click.group()
def simulate() -> None:
    """Predict a deployment in virtual time: no model, no GPU, no waiting.

    PAIR is a name, a pair file, or two known models as DRAFT+TARGET. Every figure is simulated, from data sheets and
    stated assumptions (docs/simulation.md).

    \b
    Examples:
      a1-trt simulate run reference --gpu L4x3 --problems 64 --samples 16 --json run.json
      a1-trt simulate sweep PAIR --gpu H100x8 --vary strategy=a1,target-only --vary samples=1,4,16
      a1-trt simulate plan PAIR --gpu H100x8 --alpha 0.3:0.5 --load 10 --latency 120
      a1-trt simulate fit RUN.json
    """


@simulate.command()
@click.argument("pair")
@strategy_option
@split_option
@alpha_option
@load_option
@workload_options
@_json_file
@click.option("--calls", "calls_path", type=_out, help="Write every call, too.")
def run(pair: str, split: str | None, json_path: Path | None, calls_path: Path | None, **given: Any) -> None:
    """Simulate one run of PAIR.

    \b
    Examples:
      a1-trt simulate run Qwen/Qwen2.5-7B-Instruct+Qwen/QwQ-32B --gpu H100x8 --strategy target-only --json -
      a1-trt simulate run deepseek-ai/DeepSeek-R1-Distill-Llama-8B+Qwen/QwQ-32B --gpu H100x3 --trace math.npz
    """
    from a1_trt.simulate.config import prepare
    from a1_trt.simulate.fleet import call_document

    prepared = prepare(make_request(pair, given, split))
    calls: list[dict[str, Any]] = []
    keep = (lambda call: calls.append(call_document(call))) if calls_path else None
    with CountView("samples", prepared.workload.n_samples) as view:
        outcome = prepared.run(on_sample=view.step, on_call=keep)
    if calls_path:
        _write(calls_path, {"strategy": given["strategy"], "wall_s": outcome.makespan_s, "calls": calls})
    _deliver({**prepared.document(outcome), "command": _command()}, json_path, simulate_tables.say_run)


@simulate.command()
@click.argument("pair")
@click.option(
    "--vary", multiple=True, metavar="NAME=A,B,...", help="strategy, samples, turns, alpha, split, replicas, in_flight."
)
@strategy_option
@split_option
@alpha_option
@load_option
@workload_options
@_json_file
@_html
def sweep(
    pair: str, vary: tuple[str, ...], split: str | None, json_path: Path | None, html: Path | None, **given: Any
) -> None:
    """Simulate every combination of what is varied; split and in_flight are D:T, of draft and target.

    \b
    Examples:
      a1-trt simulate sweep PAIR --gpu H100x8 --vary strategy=a1,sync-rank,target-only --vary samples=1,4,16 \\
        --vary split=2:6,4:4 --html sweep.html
    """
    from a1_trt.simulate.parsing import axes_of
    from a1_trt.simulate.sweep import sweep as simulate_all

    with CountView("simulations") as view:
        document = {
            **simulate_all(make_request(pair, given, split), axes_of(vary), on_point=view.show),
            "command": _command(),
        }
    _write_html(document, html)
    _deliver(document, json_path, simulate_tables.say_sweep)


@simulate.command()
@click.argument("pair")
@click.option(
    "--alpha", "alphas", default="0.4", show_default=True, metavar="LOW:HIGH", help="Rates that cost no accuracy."
)
@click.option("--load", "load_per_min", type=float, required=True, help="Problems a minute, coming by chance.")
@click.option("--latency", "latency_s", type=float, required=True, help="Longest time of a problem, seconds.")
@click.option("--percentile", type=click.Choice(["50", "95", "99"]), default="95", help="Of the latency; 95.")
@click.option("--price", multiple=True, metavar="GPU=PRICE", help="Price of an hour; one a GPU if not given.")
@click.option("--or-gpu", "others", multiple=True, metavar="NAMExN", help="Another kind of GPU to choose from.")
@click.option("--runners-up", type=click.IntRange(0, 100), default=4, show_default=True, help="How many more to name.")
@strategy_option
@workload_options
@_json_flag
@_html
def plan(pair: str, as_json: bool, html: Path | None, **given: Any) -> None:
    """Find the cheapest layout of PAIR that carries a load within a latency, out of at most the GPUs named.

    \b
    Examples:
      a1-trt simulate plan Qwen/Qwen2.5-7B-Instruct+Qwen/QwQ-32B --gpu H100x8 --alpha 0.3:0.5 --load 10 --latency 120
    """
    from a1_trt.simulate.parsing import pairs_of, range_of
    from a1_trt.simulate.plan import Goal, make_plan

    goal = Goal(
        load_per_min=given["load_per_min"],
        latency_s=given.pop("latency_s"),
        percentile=int(given.pop("percentile")),
        alphas=range_of(given.pop("alphas"), "alpha"),
        prices=pairs_of(given.pop("price"), "price"),
        others=given.pop("others"),
        n_runners_up=given.pop("runners_up"),
    )
    with CountView("layouts") as view:
        document = {**make_plan(make_request(pair, given), goal, on_layout=view.show), "command": _command()}
    _write_html(document, html)
    _deliver(document, Path("-") if as_json else None, simulate_tables.say_plan)


@simulate.command()
@click.argument("run_file", metavar="RUN.json", type=_out)
@click.option("--holdout", metavar="STRATEGY,...", help="Strategies to predict, not to fit; else every other run.")
@click.option("--shared/--apart", default=None, help="Whether both engines share one processor; both are tried if not.")
@click.option("--output", type=_out, help="Write the engines, for --engines.")
@_json_flag
def fit(run_file: Path, holdout: str | None, shared: bool | None, output: Path | None, as_json: bool) -> None:
    """Fit the constants of the engines to the calls of a real run, and say how far the rest of it is predicted.

    \b
    Examples:
      a1-trt bench compare reference --strategies a1,target-only,sync-rank --json RUN.json
      a1-trt simulate fit RUN.json --holdout sync-rank --output engines.json
    """
    from a1_trt.simulate.call_log import read_runs
    from a1_trt.simulate.fit import fit_runs

    runs = read_runs(run_file)
    with CountView("simulations") as view:
        document = fit_runs(
            runs, holdout=tuple(holdout.split(",")) if holdout else (), shared=shared, on_step=view.show
        )
    document["command"] = _command()
    if output:
        _write(output, document["engines"])
    _deliver(document, Path("-") if as_json else None, simulate_tables.say_fit)


@simulate.command()
@click.argument("trace", type=_out)
@click.option("--slots", type=int, default=16, show_default=True, help="Samples at work at once.")
@_json_flag
def barrier(trace: Path, slots: int, as_json: bool) -> None:
    """Say what removing the barrier between problems gains, from the recorded durations of TRACE.

    By plain list scheduling, and by the simulator on the same durations.

    \b
    Examples:
      a1-trt simulate barrier math.npz --slots 16
    """
    from a1_trt.simulate.list_scheduling import barrier_gain
    from a1_trt.simulate.recorded_workload import durations

    document = {**barrier_gain(durations(trace), slots), "command": _command()}
    _deliver(document, Path("-") if as_json else None, simulate_tables.say_gain)


@simulate.command()
@click.option("--gpu", default="H100", show_default=True, metavar="NAME", help="Kind of GPU.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the workloads.")
@_json_flag
def paper(gpu: str, seed: int, as_json: bool) -> None:
    """Simulate the table of the paper beside its figures; the workloads are assumptions (docs/simulation.md).

    \b
    Examples:
      a1-trt simulate paper --gpu H100
    """
    from a1_trt.simulate.paper import paper_table

    with CountView("simulations") as view:
        document = {**paper_table(gpu, seed, on_run=view.show), "command": _command()}
    _deliver(document, Path("-") if as_json else None, simulate_tables.say_paper)


def _command() -> str:
    return shlex.join(["a1-trt", *sys.argv[1:]])


def _write(path: Path, document: dict[str, Any]) -> None:
    from a1_trt.files import write_document

    write_document(path, document)
    note(f"wrote {path}")


def _write_html(document: dict[str, Any], html: Path | None) -> None:
    if html:
        from a1_trt.simulate.report import write_page

        write_page(document, html)
        note(f"wrote {html}")


def _deliver(document: dict[str, Any], path: Path | None, say: Callable[[dict[str, Any]], None]) -> None:
    """As JSON where it is asked for, to people otherwise, or both where JSON goes to a file."""
    if path == Path("-"):
        say_json(document)
        return
    if path:
        _write(path, document)
    say(document)
