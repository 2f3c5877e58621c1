"""a1-trt traces replay | quality | report"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from a1_trt.cli.old_spellings import Group
from a1_trt.cli.options import joined
from a1_trt.cli.output import FILE, FOLDER, Output, json_option, note, output_options
from a1_trt.cli.progress import CountView
from a1_trt.cli.tables import interval, number, print_table
from a1_trt.errors import InvalidRequestError

if TYPE_CHECKING:
    from a1_trt.core.conformal import ControllerSettings

_trace = click.argument("trace", type=FILE)
_seed = click.option("--seed", type=int, default=0, help="Seed of draws, order and resampling.")
_DRAWN = "The questions are Python's random.Random(SEED).sample of N of these rows, as the published code draws them."
_ROWS = "JSON lines with problem, answer and, where known, level and subject, in the order of the questions."
_answers = joined(
    click.option("--answers", type=FILE, help=_ROWS), click.option("--answers-drawn", metavar="SEED:N", help=_DRAWN)
)


@click.group(cls=Group)
def traces() -> None:
    """Replay recorded scores through any controller, and ask what a score is worth. No model runs.

    A trace is an .npz archive (docs/statistics.md lists its arrays) or the records of 'a1-trt eval' (JSON lines).

    \b
    Examples:
      a1-trt traces replay math.npz --controller two-level --alpha 0.4
    """


@traces.command("replay")
@_trace
@click.option(
    "--controller", "names", multiple=True, default=["two-level"], help="May be given several times; or 'all'."
)
@click.option("--alpha", type=float, default=0.4, help="Rejection rate in (0, 1).")
@click.option("--order", default="served", metavar="NAME", help="served, permuted, interleaved or shuffled.")
@click.option(
    "--horizon", type=float, help="Problems over which the rate holds, one decision a sample; or 200 decisions."
)
@_seed
@_answers
@output_options(plot=True)
def replay_command(
    trace: Path,
    names: tuple[str, ...],
    alpha: float,
    order: Any,
    horizon: float | None,
    seed: int,
    answers: Path | None,
    answers_drawn: str | None,
    out: Output,
) -> None:
    """Let controllers decide on the scores of TRACE again, and report the rate that each of them keeps.

    Served order is problem by problem, within a problem by turn and then by sample; permuted is the same with the
    problems in random order; interleaved takes 16 problems at once; shuffled takes all segments in random order.

    Intervals are 95 % over whole problems, since samples of one problem resemble each other. With --answers the rates
    of each level and subject are reported, too. A takeover does not change later scores here.

    \b
    Examples:
      a1-trt traces replay math.npz --controller all --order shuffled --seed 1
      a1-trt traces replay math.npz --controller two-level --controller growing --plot rates.html
    """
    from a1_trt.core.conformal import CONTROLLERS, ControllerSettings
    from a1_trt.offline import read_recording, replay, report, with_groups
    from a1_trt.offline.plots import replay_figure

    recording = read_recording(trace)
    if answers:
        recording = with_groups(recording, answers, _draw_rule(answers_drawn))
    settings = ControllerSettings() if horizon is None else _over(horizon, recording.samples_a_problem)
    controllers = dict.fromkeys(chosen for name in names for chosen in (CONTROLLERS if name == "all" else [name]))
    if "all" in names and recording.calibration_scores is None:
        controllers = {name: None for name in controllers if name not in ("published", "static")}
        note(f"{recording.name} has no calibration scores: published and static are left out")
    replays = [replay(recording, name, alpha, order=order, seed=seed, settings=settings) for name in controllers]
    reports = [report(result) for result in replays]
    out.draw(lambda: {"rates": (f"Takeover rates on {recording.name}", replay_figure(replays))})
    document = reports[0] if len(reports) == 1 else {"trace": recording.name, "replays": reports}
    out.deliver(document, lambda _: _show_rates(reports))


@traces.command("quality")
@_trace
@_answers
@_seed
@output_options(plot=True)
def quality_command(trace: Path, answers: Path | None, answers_drawn: str | None, seed: int, out: Output) -> None:
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
    from a1_trt.offline.plots import quality_figure

    recording = read_recording(trace)
    if answers:
        recording = with_answers(recording, answers, _draw_rule(answers_drawn))
    document = quality(recording, seed=seed)
    out.draw(lambda: {"quality": (f"What the score of {recording.name} tells", quality_figure(document))})
    out.deliver(document, _show_quality)


@traces.command("report")
@click.option(
    "--trace", "files", type=FILE, multiple=True, help="Traces or records; all .npz of ../shared/traces if not given."
)
@click.option("-o", "--output", type=FOLDER, required=True, help="Folder to write to.")
@click.option("--seeds", "n_seeds", type=click.IntRange(1, 1000), default=5, help="Of each replay.")
@click.option("--shift-seeds", type=click.IntRange(1, 1000), default=10, help="Of each change.")
@json_option
def report_command(files: tuple[Path, ...], output: Path, n_seeds: int, shift_seeds: int, out: Output) -> None:
    """Replay traces through all controllers, rates, orders and seeds, and through simulated changes of the scores.

    Writes a JSON file, tables in Markdown and plots for each trace. Says which controller keeps what is asked of it:
    docs/statistics.md has the demands.

    \b
    Examples:
      a1-trt traces report --trace math.npz --output report --seeds 20
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
    lines = [name for names in written.values() for name in names]
    out.deliver({"written": written}, lambda _: click.echo("\n".join(lines)))


