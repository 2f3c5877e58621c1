"""a1-trt bench intensity measure | report"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from a1_trt.cli.bench_options import measured, workload_options
from a1_trt.cli.old_spellings import Group
from a1_trt.cli.options import listed
from a1_trt.cli.output import FILE, Output, output_options
from a1_trt.cli.tables import number, print_table
from a1_trt.config import load_pair
from a1_trt.errors import ConfigError, InvalidRequestError

_KIND = "a1-trt intensity"


@click.group(cls=Group)
def intensity() -> None:
    """What the time of a run goes into: computing, memory, waiting at barriers.

    \b
    Examples:
      a1-trt bench intensity measure reference --samples 1,4,16 --problems 8 --output intensity.json
    """


@intensity.command(json_took_file=True)
@click.argument("pair")
@click.option("--strategies", default="a1,sync-threshold", metavar="NAME,...", help="What to measure.")
@workload_options
def measure(pair: str, strategies: str, resume: bool, keep_calls: str, out: Output, **options: Any) -> None:
    """Solve problems by several strategies and account for the time: r = T_c / (T_m + T_s).

    T_s is measured; how the time in the engines divides into T_c and T_m is estimated from the models' dimensions and
    this machine's peak arithmetic and memory traffic.

    \b
    Examples:
      a1-trt bench intensity measure reference --samples 1,2,4,8,16,32,64 --problems 8 --output samples.json
      a1-trt bench intensity measure reference --max-turns 1,5,10,20 --draft-tokens 16 --output turns.json
    """
    from a1_trt.benchmarks.intensity import report as account
    from a1_trt.benchmarks.processor import processor

    if resume:
        raise ConfigError("intensity measures in one go", field="resume", remedy="leave it out")
    machine = processor()
    document = measured(pair, listed(strategies), **options, keep_calls="all")
    about = {key: document[key] for key in ("pair", "plan", "parameters", "machine", "versions", "commit", "command")}
    out.deliver({"kind": _KIND, **about, **account(document, load_pair(pair), machine)}, _show)


@intensity.command()
@click.argument("file", type=FILE)
@output_options(document=False, plot=True)
def report(file: Path, out: Output) -> None:
    """Show what 'bench intensity measure' found.

    \b
    Examples:
      a1-trt bench intensity report intensity.json --plot intensity.html --plot intensity.png
    """
    from a1_trt.benchmarks.intensity_plots import intensity_figure

    document = _read(file)
    title = f"Asynchronous arithmetic intensity, {document['pair']}"
    out.draw(lambda: {"intensity": (title, intensity_figure(document))})
    out.deliver({key: document[key] for key in ("pair", "processor", "joined")}, _show)


def _show(document: dict[str, Any]) -> None:
    rows = [
        [
            *(row[key] for key in ("strategy", "n_samples", "max_turns")),
            *(number(row[key], 1) for key in ("t_c_s", "t_m_s", "t_s_s")),
            number(row["r"]),
            "" if row["r_range"] is None else f"{row['r_range'][0]:.3f} to {row['r_range'][1]:.3f}",
        ]
        for row in document["joined"]
    ]
    print_table(("strategy", "samples", "turns", "T_c", "T_m", "T_s", "r", "range over blocks"), rows)
    click.echo("sample-seconds; T_s measured, T_c : T_m estimated by the roofline")


def _read(path: Path) -> dict[str, Any]:
    from a1_trt.files import read_document

    try:
        document = read_document(path, "file")
    except InvalidRequestError:
        document = None
    if not isinstance(document, dict) or document.get("kind") != _KIND:
        remedy = "make one with 'a1-trt bench intensity measure PAIR --output FILE'"
        error = f"{path} is not a result of 'bench intensity measure'"
        raise ConfigError(error, path=str(path), field="file", remedy=remedy)
    return document
