"""a1-trt simulate"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from a1_trt.cli import predictions
from a1_trt.cli.output import note, say_json
from a1_trt.cli.progress import CountView

if TYPE_CHECKING:
    from a1_trt.simulate.request import Request
    from a1_trt.types import Role

_F = TypeVar("_F", bound=Callable[..., Any])
_file, _out = click.Path(path_type=Path, dir_okay=False, allow_dash=True), click.Path(path_type=Path, dir_okay=False)
_json_file = click.option("--json", "json_path", type=_file, metavar="FILE", help="Write the figures; - prints them.")
_json_flag = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
_html = click.option("--html", type=_out, help="Write a report with plots.")
_strategy = click.option("--strategy", default="a1", show_default=True, metavar="NAME", help="See docs/simulation.md.")
_WORKLOAD = (
    click.option("--gpu", metavar="NAMExN", help="GPUs, such as H100x8."),
    click.option("--trace", type=click.Path(path_type=Path), help="A published trace: its decisions are replayed."),
    click.option("--problems", "n_problems", type=int, help="Problems; the trace's own, or 32."),
    click.option("--samples", "n_samples", type=int, help="Samples of each; the trace's or the pair's own."),
    click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything."),
    click.option("--max-turns", type=int, help="Longest chain, in turns."),
    click.option("--draft-tokens", type=int, help="Longest draft segment, tokens."),
    click.option("--target-tokens", type=int, help="Longest continuation by the target, tokens."),
    click.option("--verify-answers/--no-verify-answers", default=None, help="Also score segments with the answer."),
    click.option("--draft-in-flight", type=click.IntRange(1, 65536), help="Most draft calls in flight an engine."),
    click.option("--target-in-flight", type=click.IntRange(1, 65536), help="Most target calls in flight an engine."),
    click.option("--concurrency", type=click.IntRange(min=1), help="Problems at work at once."),
    click.option("--controller", metavar="NAME", help="Decides; a trace's own decisions are replayed if not given."),
    click.option("--chars-per-token", type=float, help="Characters of a token of a trace."),
    click.option("--lengths", multiple=True, metavar="NAME=VALUE", help="Of a drawn workload: median_tokens, ..."),
    click.option("--set", "assumptions", multiple=True, metavar="NAME=VALUE", help="Another value of simulation.toml."),
    click.option("--engines", type=click.Path(path_type=Path), help="Engines of `simulate fit`, instead of GPUs."),
    click.option("--speculative-tokens", type=int, default=4, show_default=True, help="For token-speculative."),
    click.option("--acceptance", type=float, default=0.7, show_default=True, help="For token-speculative, per token."),
)
_PARAMETERS = ("max_turns", "alpha", "draft_tokens", "target_tokens", "verify_answers")
_alpha = click.option("--alpha", type=float, help="Rejection rate in (0, 1).")
_load = click.option("--load", "load_per_min", type=float, help="Problems a minute, by chance; all at 0 if not given.")
_split = click.option("--split", metavar="D:T", help="GPUs of draft and target; one third to two if not given.")


def _workload_options(function: _F) -> _F:
    for option in reversed(_WORKLOAD):
        function = option(function)
    return function


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
@_strategy
@_split
@_alpha
@_load
@_workload_options
@_json_file
@click.option("--calls", "calls_path", type=_out, help="Write every call, too.")
def run(pair: str, split: str | None, json_path: Path | None, calls_path: Path | None, **given: Any) -> None:
    """Simulate one run of PAIR.

    \b
    Examples:
      a1-trt simulate run Qwen/Qwen2.5-7B-Instruct+Qwen/QwQ-32B --gpu H100x8 --strategy target-only --json -
      a1-trt simulate run deepseek-ai/DeepSeek-R1-Distill-Llama-8B+Qwen/QwQ-32B --gpu H100x3 --trace math.npz
    """
    from a1_trt.simulate.fleet import call_document
    from a1_trt.simulate.request import prepare

    prepared = prepare(_request(pair, given, split))
    calls: list[dict[str, Any]] = []
    keep = (lambda call: calls.append(call_document(call))) if calls_path else None
    with CountView("samples", prepared.workload.n_samples) as view:
        outcome = prepared.run(on_sample=view.step, on_call=keep)
    if calls_path:
        _write(calls_path, {"strategy": given["strategy"], "wall_s": outcome.makespan_s, "calls": calls})
    _deliver({**prepared.document(outcome), "command": _command()}, json_path, predictions.say_run)


@simulate.command()
@click.argument("pair")
@click.option(
    "--vary", multiple=True, metavar="NAME=A,B,...", help="strategy, samples, turns, alpha, split, replicas, in_flight."
)
@_strategy
@_split
@_alpha
@_load
@_workload_options
@_json_file
@_html
def sweep(
    pair: str, vary: tuple[str, ...], split: str | None, json_path: Path | None, html: Path | None, **given: Any
) -> None:
    """Simulate every combination of what is varied; split and in_flight are D:T, of draft and target.

    \b
    Example:
      a1-trt simulate sweep PAIR --gpu H100x8 --vary strategy=a1,sync-rank,target-only --vary samples=1,4,16 \\
        --vary split=2:6,4:4 --html sweep.html
    """
    from a1_trt.simulate.sweep import sweep as simulate_all
    from a1_trt.simulate.words import axes_of

    with CountView("simulations") as view:
        document = {
            **simulate_all(_request(pair, given, split), axes_of(vary), on_point=view.show),
            "command": _command(),
        }
    _write_html(document, html)
    _deliver(document, json_path, predictions.say_sweep)


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
@_strategy
@_workload_options
@_json_flag
@_html
def plan(pair: str, as_json: bool, html: Path | None, **given: Any) -> None:
    """Find the cheapest layout of PAIR that carries a load within a latency, out of at most the GPUs named.

    \b
    Example:
      a1-trt simulate plan Qwen/Qwen2.5-7B-Instruct+Qwen/QwQ-32B --gpu H100x8 --alpha 0.3:0.5 --load 10 --latency 120
    """
    from a1_trt.simulate.plan import Goal, make_plan
    from a1_trt.simulate.words import pairs_of, range_of

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
        document = {**make_plan(_request(pair, given), goal, on_layout=view.show), "command": _command()}
    _write_html(document, html)
    _deliver(document, Path("-") if as_json else None, predictions.say_plan)


@simulate.command()
@click.argument("run_file", metavar="RUN.json", type=_out)
@click.option("--holdout", metavar="STRATEGY,...", help="Strategies to predict, not to fit; else the later repeats.")
@click.option("--shared/--apart", default=None, help="Whether both engines share one processor; both are tried if not.")
@click.option("--output", type=_out, help="Write the engines, for --engines.")
@_json_flag
def fit(run_file: Path, holdout: str | None, shared: bool | None, output: Path | None, as_json: bool) -> None:
    """Fit the constants of the engines to the calls of a real run, and say how far the rest of it is predicted.

    \b
    Example:
      a1-trt bench compare reference --strategies a1,target-only,sync-rank --json RUN.json
      a1-trt simulate fit RUN.json --holdout sync-rank --output engines.json
    """
    from a1_trt.simulate.fit import fit_runs
    from a1_trt.simulate.recorded import read_runs

    runs = read_runs(run_file)
    with CountView("simulations") as view:
        document = fit_runs(
            runs, holdout=tuple(holdout.split(",")) if holdout else (), shared=shared, on_step=view.show
        )
    document["command"] = _command()
    if output:
        _write(output, document["engines"])
    _deliver(document, Path("-") if as_json else None, predictions.say_fit)


@simulate.command()
@click.argument("trace", type=_out)
@click.option("--slots", type=int, default=16, show_default=True, help="Samples at work at once.")
@_json_flag
def barrier(trace: Path, slots: int, as_json: bool) -> None:
    """Say what removing the barrier between problems gains, from the recorded durations of TRACE.

    By plain list scheduling, and by the simulator on the same durations.
    """
    from a1_trt.simulate.listing import barrier_gain
    from a1_trt.simulate.traces import durations

    document = {**barrier_gain(durations(trace), slots), "command": _command()}
    _deliver(document, Path("-") if as_json else None, predictions.say_gain)


@simulate.command()
@click.option("--gpu", default="H100", show_default=True, metavar="NAME", help="Kind of GPU.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the workloads.")
@_json_flag
def paper(gpu: str, seed: int, as_json: bool) -> None:
    """Simulate the table of the paper beside its figures; the workloads are assumptions (docs/simulation.md)."""
    from a1_trt.simulate.paper import paper_table

    with CountView("simulations") as view:
        document = {**paper_table(gpu, seed, on_run=view.show), "command": _command()}
    _deliver(document, Path("-") if as_json else None, predictions.say_paper)


def _request(pair: str, given: dict[str, Any], split: str | None = None) -> Request:
    """What the options say."""
    from a1_trt.simulate.engines import read_engines
    from a1_trt.simulate.fleet import ROLES
    from a1_trt.simulate.request import Request
    from a1_trt.simulate.speculation import Speculation
    from a1_trt.simulate.sweep import split_layout
    from a1_trt.simulate.traces import CHARS_PER_TOKEN
    from a1_trt.simulate.words import lengths_of, pairs_of

    in_flight: dict[Role, int] = {role: given[f"{role}_in_flight"] for role in ROLES if given[f"{role}_in_flight"]}
    engines, coupled = read_engines(given["engines"]) if given["engines"] else (None, False)
    request = Request(
        pair,
        gpu=given["gpu"],
        strategy=given["strategy"],
        trace=given["trace"],
        n_problems=given["n_problems"],
        n_samples=given["n_samples"],
        seed=given["seed"],
        parameters={name: given.get(name) for name in _PARAMETERS},
        in_flight=in_flight,
        concurrency=given["concurrency"],
        load_per_min=given.get("load_per_min"),
        controller=given["controller"],
        lengths=lengths_of(given["lengths"]),
        chars_per_token=CHARS_PER_TOKEN if given["chars_per_token"] is None else given["chars_per_token"],
        assumptions=pairs_of(given["assumptions"], "set"),
        speculation=Speculation(given["speculative_tokens"], given["acceptance"]),
        engines=engines,
        coupled=coupled,
    )
    return replace(request, layout=split_layout(split, request)) if split else request


def _command() -> str:
    return shlex.join(["a1-trt", *sys.argv[1:]])


def _write(path: Path, document: dict[str, Any]) -> None:
    from a1_trt.simulate.documents import write_document

    write_document(path, document)
    note(f"wrote {path}")


def _write_html(document: dict[str, Any], html: Path | None) -> None:
    if html:
        from a1_trt.report.simulate import write_page

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
