"""a1-trt simulate"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from a1_trt.cli import simulate_tables
from a1_trt.cli.old_spellings import Group
from a1_trt.cli.options import listed
from a1_trt.cli.output import FILE, Output, command_line, note, output_options
from a1_trt.cli.progress import CountView
from a1_trt.cli.simulate_options import make_request, run_options, strategy_option, workload_options


@click.group(cls=Group)
def simulate() -> None:
    """Predict a deployment in virtual time: no model, no GPU, no waiting.

    PAIR is a name, a pair file, or two known models as DRAFT+TARGET. Every figure is simulated, from data sheets and
    stated assumptions (docs/simulation.md).

    \b
    Examples:
      a1-trt simulate run reference --gpu L4x3 --problems 64 --samples 16 --output run.json
    """


@simulate.command(json_took_file=True)
@click.argument("pair")
@run_options
@click.option("--calls", "calls_path", type=FILE, help="Write every call, too.")
@output_options()
def run(pair: str, split: str | None, calls_path: Path | None, out: Output, **options: Any) -> None:
    """Simulate one run of PAIR.

    \b
    Examples:
      a1-trt simulate run deepseek-ai/DeepSeek-R1-Distill-Llama-8B+Qwen/QwQ-32B --gpu H100x3 --trace math.npz
    """
    from a1_trt.files import write_document
    from a1_trt.simulate.config import prepare
    from a1_trt.simulate.fleet_call import call_document

    prepared = prepare(make_request(pair, options, split))
    calls: list[dict[str, Any]] = []
    keep = (lambda call: calls.append(call_document(call))) if calls_path else None
    with CountView("samples", prepared.workload.n_samples) as view:
        outcome = prepared.run(on_sample=view.step, on_call=keep)
    if calls_path:
        write_document(calls_path, {"strategy": options["strategy"], "wall_s": outcome.makespan_s, "calls": calls})
        note(f"wrote {calls_path}")
    _deliver(prepared.document(outcome), out, simulate_tables.show_run)


@simulate.command(json_took_file=True)
@click.argument("pair")
@click.option(
    "--vary", multiple=True, metavar="NAME=A,B,...", help="strategy, samples, turns, alpha, split, replicas, in_flight."
)
@run_options
@output_options(plot=True)
def sweep(pair: str, vary: tuple[str, ...], split: str | None, out: Output, **options: Any) -> None:
    """Simulate every combination of what is varied; split and in_flight are D:T, of draft and target.

    \b
    Examples:
      a1-trt simulate sweep PAIR --gpu H100x8 --vary strategy=a1,sync-rank,target-only --vary samples=1,4,16 \\
        --vary split=2:6,4:4 --plot sweep.html
    """
    from a1_trt.simulate.parsing import axes_of
    from a1_trt.simulate.sweep import sweep as simulate_all

    with CountView("simulations") as view:
        results = simulate_all(make_request(pair, options, split), axes_of(vary), on_point=view.show)
    _deliver(results, out, simulate_tables.show_sweep)


@simulate.command()
@click.argument("pair")
@click.option("--alpha", "alphas", default="0.4", metavar="LOW:HIGH", help="Rates that cost no accuracy.")
@click.option("--load", "load_per_min", type=float, required=True, help="Problems a minute, coming by chance.")
@click.option("--latency", "latency_s", type=float, required=True, help="Longest time of a problem, seconds.")
@click.option("--percentile", type=click.Choice(["50", "95", "99"]), default="95", help="Of the latency.")
@click.option("--price", multiple=True, metavar="GPU=PRICE", help="Price of an hour; one a GPU if not given.")
@click.option("--or-gpu", "others", multiple=True, metavar="NAMExN", help="Another kind of GPU to choose from.")
@click.option("--runners-up", type=click.IntRange(0, 100), default=4, help="How many more to name.")
@strategy_option
@workload_options
@output_options(plot=True)
def plan(pair: str, out: Output, **options: Any) -> None:
    """Find the cheapest layout of PAIR that carries a load within a latency, out of at most the GPUs named.

    \b
    Examples:
      a1-trt simulate plan Qwen/Qwen2.5-7B-Instruct+Qwen/QwQ-32B --gpu H100x8 --alpha 0.3:0.5 --load 10 --latency 120
    """
    from a1_trt.simulate.parsing import pairs_of, range_of
    from a1_trt.simulate.plan import Goal, make_plan

    goal = Goal(
        load_per_min=options["load_per_min"],
        latency_s=options.pop("latency_s"),
        percentile=int(options.pop("percentile")),
        alphas=range_of(options.pop("alphas"), "alpha"),
        prices=pairs_of(options.pop("price"), "price"),
        others=options.pop("others"),
        n_runners_up=options.pop("runners_up"),
    )
    with CountView("layouts") as view:
        layouts = make_plan(make_request(pair, options), goal, on_layout=view.show)
    _deliver(layouts, out, simulate_tables.show_plan)


@simulate.command()
@click.argument("run_file", metavar="RUN.json", type=FILE)
@click.option("--holdout", metavar="STRATEGY,...", help="Strategies to predict, not to fit; else every other run.")
@click.option("--shared/--apart", default=None, help="Whether both engines share one processor; both are tried if not.")
@output_options()
def fit(run_file: Path, holdout: str | None, shared: bool | None, out: Output) -> None:
    """Fit the constants of the engines to the calls of a real run, and say how far the rest of it is predicted.

    The file of --output is what --engines of the other commands reads.

    \b
    Examples:
      a1-trt bench compare reference --strategies a1,target-only,sync-rank --output RUN.json
      a1-trt simulate fit RUN.json --holdout sync-rank --output engines.json
    """
    from a1_trt.simulate.call_log import read_runs
    from a1_trt.simulate.fit import fit_runs

    runs = read_runs(run_file)
    with CountView("simulations") as view:
        results = fit_runs(runs, holdout=listed(holdout or ""), shared=shared, on_step=view.show)
    _deliver(results, out, simulate_tables.show_fit)


@simulate.command()
@click.argument("trace", type=FILE)
@click.option("--slots", type=int, default=16, help="Samples at work at once.")
@output_options()
def barrier(trace: Path, slots: int, out: Output) -> None:
    """Say what removing the barrier between problems gains, from the recorded durations of TRACE.

    By plain list scheduling, and by the simulator on the same durations.

    \b
    Examples:
      a1-trt simulate barrier math.npz --slots 16
    """
    from a1_trt.simulate.list_scheduling import barrier_gain
    from a1_trt.simulate.recorded_workload import durations

    _deliver(barrier_gain(durations(trace), slots), out, simulate_tables.show_gain)


@simulate.command()
@click.option("--gpu", default="H100", metavar="NAME", help="Kind of GPU.")
@click.option("--seed", type=int, default=0, help="Seed of the workloads.")
@output_options()
def paper(gpu: str, seed: int, out: Output) -> None:
    """Simulate the table of the paper beside its figures; the workloads are assumptions (docs/simulation.md).

    \b
    Examples:
      a1-trt simulate paper --gpu H100
    """
    from a1_trt.simulate.paper import paper_table

    with CountView("simulations") as view:
        table = paper_table(gpu, seed, on_run=view.show)
    _deliver(table, out, simulate_tables.show_paper)


def _deliver(results: Mapping[str, Any], out: Output, show: Callable[[dict[str, Any]], None]) -> None:
    from a1_trt.simulate.report import plots, write_page

    document = {**results, "command": command_line()}
    out.draw(
        lambda: {title.rsplit(maxsplit=1)[-1]: (title, figure) for title, figure in plots(document)},
        lambda path: write_page(document, path),
    )
    out.deliver(document, show)
