"""a1-trt intensity measure | report"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from a1_trt.cli.bench_options import measured, workload_options
from a1_trt.cli.options import json_option
from a1_trt.cli.output import note, say_json
from a1_trt.config import load_pair
from a1_trt.errors import ConfigError

_KIND = "a1-trt intensity"
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
def intensity() -> None:
    """What the time of a run goes into: computing, memory, waiting at barriers.

    \b
    Examples:
      a1-trt intensity measure reference --samples 1,4,16 --problems 8 --json intensity.json
      a1-trt intensity report intensity.json --html intensity.html
    """


@intensity.command()
@click.argument("pair")
@click.option(
    "--strategies", default="a1,sync-threshold", show_default=True, metavar="NAME,...", help="What to measure."
)
@workload_options
def measure(pair: str, strategies: str, **given: Any) -> None:
    """Solve problems by several strategies and account for the time: r = T_c / (T_m + T_s).

    T_s is measured; how the time in the engines divides into T_c and T_m is estimated from the models' dimensions and
    this machine's peak arithmetic and memory traffic.

    \b
    Examples:
      a1-trt intensity measure reference --samples 1,2,4,8,16,32,64 --problems 8 --json samples.json
      a1-trt intensity measure reference --max-turns 1,5,10,20 --draft-tokens 16 --json turns.json
    """
    from a1_trt.benchmarks.document import write_document
    from a1_trt.benchmarks.intensity import report as account
    from a1_trt.benchmarks.processor import processor

    output: Path | None = given.pop("output")
    loaded, machine = load_pair(pair), processor()
    names = tuple(name.strip() for name in strategies.split(",") if name.strip())
    if given["resume"]:
        raise ConfigError("intensity measures in one go", field="resume", remedy="leave it out")
    document = measured(pair, names, {**given, "output": None, "keep_calls": "all"})
    about = {key: document[key] for key in ("pair", "plan", "parameters", "machine", "versions", "commit", "command")}
    said = {
        "kind": _KIND,
        **about,
        **account(document, loaded, machine),
    }
    if output is None:
        _show(said)
    elif str(output) == "-":
        say_json(said)
    else:
        write_document(output, said)
        _show(said)


@intensity.command()
@click.argument("file", type=_FILE)
@click.option("--html", type=_FILE, help="Write a page with the plots.")
@click.option("--png", type=_FILE, help="Write the plots as PNG.")
@json_option
def report(file: Path, html: Path | None, png: Path | None, as_json: bool) -> None:
    """Show what 'intensity measure' found.

    \b
    Examples:
      a1-trt intensity report intensity.json
      a1-trt intensity report intensity.json --html intensity.html --png intensity.png
    """
    document = _read(file)
    if as_json:
        say_json({key: document[key] for key in ("pair", "processor", "joined")})
    elif html is None and png is None:
        _show(document)
    if html is None and png is None:
        return
    from a1_trt.benchmarks.intensity_plots import intensity_figure
    from a1_trt.plotting import write_figure

    for path in (html, png):
        if path is not None:
            write_figure(intensity_figure(document), path, f"Asynchronous arithmetic intensity, {document['pair']}")
            note(f"wrote {path}")


def _show(document: dict[str, Any]) -> None:
    table = Table("strategy", "samples", "turns", "T_c", "T_m", "T_s", "r", "range over blocks")
    for row in document["joined"]:
        ends = row["r_range"]
        table.add_row(
            row["strategy"],
            str(row["n_samples"]),
            str(row["max_turns"]),
            *(f"{row[key]:.1f}" for key in ("t_c_s", "t_m_s", "t_s_s")),
            "-" if row["r"] is None else f"{row['r']:.3f}",
            "" if ends is None else f"{ends[0]:.3f} to {ends[1]:.3f}",
        )
    console = Console()
    console.print(table)
    console.print("sample-seconds; T_s measured, T_c : T_m estimated by the roofline", highlight=False)


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        document = None
    if not isinstance(document, dict) or document.get("kind") != _KIND:
        raise ConfigError(
            f"{path} is no result of 'intensity measure'",
            path=str(path),
            field="file",
            remedy="make one with 'a1-trt intensity measure PAIR --json FILE'",
        )
    return document
