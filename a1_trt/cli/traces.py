"""a1-trt traces replay | quality | report"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from a1_trt.cli.options import json_option
from a1_trt.cli.output import note, say_json

if TYPE_CHECKING:
    from a1_trt.replay import Order, Replay

_file = click.argument("trace", type=click.Path(path_type=Path, dir_okay=False))
_alpha = click.option("--alpha", type=float, default=0.4, show_default=True, help="Rejection rate in (0, 1).")
_seed = click.option("--seed", type=int, default=0, show_default=True, help="Seed of draws, order and resampling.")
_plot = click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), help="Also draw it: a .png, .svg or .html file."
)


@click.group()
def traces() -> None:
    """Replay recorded scores through any controller, and ask what a score is worth. No model runs.

    A trace is an .npz archive (docs/statistics.md lists its arrays) or the records of 'a1-trt eval' (JSON lines).

    \b
    Examples:
      a1-trt traces replay math.npz --controller two-level --alpha 0.4
      a1-trt traces quality math.npz --answers math500.jsonl --answers-drawn 42:100
      a1-trt traces report --trace math.npz --output report
    """


@traces.command("replay")
@_file
@click.option(
    "--controller",
    "controllers",
    multiple=True,
    default=("two-level",),
    show_default=True,
    metavar="NAME",
    help="A controller; give it several times to compare, or 'all'.",
)
@_alpha
@click.option("--order", default="served", show_default=True, metavar="NAME", help="served or shuffled.")
@click.option(
    "--horizon", type=float, help="Decisions over which the rate must hold; the controller's own if not given."
)
@_seed
@_plot
@json_option
def replay_command(
    trace: Path,
    controllers: tuple[str, ...],
    alpha: float,
    order: str,
    horizon: float | None,
    seed: int,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Let controllers decide on the scores of TRACE again, and report the rate that each of them keeps.

    Served order is problem by problem, within a problem by turn and then by sample. Intervals are 95 % over whole
    problems, since samples of one problem resemble each other. A takeover does not change later scores here.

    \b
    Examples:
      a1-trt traces replay math.npz --controller published --alpha 0.4 --json
      a1-trt traces replay math.npz --controller all --order shuffled --seed 1
      a1-trt traces replay math.npz --controller two-level --controller growing --plot rates.html
    """
    from a1_trt.conformal import CONTROLLERS, ControllerSettings
    from a1_trt.replay import read_recording, replay, report

    recording = read_recording(trace)
    settings = ControllerSettings() if horizon is None else ControllerSettings(horizon=horizon)
    names = [each for name in controllers for each in (CONTROLLERS if name == "all" else [name])]
    if "all" in controllers and recording.calibration_scores is None:
        names = [name for name in names if name not in ("published", "static")]
        note(f"{recording.name} has no calibration scores: published and static are left out")
    done = [
        replay(recording, name, alpha, order=cast("Order", order), seed=seed, settings=settings)
        for name in dict.fromkeys(names)
    ]
    documents = [report(each) for each in done]
    if plot:
        _draw(done, plot)
    if as_json:
        say_json(documents[0] if len(documents) == 1 else {"trace": recording.name, "replays": documents})
        return
    _say_rates(documents)


def _draw(done: list[Replay], path: Path) -> None:
    from a1_trt.report.rates import replay_figure
    from a1_trt.report.style import write_figure

    write_figure(replay_figure(done), path, f"Takeover rates on {done[0].recording.name}")
    note(f"wrote {path}")


def _say_rates(documents: list[dict[str, Any]]) -> None:
    first = documents[0]
    click.echo(
        f"{first['trace']}: {first['n']} scores of {first['n_problems']} problems (worth {first['effective_n']:.0f} "
        f"independent ones), {first['n_unscored']} segments without; alpha {first['alpha']}, {first['order']}"
    )
    head = ("rate", "95 %", "turns", "window", "problems", "AUC", "local", "forced", "us")
    click.echo(f"{'controller':<13}" + "".join(f"{name:>{14 if name == '95 %' else 9}}" for name in head))
    for row in documents:
        interval = _interval(row["overall_low"], row["overall_high"])
        numbers = [f"{row[key]:.3f}" for key in ("category_error_max", "window_error_max", "problem_rate_sd")]
        areas = ["-" if row[key] is None else f"{row[key]:.3f}" for key in ("selectivity", "selectivity_local")]
        rest = [*numbers, *areas, str(row["n_forced"]), f"{1e6 * row['seconds_per_decision']:.1f}"]
        click.echo(
            f"{row['controller']:<13}{row['overall_rate']:>9.3f}{interval:>14}" + "".join(f"{one:>9}" for one in rest)
        )
    if len(documents) == 1:
        _say_categories(first)
    for row in documents:
        for alarm in row["alarms"]:
            band = _interval(alarm["low"], alarm["high"])
            click.echo(f"alarm: {row['controller']}, {alarm['where']}: rate {alarm['rate']:.3f} outside {band}")


def _say_categories(row: dict[str, Any]) -> None:
    groups = {"": row["category_rates"], **{f"{name} ": rows for name, rows in row["group_rates"].items()}}
    click.echo(f"\n{'category':<16}{'rate':>7}{'95 %':>15}{'n':>8}{'problems':>10}{'worth':>8}")
    for prefix, rows in groups.items():
        for name, each in rows.items():
            worth = each["count"] / max(1.0, each["design_effect"])
            interval = _interval(each["low"], each["high"])
            numbers = f"{each['count']:>8}{each['n_problems']:>10}{worth:>8.0f}"
            click.echo(f"{prefix + name:<16}{each['rate']:>7.3f}{interval:>15}{numbers}")


def _interval(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"[{low:.2f}, {high:.2f}]"
