"""a1-trt traces replay | quality | report"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from a1_trt.cli.options import json_option
from a1_trt.cli.output import note, say_json
from a1_trt.cli.progress import CountView
from a1_trt.errors import InvalidRequestError

if TYPE_CHECKING:
    from a1_trt.core.conformal import ControllerSettings
    from a1_trt.offline import Order, Replay

_file = click.argument("trace", type=click.Path(path_type=Path, dir_okay=False))
_alpha = click.option("--alpha", type=float, default=0.4, show_default=True, help="Rejection rate in (0, 1).")
_seed = click.option("--seed", type=int, default=0, show_default=True, help="Seed of draws, order and resampling.")
_answers = click.option(
    "--answers",
    type=click.Path(path_type=Path, dir_okay=False),
    help="JSON lines with problem, answer and, where known, level and subject, in the order of the questions.",
)
_drawn = click.option(
    "--answers-drawn",
    metavar="SEED:N",
    help="The questions are Python's random.Random(SEED).sample of N of these rows, as the published code draws them.",
)
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
@click.option(
    "--order", default="served", show_default=True, metavar="NAME", help="served, permuted, interleaved or shuffled."
)
@click.option(
    "--horizon",
    type=float,
    help="Problems over which the rate must hold, one decision a sample; 200 decisions if not given.",
)
@_seed
@_answers
@_drawn
@_plot
@json_option
def replay_command(
    trace: Path,
    controllers: tuple[str, ...],
    alpha: float,
    order: str,
    horizon: float | None,
    seed: int,
    answers: Path | None,
    answers_drawn: str | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Let controllers decide on the scores of TRACE again, and report the rate that each of them keeps.

    Served order is problem by problem, within a problem by turn and then by sample; permuted is the same with the
    problems in random order; interleaved takes 16 problems at once; shuffled takes all segments in random order.

    Intervals are 95 % over whole problems, since samples of one problem resemble each other. With --answers the rates
    of each level and subject are reported, too. A takeover does not change later scores here.

    \b
    Examples:
      a1-trt traces replay math.npz --controller published --alpha 0.4 --json
      a1-trt traces replay math.npz --controller all --order shuffled --seed 1
      a1-trt traces replay math.npz --controller two-level --controller growing --plot rates.html
    """
    from a1_trt.core.conformal import CONTROLLERS, ControllerSettings
    from a1_trt.offline import read_recording, replay, report, with_groups

    recording = read_recording(trace)
    if answers:
        recording = with_groups(recording, answers, _draw_rule(answers_drawn))
    settings = ControllerSettings() if horizon is None else _over(horizon, recording.samples_a_problem)
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


@traces.command("quality")
@_file
@_answers
@_drawn
@_seed
@_plot
@json_option
def quality_command(
    trace: Path, answers: Path | None, answers_drawn: str | None, seed: int, plot: Path | None, as_json: bool
) -> None:
    """Ask whether the score of TRACE tells chains that end right from chains that end wrong.

    AUROC is that of a low first-turn score for a right answer; 0.5 is chance. Within problems it compares chains of one
    problem, which is what a takeover decides about; pooled, it mostly says which problems are hard. Without --answers,
    where correctness is not recorded, agreement with the majority vote stands in for it, and is called so.

    \b
    Examples:
      a1-trt traces quality math.npz --answers math500.jsonl --answers-drawn 42:100
      a1-trt traces quality run.jsonl --plot quality.html --json
    """
    from a1_trt.offline import quality, read_recording, with_answers

    recording = read_recording(trace)
    if answers:
        recording = with_answers(recording, answers, _draw_rule(answers_drawn))
    document = quality(recording, seed=seed)
    if plot:
        from a1_trt.offline.plots import quality_figure
        from a1_trt.plotting import write_figure

        write_figure(quality_figure(document), plot, f"What the score of {recording.name} tells")
        note(f"wrote {plot}")
    if as_json:
        say_json(document)
        return
    _say_quality(document)


