"""a1-trt calibrate run | show"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Any

import click

from a1_trt.cli.options import json_option, problems_option, setting_options
from a1_trt.cli.output import say_json
from a1_trt.cli.pair import problems_path
from a1_trt.cli.progress import SolvingView
from a1_trt.config import Pair, load_pair
from a1_trt.errors import CalibrationError, ConfigError
from a1_trt.problems import read_problems
from a1_trt.types import Problem

if TYPE_CHECKING:
    from a1_trt.conformal import CalibrationSet


@click.group()
def calibrate() -> None:
    """Fill a calibration set ahead of time, and look at one.

    \b
    Examples:
      a1-trt calibrate run reference -o calibration.json
      a1-trt calibrate show calibration.json
    """


@calibrate.command()
@click.argument("pair")
@problems_option
@click.option("--problems", "n_problems", type=click.IntRange(min=1), default=32, show_default=True, help="How many.")
@click.option("--level", help="Only problems of this level.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default="calibration.json",
    show_default=True,
    help="File to write.",
)
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
    """Solve problems with PAIR in this process and keep the scores.

    The file says which problems it was made from: nothing must be measured on these afterwards.

    \b
    Examples:
      a1-trt calibrate run reference -o calibration.json
      a1-trt calibrate run reference --problems 64 --level hard --seed 1
    """
    loaded = load_pair(pair)
    problems = read_problems(problems_file or problems_path(loaded), level=level)[:n_problems]
    document = asyncio.run(_collect(loaded, problems, parameters))
    _write(output, document)
    sizes = {name: len(scores) for name, scores in document["categories"].items()}
    if as_json:
        say_json({"output": str(output), "fingerprint": document["fingerprint"], "sizes": sizes})
        return
    for name, size in sizes.items():
        click.echo(f"{name:<12} {size} scores")
    click.echo(f"written to {output}")


@calibrate.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@json_option
def show(file: Path, as_json: bool) -> None:
    """Show how many scores FILE holds for each category, and how they are distributed.

    The last two columns compare a category with all the others (two-sample Kolmogorov-Smirnov): a small p says that its
    scores are of another kind, and that categories of their own were worth it.

    \b
    Examples:
      a1-trt calibrate show calibration.json
      a1-trt calibrate show calibration.json --json
    """
    document, sets = _read(file)
    rows = {name: _described(name, sets) for name in sets}
    if as_json:
        said = {key: document[key] for key in ("fingerprint", "score")}
        say_json({**said, "n_problems": len(document["problems"]), "categories": rows})
        return
    click.echo(f"{document['score']} scores of {len(document['problems'])} problems, pair {document['fingerprint']}")
    click.echo(f"{'category':<14}{'n':>7}{'10 %':>9}{'50 %':>9}{'90 %':>9}{'KS':>8}{'p':>8}")
    for name, row in rows.items():
        numbers = "".join(f"{row[key]:>9.3f}" for key in ("q10", "q50", "q90"))
        ks = "".join("       -" if row[key] is None else f"{row[key]:>8.3f}" for key in ("ks", "ks_p_value"))
        click.echo(f"{name:<14}{row['n']:>7}{numbers}{ks}")


async def _collect(loaded: Pair, problems: list[Problem], parameters: dict[str, Any]) -> dict[str, Any]:
    from a1_trt.client import AsyncClient
    from a1_trt.session import open_session

    with SolvingView(["calibrating"], len(problems)) as view:
        async with await open_session(loaded) as session, AsyncClient(session) as client:
            outcomes = await client.solve_many(
                problems,
                on_progress=lambda now: view.update("calibrating", now.n_done, now.n_total, now.outcome),
                **parameters,
            )
            if not len(session.calibration):
                failed = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
                raise (
                    failed[0]
                    if failed
                    else CalibrationError(
                        "no segment was scored", field="problems", remedy="give harder problems, or --verify-answers"
                    )
                )
            return session.calibration.to_document(
                loaded.fingerprint(), [problem.id for problem in problems], score=loaded.conformal.score
            )


def _write(output: Path, document: dict[str, Any]) -> None:
    """Write the file at once or not at all."""
    unfinished = output.with_name(f".{output.name}.unfinished")
    try:
        unfinished.write_text(json.dumps(document) + "\n", encoding="utf-8")
        unfinished.replace(output)
    except OSError as error:
        raise ConfigError(
            f"{output} cannot be written: {error.strerror}", path=str(output), field="output", remedy="give another -o"
        ) from None


def _read(file: Path) -> tuple[dict[str, Any], dict[str, CalibrationSet]]:
    from a1_trt.conformal import CalibrationSet, OnlineCalibration

    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CalibrationError(
            f"{file} cannot be read: {error.strerror}", field="file", remedy="make it with 'a1-trt calibrate run'"
        ) from None
    except ValueError:
        raise CalibrationError(
            f"{file} is no JSON", field="file", remedy="make it again with 'a1-trt calibrate run'"
        ) from None
    own = document.get("fingerprint", "") if isinstance(document, dict) else ""
    OnlineCalibration.from_document(document, own)  # checks everything, and here no pair that it must belong to
    return document, {name: CalibrationSet.from_scores(scores) for name, scores in document["categories"].items()}


def _described(name: str, sets: dict[str, CalibrationSet]) -> dict[str, Any]:
    from a1_trt.conformal import CalibrationSet

    scores = sets[name].scores
    deciles = quantiles(scores, n=10, method="inclusive") if len(scores) > 1 else [*scores] * 9
    rest = CalibrationSet.from_scores(score for other, each in sets.items() if other != name for score in each.scores)
    row: dict[str, Any] = {"n": len(scores), "q10": deciles[0], "q50": deciles[4], "q90": deciles[8]}
    if not len(rest):
        return {**row, "ks": None, "ks_p_value": None}
    # Middle draws instead of random ones: the same file gives the same figures.
    compared = asdict(rest.evaluate(scores, 0.5, [0.5] * len(scores)))
    return {**row, "ks": compared["ks_statistic"], "ks_p_value": compared["ks_p_value"]}
