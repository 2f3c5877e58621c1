"""a1-trt calibrate run | show | evaluate | merge | export"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from a1_trt.cli.old_spellings import Group
from a1_trt.cli.options import setting_options
from a1_trt.cli.output import FILE, Output, json_option, output_options
from a1_trt.cli.problems import count_option, data_option, level_option, read_problems
from a1_trt.cli.progress import SolvingView
from a1_trt.cli.tables import interval, number, percent, print_table
from a1_trt.config import Pair, load_pair
from a1_trt.errors import CalibrationError
from a1_trt.types import Problem

if TYPE_CHECKING:
    from a1_trt.runtime.calibration import CalibrationLog

_output = click.option("-o", "--output", type=FILE, required=True, help="File to write.")


@click.group(cls=Group)
def calibrate() -> None:
    """Make, look at, check and join calibration states: files of the decisions that were taken.

    \b
    Examples:
      a1-trt calibrate run reference -o calibration.jsonl
    """


@calibrate.command()
@click.argument("pair")
@data_option
@count_option(32)
@level_option()
@click.option("-o", "--output", type=FILE, default="calibration.jsonl", help="File to add to.")
@setting_options
@json_option
def run(
    pair: str, data: Path | None, n_problems: int, level: str | None, output: Path, out: Output, **parameters: Any
) -> None:
    """Solve problems with PAIR in this process and keep every decision.

    The file grows as problems are solved, so that Ctrl-C loses nothing; problems that it holds already are left out. It
    knows which problems it was made from: nothing should be measured on these afterwards.

    \b
    Examples:
      a1-trt calibrate run reference --problems 64 --level hard --seed 1 -o calibration.jsonl
    """
    from a1_trt.runtime.calibration import read_log

    loaded = _keeping(load_pair(pair), output)
    problems = read_problems(loaded, data, level=level)[:n_problems]
    if output.exists():
        used = {problem.key for problem in read_log(output).used(problems)}
        problems = [problem for problem in problems if problem.key not in used]
    if problems:
        asyncio.run(_collect(loaded, problems, parameters))
    log = read_log(output)
    sizes = dict(sorted(Counter(row[0] for batch in log.batches for row in batch.decisions).items()))
    document = {"output": str(output), "fingerprint": log.provenance.fingerprint, "n_new_problems": len(problems)}
    out.deliver({**document, "sizes": sizes}, _show_run)


@calibrate.command()
@click.argument("file", type=FILE)
@json_option
def show(file: Path, out: Output) -> None:
    """Show what FILE belongs to, how many scores it holds for each category, and how they are distributed.

    The last two columns compare a category with all the others (two-sample Kolmogorov-Smirnov): a small p says that its
    scores are of another kind, and that categories of their own were worth it.

    \b
    Examples:
      a1-trt calibrate show calibration.jsonl --json
    """
    from a1_trt.offline.categories import describe_categories
    from a1_trt.runtime.calibration import read_log

    log = read_log(file)
    document = {
        **{key: getattr(log.provenance, key) for key in ("fingerprint", "score", "category", "engine")},
        "n": len(log),
        "n_problems": len(log.problems),
        "n_writers": len({batch.writer for batch in log.batches}),
        "categories": describe_categories(log),
    }
    out.deliver(document, _show_state)


@calibrate.command()
@click.argument("file", type=FILE)
@click.option("--held-out", type=FILE, help="Decisions of other problems; else half of FILE's problems are held out.")
@click.option("--allow-used", is_flag=True, help="Go on when problems of FILE are among the held-out ones.")
@click.option("--alpha", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.4)
@click.option("--seed", type=int, default=0, help="Seed of the split and of the p-values' draws.")
@output_options(plot=True)
def evaluate(file: Path, held_out: Path | None, allow_used: bool, alpha: float, seed: int, out: Output) -> None:
    """Rank scores of other problems among those of FILE: are the p-values uniform, and does the rate hold?

    Intervals are 95 %, with problems as the units: samples of one problem are not independent. An alarm is a rate
    outside the band of as many independent decisions as these are worth.

    \b
    Examples:
      a1-trt calibrate evaluate calibration.jsonl --alpha 0.3
      a1-trt calibrate evaluate monday.jsonl --held-out tuesday.jsonl --plot uniform.png
    """
    from a1_trt.offline.held_out import evaluate as ranked
    from a1_trt.offline.held_out import halves, rows_of
    from a1_trt.offline.plots import held_out_figure
    from a1_trt.runtime.calibration import read_log

    log = read_log(file)
    if held_out is None:
        fixed, others = halves(log, seed)
    else:
        other = read_log(held_out)
        other.check(log.provenance)
        _check_unused(log, other, allow_used)
        fixed, others = rows_of(log), rows_of(other)
    ranks = ranked(fixed, others, alpha, seed=seed)
    out.draw(lambda: {"held-out": (f"{file.name}, alpha {alpha}", held_out_figure(ranks))})
    out.deliver(ranks.report(seed=seed), _show_evaluation)


@calibrate.command()
@click.argument("files", type=FILE, nargs=-1, required=True)
@_output
@json_option
def merge(files: tuple[Path, ...], output: Path, out: Output) -> None:
    """Join the states of several replicas: every decision of any of them once.

    The same files may be merged again, in any order, with what came before: nothing is counted twice.

    \b
    Examples:
      a1-trt calibrate merge replica-1.jsonl replica-2.jsonl -o both.jsonl
    """
    from a1_trt.runtime.calibration import merge as merged
    from a1_trt.runtime.calibration import read_log, write_log

    log = merged([read_log(file) for file in files])
    write_log(output, log)
    document = {"output": str(output), "n": len(log), "n_problems": len(log.problems)}
    line = f"{len(log)} decisions of {len(log.problems)} problems written to {output}"
    out.deliver(document, lambda _: click.echo(line))


@calibrate.command()
@click.argument("file", type=FILE)
@_output
@click.option("--histogram", is_flag=True, help="Counts by universal bin instead of single scores: a bounded size.")
@json_option
def export(file: Path, output: Path, histogram: bool, out: Output) -> None:
    """Write the decisions of FILE as a table (CSV), one row each, or their histogram.

    \b
    Examples:
      a1-trt calibrate export calibration.jsonl -o bins.csv --histogram
    """
    from a1_trt.core.conformal.stores import bin_of
    from a1_trt.files import write_text
    from a1_trt.runtime.calibration import read_log

    log = read_log(file)
    rows = [decision for batch in log.batches for decision in batch.decisions]
    if histogram:
        counts = Counter((category, bin_of(score)) for category, _, score, _, _ in rows)
        lines = ["category,bin,count", *(f"{name},{place},{n}" for (name, place), n in sorted(counts.items()))]
    else:
        lines = ["category,problem,score,alpha,takeover", *(f"{c},{p},{s!r},{a!r},{int(x)}" for c, p, s, a, x in rows)]
    write_text(output, "\n".join(lines) + "\n")
    line = f"{len(lines) - 1} rows written to {output}"
    out.deliver({"output": str(output), "n_rows": len(lines) - 1}, lambda _: click.echo(line))


def _keeping(pair: Pair, output: Path) -> Pair:
    conformal = pair.conformal.model_copy(update={"calibration": str(output.absolute()), "keep": True})
    return pair.model_copy(update={"conformal": conformal})


def _check_unused(log: CalibrationLog, other: CalibrationLog, allow_used: bool) -> None:
    common = log.problems & other.problems
    if common and not allow_used:
        remedy = "hold out other problems; --allow-used goes on, and the figures then flatter"
        error = f"{len(common)} of the held-out problems calibrated this state"
        raise CalibrationError(error, field="held_out", remedy=remedy)


async def _collect(loaded: Pair, problems: list[Problem], parameters: dict[str, Any]) -> None:
    from a1_trt.client import AsyncClient, Progress
    from a1_trt.runtime.session import open_session

    def show_progress(now: Progress) -> None:
        view.solved("calibrating", now.n_done, now.n_total, now.outcome)

    with SolvingView(["calibrating"], len(problems)) as view:
        async with await open_session(loaded) as session, AsyncClient(session) as client:
            before = len(session.controller)
            outcomes = await client.solve_many(problems, on_progress=show_progress, **parameters)
            if len(session.controller) == before:
                remedy = "give harder problems, or --verify-answers"
                nothing = CalibrationError("no segment was scored", field="problems", remedy=remedy)
                raise next((outcome for outcome in outcomes if isinstance(outcome, Exception)), nothing)


def _show_run(document: dict[str, Any]) -> None:
    print_table(("category", "scores"), document["sizes"].items())
    click.echo(f"{document['n_new_problems']} problems added to {document['output']}")


def _show_state(document: dict[str, Any]) -> None:
    rows = [
        [
            name,
            f"{row['n']:,}",
            *(number(row[key]) for key in ("q10", "q50", "q90")),
            percent(row["rejection_rate"]),
            *(number(row[key]) for key in ("ks", "ks_p_value")),
        ]
        for name, row in document["categories"].items()
    ]
    title = f"{document['n']} {document['score']} scores of {document['n_problems']} problems"
    title += f", pair {document['fingerprint']}, {document['engine']}"
    print_table(("category", "n", "10 %", "50 %", "90 %", "rejected", "KS", "p"), rows, title=title)


def _show_evaluation(document: dict[str, Any]) -> None:
    rows = [
        [
            name,
            percent(row["rate"]),
            interval(row["low"], row["high"], 1, 100.0),
            f"{row['count']:,}",
            "ALARM" * row["alarm"],
        ]
        for name, row in document["rates"].items()
    ]
    title = f"{document['n']} scores of {document['n_problems']} problems among {document['n_calibration']}"
    title += f", alpha {document['alpha']}"
    print_table(("category", "rate", "95 %", "n", ""), rows, title=title)
    uniform = document["p_values"]
    worth = f"worth {uniform['effective_n']:.0f} independent ones"
    click.echo(f"uniform p-values: KS {uniform['ks']:.3f}, p = {uniform['ks_p_value']:.2f}, {worth}")