@traces.command("report")
@click.option(
    "--trace",
    "files",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    help="A trace or records; give it several times. All .npz of ../shared/traces if not given.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write to."
)
@click.option("--seeds", "n_seeds", type=click.IntRange(1, 1000), default=5, show_default=True, help="Of each replay.")
@click.option("--shift-seeds", type=click.IntRange(1, 1000), default=10, show_default=True, help="Of each change.")
@json_option
def report_command(files: tuple[Path, ...], output: Path, n_seeds: int, shift_seeds: int, as_json: bool) -> None:
    """Replay traces through all controllers, rates, orders and seeds, and through simulated changes of the scores.

    Writes a JSON file, tables in Markdown and plots for each trace. Says which controller keeps what is asked of it:
    docs/statistics.md has the demands.

    \b
    Examples:
      a1-trt traces report --trace math.npz --output report
      a1-trt traces report --output report --seeds 20
    """
    from a1_trt.offline import read_recording, study
    from a1_trt.offline.study_report import write_study

    written: dict[str, list[str]] = {}
    for path in files or _shared_traces():
        recording = read_recording(path)
        with CountView(f"replays of {recording.name}") as view:
            studied = study(recording, n_seeds=n_seeds, n_shift_seeds=shift_seeds, on_progress=view.show)
        if studied["left_out"]:
            note(f"{recording.name} has no calibration scores: {', '.join(studied['left_out'])} are left out")
        written[path.name] = [str(file) for file in write_study(studied, recording, output)]
    if as_json:
        say_json({"written": written})
        return
    for names in written.values():
        for name in names:
            click.echo(name)


def _shared_traces() -> list[Path]:
    found = sorted(Path("../shared/traces").glob("*.npz"))
    if not found:
        raise InvalidRequestError(
            "there is no .npz file in ../shared/traces", field="trace", remedy="name a file with --trace"
        )
    return found


def _draw_rule(said: str | None) -> tuple[int, int] | None:
    if said is None:
        return None
    seed, _, count = said.partition(":")
    if not (seed.isdecimal() and count.isdecimal()):
        raise InvalidRequestError(
            f"answers_drawn is {said!r}", field="answers_drawn", remedy="give SEED:N, such as 42:100"
        )
    return int(seed), int(count)


def _draw(done: list[Replay], path: Path) -> None:
    from a1_trt.offline.plots import replay_figure
    from a1_trt.plotting import write_figure

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


def _say_quality(document: dict[str, Any]) -> None:
    good = document["rate_good"]
    click.echo(
        f"{document['trace']}: {document['n_samples']} samples of {document['n_problems']} problems (worth "
        f"{document['effective_n']:.0f} independent ones)\n"
        f"{document['outcome']}: {good['value']:.3f} {_interval(good['low'], good['high'])} ({document['note']})\n"
    )
    click.echo(f"{'AUROC of a low first-turn score':<44}{'value':>8}{'95 %':>15}")
    for score, rows in document["scores"].items():
        for name, area in rows.items():
            value = "-" if area["value"] is None else f"{area['value']:.3f}"
            click.echo(
                f"{score + ', ' + name.replace('_', ' '):<44}{value:>8}{_interval(area['low'], area['high']):>15}"
            )
    rows = {f"p within {row['width']:g} of the level": row for row in document["near_threshold"] or []}
    if document["takeover_effect_within_problem"]:
        rows["within problem, mean over problems"] = document["takeover_effect_within_problem"]
    click.echo(f"\n{'taken over minus kept, first turn':<44}{'diff.':>8}{'95 %':>15}")
    for name, row in rows.items():
        value = "-" if row["difference"] is None else f"{row['difference']:+.3f}"
        click.echo(f"{name:<44}{value:>8}{_interval(row['low'], row['high']):>15}")


def _over(horizon: float, samples: float) -> ControllerSettings:
    """A horizon in problems as one in decisions, counted as pair files count it: one a sample."""
    from a1_trt.core.conformal import ControllerSettings

    if not horizon > 0:
        raise InvalidRequestError(f"horizon is {horizon}", field="horizon", remedy="give more than 0 problems")
    return ControllerSettings(horizon=max(1.0, horizon * samples))
