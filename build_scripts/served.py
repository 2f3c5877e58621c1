"""What serving costs: the same problems solved in this process and through a Triton server, in turns.

    python build_scripts/served.py --problems 32 --repeats 5 --output served.json

Both ways load the pair themselves, run the same scheduler with the same seeds, and are idle while the other one works.
Also counts the processor seconds that scheduler and controller take in this process. Prints the figures, and writes
JSON with --output. Needs a quiet machine.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from a1_trt.bench.document import write_document
from a1_trt.bench.intervals import ratio_of_sums
from a1_trt.bench.machine import commit, machine, versions
from a1_trt.cli.pair import problems_path
from a1_trt.client import AsyncClient
from a1_trt.config import load_pair
from a1_trt.deploy.server import TritonServer
from a1_trt.errors import A1Error
from a1_trt.problems import read_problems
from a1_trt.scheduler import Scheduler
from a1_trt.session import open_session
from a1_trt.types import Problem

Run = dict[str, Any]


class Stopwatch:
    """Processor seconds spent in some methods of a class."""

    def __init__(self, watched: type, *names: str) -> None:
        self.seconds = 0.0
        for name in names:
            setattr(watched, name, self._timed(getattr(watched, name)))

    def _timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def timed(*given: Any, **named: Any) -> Any:
            started = time.thread_time()
            try:
                return method(*given, **named)
            finally:
                self.seconds += time.thread_time() - started

        return timed


async def solve(client: AsyncClient, problems: list[Problem], said: argparse.Namespace, seed: int) -> Run:
    """All problems once: wall time, votes that are right, tokens."""
    started = time.perf_counter()
    outcomes = await client.solve_many(
        problems, concurrency=said.in_flight, seed=seed, n_samples=said.samples, max_turns=said.max_turns
    )
    wall_s = time.perf_counter() - started
    results = []
    for outcome in outcomes:
        if isinstance(outcome, A1Error):
            raise outcome
        results.append(outcome)
    return {
        "wall_s": wall_s,
        "problems_per_s": len(problems) / wall_s,
        "accuracy": statistics.mean(
            result.answer == problem.answer for result, problem in zip(results, problems, strict=True)
        ),
        "tokens": sum(result.usage.draft_tokens + result.usage.target_tokens for result in results),
    }


async def measure(said: argparse.Namespace) -> list[Run]:
    """Every repeat of both ways; the one that comes first changes."""
    pair = load_pair(said.pair)
    problems = read_problems(said.problems_file or problems_path(pair), level=said.level or None, with_answers=True)
    warming, problems = problems[-2:], problems[: said.problems]
    watch = Stopwatch(Scheduler, "add", "schedule", "update")
    runs: list[Run] = []
    with TritonServer(pair, progress=lambda what: print(what, file=sys.stderr)) as server:
        async with (
            await open_session(pair) as session,
            AsyncClient(session) as here,
            AsyncClient(f"grpc://{server.grpc_url}") as there,
        ):
            ways = {"in process": here, "served": there}
            for client in ways.values():
                await solve(client, warming, said, seed=10**6)
            for repeat in range(said.repeats):
                for way in list(ways)[:: -1 if repeat % 2 else 1]:
                    watch.seconds = 0.0
                    run = await solve(ways[way], problems, said, said.seed + repeat)
                    runs.append({"way": way, "repeat": repeat, **run})
                    if way == "in process":
                        runs[-1]["scheduling_s"] = watch.seconds
                    print(f"{way}, repeat {repeat + 1} of {said.repeats}: {run['wall_s']:.2f} s", file=sys.stderr)
    return runs


def summarise(runs: list[Run]) -> dict[str, Any]:
    """Throughput served over that in process, and the share of wall time that scheduling takes."""
    by_way = {way: [run for run in runs if run["way"] == way] for way in ("in process", "served")}
    here, there = ([run["wall_s"] for run in by_way[way]] for way in by_way)
    ratio, interval = ratio_of_sums(here, there)
    shares = [run["scheduling_s"] / run["wall_s"] for run in by_way["in process"]]
    return {
        "served_over_in_process": ratio,
        "served_over_in_process_ci95": interval,
        "by_repeat": [mine / theirs for mine, theirs in zip(here, there, strict=True)],
        "accuracy": {way: statistics.mean(run["accuracy"] for run in some) for way, some in by_way.items()},
        "problems_per_s": {way: statistics.mean(run["problems_per_s"] for run in some) for way, some in by_way.items()},
        "scheduling_share": statistics.mean(shares),
        "scheduling_share_range": [min(shares), max(shares)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", default="reference")
    parser.add_argument("--level", default="middle")
    parser.add_argument("--problems", type=int, default=32)
    parser.add_argument("--problems-file", type=Path)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--max-turns", type=int, default=8)
    parser.add_argument("--in-flight", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    said = parser.parse_args()
    runs = asyncio.run(measure(said))
    found = summarise(runs)
    for name, value in found.items():
        print(f"{name}: {value}")
    if said.output:
        beside = {"machine": machine(), "versions": versions(), "commit": commit(), "command": sys.argv}
        write_document(said.output, {**beside, "seed": said.seed, "summary": found, "runs": runs})


if __name__ == "__main__":
    main()
