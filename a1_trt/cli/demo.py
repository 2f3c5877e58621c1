"""a1-trt demo"""

from __future__ import annotations

from typing import Any

import click

from a1_trt.cli.bench_options import compare as compare_strategies
from a1_trt.cli.old_spellings import Command
from a1_trt.cli.options import pair_option, setting_options
from a1_trt.cli.output import Output, command_line, output_options, progress
from a1_trt.cli.problems import ProblemChoice, problem_options
from a1_trt.cli.tables import percent, print_table, seconds, times
from a1_trt.config import load_pair
from a1_trt.requests import make_parameters

_ARMS = {"a1": "a1", "target-only": "target_only", "a1-barrier": "barrier"}
"""Strategy -> its key in the document."""
_TITLES = {"a1": "A1", "target_only": "target alone", "barrier": "A1, barrier"}
_FIGURES = ("accuracy", "accuracy_ci95", "wall_s", "n_scored", "n_takeovers", "n_stopped", "n_failed")


@click.command(cls=Command)
@pair_option
@problem_options(32, least=2, level="middle")
@click.option("--compare", type=click.Choice(["barrier"]), help="A third arm: A1 under the barrier schedule.")
@click.option("--blocks", type=click.IntRange(min=1), default=4, help="Turns of each arm.")
@setting_options
@output_options()
def demo(pair: str, choice: ProblemChoice, compare: str | None, blocks: int, out: Output, **options: Any) -> None:
    """Start Triton, solve held-out problems by A1 and by the target alone on its engines, and compare the two.

    Both get the same problems, samples, seeds and settings, all problems in flight at once. The problems are dealt out
    into blocks in which the strategies alternate, each leading in its turn, so that a machine that grows slower favours
    none; wall times are sums over the blocks.

    \b
    Examples:
      a1-trt demo
      a1-trt demo --level hard --problems 24 --samples 8
      a1-trt demo --compare barrier --json
    """
    from a1_trt.benchmarks import Plan
    from a1_trt.triton.server import TritonServer

    loaded = load_pair(pair)
    parameters = make_parameters(loaded.parameters(), **options)
    chosen = choice.of(loaded)
    blocks = min(blocks, choice.n_problems)
    plan = Plan(
        strategies=("a1", "target-only", *([f"a1-{compare}"] if compare else [])),
        n_samples=(parameters.n_samples,),
        max_turns=(parameters.max_turns,),
        blocks=blocks,
        seed=parameters.seed,
        n_in_flight=-(-choice.n_problems // blocks),
        keep_calls="none",
    )
    with TritonServer(loaded, progress=lambda text: progress(f"Triton: {text}")) as server:
        comparison = compare_strategies(plan, loaded, chosen, parameters, url=server.grpc_url)
    document = {
        "pair": loaded.name,
        "level": choice.level,
        "alpha": parameters.alpha,
        "n_problems": choice.n_problems,
        "n_calibration_problems": chosen.n_calibration_problems,
        "n_samples": parameters.n_samples,
        "seed": parameters.seed,
        "n_blocks": blocks,
        **_figures(comparison),
        **{name: comparison[name] for name in ("machine", "versions")},
        "command": command_line(),
    }
    out.deliver(document, _show)


def _figures(comparison: dict[str, Any]) -> dict[str, Any]:
    """The figures of a comparison under the names that the demo has for them."""
    figures: dict[str, Any] = {}
    for result in comparison["overall"]:
        figures[_ARMS[result["strategy"]]] = {
            **{name: result[name] for name in _FIGURES},
            "sample_accuracy": result["pass_at_k"]["1"]["value"],
            **{f"{name}_tokens": n for name, n in result["tokens"].items()},
        }
    for ratio in comparison["ratios"]:
        if ratio["against"] == "target-only":
            figures |= {name: ratio[name] for name in ("accuracy_difference", "accuracy_difference_ci95", "speedup")}
        else:
            figures["async_over_barrier"] = ratio["speedup"]
    (a1,) = (result for result in comparison["overall"] if result["strategy"] == "a1")
    return {**figures, **{name: a1[name] for name in ("rejection_rate", "rejection_rate_ci95")}}


def _show(document: dict[str, Any]) -> None:
    arms = [name for name in _TITLES if name in document]
    results = [document[name] for name in arms]
    rates = [result["n_takeovers"] / result["n_scored"] if result["n_scored"] else None for result in results]
    tokens = {"by the draft": "draft_tokens", "by the target": "target_tokens", "scored by the target": "scored_tokens"}
    rows = [
        ["accuracy of the vote", *(percent(result["accuracy"]) for result in results)],
        ["accuracy of one sample", *(percent(result["sample_accuracy"]) for result in results)],
        ["rejection rate", *map(percent, rates)],
        ["wall time", *(seconds(result["wall_s"]) for result in results)],
        *([f"tokens {what}", *(f"{result[name]:,}" for result in results)] for what, name in tokens.items()),
        ["problems that failed", *(result["n_failed"] for result in results)],
    ]
    title = f"{document['n_problems']} {document['level']} problems, {document['n_samples']} samples each"
    print_table(["", *(_TITLES[name] for name in arms)], rows, title=title)
    low, high = (f"{100 * end:+.1f}" for end in document["accuracy_difference_ci95"])
    click.echo(f"\nspeed-up over the target alone    {times(document['speedup'])}")
    difference = f"{100 * document['accuracy_difference']:+.1f} points, 95 % interval {low} to {high}"
    click.echo(f"accuracy, A1 minus target alone   {difference}")
    asked = percent(document["alpha"])
    click.echo(f"rejection rate                    {percent(document['rejection_rate'])}, asked for {asked}")
    if "async_over_barrier" in document:
        click.echo(f"barrier time over asynchronous    {times(document['async_over_barrier'])}")
    machine = document["machine"]
    click.echo(f"measured in {document['n_blocks']} blocks, in which the strategies alternate on the same problems,")
    click.echo(f"on {machine['processor']}, {machine['cores']} cores")
