"""a1-trt calibrate run | show | evaluate | merge | export"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Any

import click

from a1_trt.benchmarks.problems import read_problems
from a1_trt.cli.options import json_option, problems_option, setting_options
from a1_trt.cli.output import percent, say_json
from a1_trt.cli.pair import problems_path
from a1_trt.cli.progress import SolvingView
from a1_trt.config import Pair, load_pair
from a1_trt.errors import CalibrationError, ConfigError
from a1_trt.types import Problem

if TYPE_CHECKING:
    from a1_trt.runtime.calibration import CalibrationLog

_FILE = click.Path(dir_okay=False, path_type=Path)
_output = click.option("-o", "--output", type=_FILE, required=True, help="File to write.")


@click.group()
def calibrate() -> None:
    """Make, look at, check and join calibration states: files of the decisions that were taken.

    \b
    Examples:
      a1-trt calibrate run reference -o calibration.jsonl
      a1-trt calibrate evaluate calibration.jsonl --alpha 0.3
      a1-trt calibrate merge replica-1.jsonl replica-2.jsonl -o both.jsonl
    """


@calibrate.command()
@click.argument("pair")
@problems_option
@click.option("--problems", "n_problems", type=click.IntRange(min=1), default=32, show_default=True, help="How many.")
@click.option("--level", help="Only problems of this level.")
@click.option("-o", "--output", type=_FILE, default="calibration.jsonl", show_default=True, help="File to add to.")
@setting_options
@json_option
def run(
    pair: str,
    problems_file: Path | None,
    n_problems: int,
    level: str | None,
    output: Path,
    as_json: bool,
    **parameters: Any,
) -> None:
    """Solve problems with PAIR in this process and keep every decision.

    The file grows as problems are solved, so that Ctrl-C loses nothing; problems that it holds already are left out. It
    knows which problems it was made from: nothing should be measured on these afterwards.

    \b
    Examples:
      a1-trt calibrate run reference -o calibration.jsonl
      a1-trt calibrate run reference --problems 64 --level hard --seed 1
    """
    from a1_trt.runtime.calibration import read_log

    loaded = _keeping(load_pair(pair), output)
    problems = read_problems(problems_file or problems_path(loaded), level=level)[:n_problems]
    if output.exists():
        used = {problem.key for problem in read_log(output).used(problems)}
        problems = [problem for problem in problems if problem.key not in used]
    if problems:
        asyncio.run(_collect(loaded, problems, parameters))
    log = read_log(output)
    sizes = {name: len(scores) for name, scores in _scores(log).items()}
    if as_json:
        said = {"output": str(output), "fingerprint": log.provenance.fingerprint, "n_new_problems": len(problems)}
        say_json({**said, "sizes": sizes})
        return
    for name, size in sizes.items():
        click.echo(f"{name:<12} {size} scores")
    click.echo(f"{len(problems)} problems added to {output}")


@calibrate.command()
@click.argument("file", type=_FILE)
@json_option
def show(file: Path, as_json: bool) -> None:
    """Show what FILE belongs to, how many scores it holds for each category, and how they are distributed.

    The last two columns compare a category with all the others (two-sample Kolmogorov-Smirnov): a small p says that its
    scores are of another kind, and that categories of their own were worth it.

    \b
    Examples:
      a1-trt calibrate show calibration.jsonl
      a1-trt calibrate show calibration.jsonl --json
    """
    from a1_trt.runtime.calibration import read_log

    log = read_log(file)
    scores = _scores(log)
    rows = {name: {**_described(name, scores), **_taken(log, name)} for name in scores}
    said = log.provenance
    if as_json:
        belongs = {key: getattr(said, key) for key in ("fingerprint", "score", "category", "engine")}
        writers = len({batch.writer for batch in log.batches})
        say_json({**belongs, "n": len(log), "n_problems": len(log.problems), "n_writers": writers, "categories": rows})
        return
    click.echo(
        f"{len(log)} {said.score} scores of {len(log.problems)} problems, pair {said.fingerprint}, {said.engine}"
    )
    click.echo(f"{'category':<14}{'n':>7}{'10 %':>9}{'50 %':>9}{'90 %':>9}{'rejected':>10}{'KS':>8}{'p':>8}")
    for name, row in rows.items():
        numbers = "".join(f"{row[key]:>9.3f}" for key in ("q10", "q50", "q90"))
        ks = "".join("       -" if row[key] is None else f"{row[key]:>8.3f}" for key in ("ks", "ks_p_value"))
        click.echo(f"{name:<14}{row['n']:>7}{numbers}{percent(row['rejection_rate']):>10}{ks}")


@calibrate.command()
@click.argument("file", type=_FILE)
@click.option("--held-out", type=_FILE, help="Decisions of other problems; else half of FILE's problems are held out.")
@click.option("--allow-used", is_flag=True, help="Go on when problems of FILE are among the held-out ones.")
@click.option("--alpha", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.4, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the split and of the p-values' draws.")
@click.option("--plot", type=_FILE, help="Write the p-value histogram and the rates here: .png, .svg or .html.")
@json_option
def evaluate(
    file: Path, held_out: Path | None, allow_used: bool, alpha: float, seed: int, plot: Path | None, as_json: bool
) -> None:
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
    from a1_trt.runtime.calibration import read_log

    log = read_log(file)
    if held_out is None:
        fixed, others = halves(log, seed)
    else:
        other = read_log(held_out)
        other.check(log.provenance)
        _check_unused(log, other, allow_used)
        fixed, others = rows_of(log), rows_of(other)
    found = ranked(fixed, others, alpha, seed=seed)
    said = found.report(seed=seed)
    if plot is not None:
        from a1_trt.offline.plots import held_out_figure
        from a1_trt.plotting import write_figure

        write_figure(held_out_figure(found), plot, f"{file.name}, alpha {alpha}")
    if as_json:
        say_json(said)
        return
    click.echo(f"{said['n']} scores of {said['n_problems']} problems among {said['n_calibration']}, alpha {alpha}")
    for name, row in said["rates"].items():
        ends = "" if row["low"] is None else f" [{percent(row['low'])}, {percent(row['high'])}]"
        click.echo(f"{name:<14}{percent(row['rate']):>8}{ends}  n {row['count']}{'  ALARM' if row['alarm'] else ''}")
    uniform = said["p_values"]
    click.echo(
        f"uniform p-values: KS {uniform['ks']:.3f}, p = {uniform['ks_p_value']:.2f}, "
        f"worth {uniform['effective_n']:.0f} independent ones"
    )


@calibrate.command()
@click.argument("files", type=_FILE, nargs=-1, required=True)
@_output
@json_option
def merge(files: tuple[Path, ...], output: Path, as_json: bool) -> None:
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
    if as_json:
        say_json({"output": str(output), "n": len(log), "n_problems": len(log.problems)})
        return
    click.echo(f"{len(log)} decisions of {len(log.problems)} problems written to {output}")


@calibrate.command()
@click.argument("file", type=_FILE)
@_output
@click.option("--histogram", is_flag=True, help="Counts by universal bin instead of single scores: a bounded size.")
@json_option
def export(file: Path, output: Path, histogram: bool, as_json: bool) -> None:
    """Write the decisions of FILE as a table (CSV), one row each, or their histogram.

    \b
    Examples:
      a1-trt calibrate export calibration.jsonl -o scores.csv
      a1-trt calibrate export calibration.jsonl -o bins.csv --histogram
    """
    from a1_trt.core.conformal.stores import bin_of
    from a1_trt.runtime.calibration import read_log

    log = read_log(file)
    rows = [decision for batch in log.batches for decision in batch.decisions]
    if histogram:
        counts: dict[tuple[str, int], int] = defaultdict(int)
        for category, _, score, _, _ in rows:
            counts[category, bin_of(score)] += 1
        lines = ["category,bin,count", *(f"{name},{place},{n}" for (name, place), n in sorted(counts.items()))]
    else:
        lines = ["category,problem,score,alpha,takeover", *(f"{c},{p},{s!r},{a!r},{int(x)}" for c, p, s, a, x in rows)]
    try:
        output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{output} cannot be written: {error.strerror}", path=str(output), field="output") from None
    if as_json:
        say_json({"output": str(output), "n_rows": len(lines) - 1})
        return
    click.echo(f"{len(lines) - 1} rows written to {output}")


def _keeping(pair: Pair, output: Path) -> Pair:
    """The pair, as one that keeps its decisions in `output`."""
    conformal = pair.conformal.model_copy(update={"calibration": str(output.absolute()), "keep": True})
    return pair.model_copy(update={"conformal": conformal})


def _check_unused(log: CalibrationLog, other: CalibrationLog, allow_used: bool) -> None:
    common = log.problems & other.problems
    if common and not allow_used:
        raise CalibrationError(
            f"{len(common)} of the held-out problems calibrated this state",
            field="held_out",
            remedy="hold out other problems; --allow-used goes on, and the figures then flatter",
        )


async def _collect(loaded: Pair, problems: list[Problem], parameters: dict[str, Any]) -> None:
    from a1_trt.client import AsyncClient
    from a1_trt.runtime.session import open_session

    with SolvingView(["calibrating"], len(problems)) as view:
        async with await open_session(loaded) as session, AsyncClient(session) as client:
            before = len(session.controller)
            outcomes = await client.solve_many(
                problems,
                on_progress=lambda now: view.update("calibrating", now.n_done, now.n_total, now.outcome),
                **parameters,
            )
            if len(session.controller) == before:
                failed = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
                nothing = CalibrationError(
                    "no segment was scored", field="problems", remedy="give harder problems, or --verify-answers"
                )
                raise failed[0] if failed else nothing


def _scores(log: CalibrationLog) -> dict[str, list[float]]:
    """Scores by category, sorted by name."""
    found: dict[str, list[float]] = defaultdict(list)
    for batch in log.batches:
        for category, _, score, _, _ in batch.decisions:
            found[category].append(score)
    return {name: sorted(found[name]) for name in sorted(found)}


def _taken(log: CalibrationLog, name: str) -> dict[str, Any]:
    taken = [row[4] for batch in log.batches for row in batch.decisions if row[0] == name]
    return {"rejection_rate": sum(taken) / len(taken)}


def _described(name: str, by_category: dict[str, list[float]]) -> dict[str, Any]:
    from a1_trt.core.conformal import CalibrationSet

    scores = by_category[name]
    deciles = quantiles(scores, n=10, method="inclusive") if len(scores) > 1 else [*scores] * 9
    rest = CalibrationSet.from_scores(score for other, each in by_category.items() if other != name for score in each)
    row: dict[str, Any] = {"n": len(scores), "q10": deciles[0], "q50": deciles[4], "q90": deciles[8]}
    if not len(rest):
        return {**row, "ks": None, "ks_p_value": None}
    # Middle draws instead of random ones: the same file gives the same figures.
    compared = rest.evaluate(scores, 0.5, [0.5] * len(scores))
    return {**row, "ks": compared.ks_statistic, "ks_p_value": compared.ks_p_value}