def _shared_traces() -> list[Path]:
    paths = sorted(Path("../shared/traces").glob("*.npz"))
    if not paths:
        missing = "there is no .npz file in ../shared/traces"
        raise InvalidRequestError(missing, field="trace", remedy="name a file with --trace")
    return paths


def _draw_rule(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    seed, _, count = text.partition(":")
    if not (seed.isdecimal() and count.isdecimal()):
        remedy = "give SEED:N, such as 42:100"
        raise InvalidRequestError(f"answers_drawn is {text!r}", field="answers_drawn", remedy=remedy)
    return int(seed), int(count)


def _show_rates(reports: list[dict[str, Any]]) -> None:
    first = reports[0]
    errors = ("category_error_max", "window_error_max", "problem_rate_sd", "selectivity", "selectivity_local")
    rows = [
        [
            report["controller"],
            number(report["overall_rate"]),
            interval(report["overall_low"], report["overall_high"]),
            *(number(report[name]) for name in errors),
            report["n_forced"],
            number(1e6 * report["seconds_per_decision"], 1),
        ]
        for report in reports
    ]
    title = (
        f"{first['trace']}: {first['n']} scores of {first['n_problems']} problems (worth {first['effective_n']:.0f} "
        f"independent ones), {first['n_unscored']} segments without; alpha {first['alpha']}, {first['order']}"
    )
    columns = ("controller", "rate", "95 %", "turns", "window", "problems", "AUC", "local", "forced", "us")
    print_table(columns, rows, title=title)
    if len(reports) == 1:
        _show_categories(first)
    for report in reports:
        for alarm in report["alarms"]:
            band = interval(alarm["low"], alarm["high"])
            click.echo(f"alarm: {report['controller']}, {alarm['where']}: rate {alarm['rate']:.3f} outside {band}")


def _show_categories(report: dict[str, Any]) -> None:
    def worth(row: dict[str, Any]) -> str:
        return number(row["count"] / max(1.0, row["design_effect"]), 0)

    groups = {"": report["category_rates"], **{f"{name} ": rows for name, rows in report["group_rates"].items()}}
    rows = [
        [
            prefix + name,
            number(row["rate"]),
            interval(row["low"], row["high"]),
            row["count"],
            row["n_problems"],
            worth(row),
        ]
        for prefix, categories in groups.items()
        for name, row in categories.items()
    ]
    click.echo()
    print_table(("category", "rate", "95 %", "n", "problems", "worth"), rows)


def _show_quality(document: dict[str, Any]) -> None:
    good = document["rate_good"]
    click.echo(
        f"{document['trace']}: {document['n_samples']} samples of {document['n_problems']} problems (worth "
        f"{document['effective_n']:.0f} independent ones)\n"
        f"{document['outcome']}: {number(good['value'])} {interval(good['low'], good['high'])} ({document['note']})\n"
    )
    areas = [
        [f"{score}, {name.replace('_', ' ')}", number(area["value"]), interval(area["low"], area["high"])]
        for score, rows in document["scores"].items()
        for name, area in rows.items()
    ]
    print_table(("AUROC of a low first-turn score", "value", "95 %"), areas)
    effects = {f"p within {row['width']:g} of the level": row for row in document["near_threshold"] or []}
    if document["takeover_effect_within_problem"]:
        effects["within problem, mean over problems"] = document["takeover_effect_within_problem"]
    click.echo()
    differences = [
        [name, "-" if row["difference"] is None else f"{row['difference']:+.3f}", interval(row["low"], row["high"])]
        for name, row in effects.items()
    ]
    print_table(("taken over minus kept, first turn", "diff.", "95 %"), differences)


def _over(horizon: float, samples: float) -> ControllerSettings:
    """A horizon in problems as one in decisions, counted as pair files count it: one a sample."""
    from a1_trt.core.conformal import ControllerSettings

    if not horizon > 0:
        raise InvalidRequestError(f"horizon is {horizon}", field="horizon", remedy="give more than 0 problems")
    return ControllerSettings(horizon=max(1.0, horizon * samples))
