"""Options that say what is simulated, and the request that they make."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from a1_trt.cli.options import gpu_option, joined, parameter_option

if TYPE_CHECKING:
    from a1_trt.simulate.config import Request
    from a1_trt.types import Role

strategy_option = click.option("--strategy", default="a1", metavar="NAME", help="See docs/simulation.md.")
workload_options = joined(
    gpu_option("not needed with --engines"),
    click.option("--trace", type=click.Path(path_type=Path), help="A published trace: its decisions are replayed."),
    click.option("--problems", "n_problems", type=int, help="Problems; the trace's own, or 32."),
    click.option("--samples", "n_samples", type=int, help="Samples of each; the trace's or the pair's own."),
    click.option("--seed", type=int, default=0, help="Seed of everything."),
    click.option("--max-turns", type=int, help="Longest chain, in turns."),
    click.option("--draft-tokens", type=int, help="Longest draft segment, tokens."),
    click.option("--target-tokens", type=int, help="Longest continuation by the target, tokens."),
    parameter_option("score_answers"),
    click.option("--draft-in-flight", type=click.IntRange(1, 65536), help="Most draft calls in flight an engine."),
    click.option("--target-in-flight", type=click.IntRange(1, 65536), help="Most target calls in flight an engine."),
    click.option("--concurrency", type=click.IntRange(min=1), help="Problems at work at once."),
    click.option("--controller", metavar="NAME", help="Decides; a trace's own decisions are replayed if not given."),
    click.option("--chars-per-token", type=float, help="Characters of a token of a trace."),
    click.option("--lengths", multiple=True, metavar="NAME=VALUE", help="Of a drawn workload: median_tokens, ..."),
    click.option("--set", "assumptions", multiple=True, metavar="NAME=VALUE", help="Another value of simulation.toml."),
    click.option("--engines", type=click.Path(path_type=Path), help="Engines of `simulate fit`, instead of GPUs."),
    click.option("--speculative-tokens", type=int, default=4, help="For token-speculative."),
    click.option("--acceptance", type=float, default=0.7, help="For token-speculative, per token."),
)
_FIELDS = ("gpu", "strategy", "trace", "n_problems", "n_samples", "seed", "concurrency", "load_per_min", "controller")
_PARAMETERS = ("max_turns", "alpha", "draft_tokens", "target_tokens", "score_answers")
run_options = joined(
    strategy_option,
    click.option("--split", metavar="D:T", help="GPUs of draft and target; one third to two if not given."),
    click.option("--alpha", type=float, help="Rejection rate in (0, 1)."),
    click.option("--load", "load_per_min", type=float, help="Problems a minute, by chance; all at 0 if not given."),
    workload_options,
)


def make_request(pair: str, options: dict[str, Any], split: str | None = None) -> Request:
    from a1_trt.simulate.config import Request
    from a1_trt.simulate.engines import read_engines
    from a1_trt.simulate.parsing import lengths_of, pairs_of
    from a1_trt.simulate.recorded_workload import CHARS_PER_TOKEN
    from a1_trt.simulate.speculation import Speculation
    from a1_trt.simulate.sweep import split_layout
    from a1_trt.types import ROLES

    in_flight: dict[Role, int] = {role: options[f"{role}_in_flight"] for role in ROLES if options[f"{role}_in_flight"]}
    engines, coupled = read_engines(options["engines"]) if options["engines"] else (None, False)
    request = Request(
        pair,
        **{name: options[name] for name in _FIELDS},
        parameters={name: options.get(name) for name in _PARAMETERS},
        in_flight=in_flight,
        lengths=lengths_of(options["lengths"]),
        chars_per_token=CHARS_PER_TOKEN if options["chars_per_token"] is None else options["chars_per_token"],
        assumptions=pairs_of(options["assumptions"], "set"),
        speculation=Speculation(options["speculative_tokens"], options["acceptance"]),
        engines=engines,
        coupled=coupled,
    )
    return replace(request, layout=split_layout(split, request)) if split else request
