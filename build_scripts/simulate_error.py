"""How far the simulator is off on this machine: record runs of the reference pair, fit on some, predict the others.

One command for a quiet machine, some minutes::

    .venv/bin/python build_scripts/simulate_error.py --problems 64 --repeats 6 --output error.json

Every other run of each strategy is not seen by the fit. Exit status 1 where an error on runs that were not seen exceeds
15 % of a makespan, or 10 % of a ratio. With --holdout, a second fit does not see whole strategies; that one is for
looking at.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from a1_trt.cli import simulate_tables
from a1_trt.files import write_document
from a1_trt.simulate.call_log import read_runs
from a1_trt.simulate.fit import fit_runs

MAKESPAN, RATIO = 0.15, 0.10


def main() -> int:
    options = arguments()
    with tempfile.TemporaryDirectory() as place:
        record = options.record or Path(place) / "run.json"
        if not record.is_file():
            measure(options, record)
        runs = read_runs(record)
    fits = {"every other run": fit_runs(runs)}
    held_out = [name for name in options.holdout.split(",") if name]
    if held_out:
        fits[f"without {', '.join(held_out)}"] = fit_runs(runs, holdout=held_out)
    for name, document in fits.items():
        print(f"\nnot seen: {name}; recorded runs of a strategy lie apart by {document['recorded_spread']}")
        simulate_tables.show_fit(document)
    if options.output:
        write_document(options.output, fits)
    return 0 if is_close(fits["every other run"]) else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the simulator's error on this machine.")
    parser.add_argument("--pair", default="reference")
    parser.add_argument("--strategies", default="a1,sync-rank,target-only")
    parser.add_argument("--holdout", default="", help="strategies to predict without having seen them")
    parser.add_argument("--problems", type=int, default=64)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=6)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--record", type=Path, help="the recorded runs: written here, or read if it is there already")
    parser.add_argument("--output", type=Path, help="JSON of both fits")
    return parser.parse_args()


def measure(options: argparse.Namespace, record: Path) -> None:
    """Record the runs with every call; `bench compare` interleaves the strategies."""
    words = [sys.executable, "-c", "from a1_trt.cli import main; main()", "bench", "compare", options.pair]
    for name in ("strategies", "problems", "samples", "repeats", "seed"):
        words += [f"--{name}", str(getattr(options, name))]
    words += ["--blocks", "1", "--keep-calls", "all", "--output", str(record)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)  # noqa: S603  our own command line


def is_close(document: dict[str, object]) -> bool:
    errors = json.loads(json.dumps(document["largest_error"]))
    return (errors["makespan_held_out"] or 0) <= MAKESPAN and (errors["ratio"] or 0) <= RATIO


if __name__ == "__main__":
    sys.exit(main())
