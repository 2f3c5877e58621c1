"""What serving costs: the same problems solved in this process and through Triton servers, in turns.

    python build_scripts/served.py --problems 32 --repeats 5 --output served.json

There are two servers: one whose model a1 holds its engines itself ("inside"), one whose a1 calls the models draft and
target ("models"). All ways load the pair themselves, run the same scheduler with the same seeds, and are idle while
another one works. Also counts the processor seconds that scheduler and controller take in this process. Prints the
figures, and writes JSON with --output. Needs a quiet machine.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from itertools import islice
from pathlib import Path
from typing import Any

from reference import task

from a1_trt.benchmarks.document import write_document
from a1_trt.benchmarks.machine import commit, machine, versions
from a1_trt.benchmarks.statistics import ratio_of_sums
from a1_trt.client import AsyncClient
from a1_trt.config import Pair, load_pair
from a1_trt.core.scheduler import Scheduler
from a1_trt.errors import A1Error
from a1_trt.triton.server import TritonServer
from a1_trt.types import Problem

Run = dict[str, Any]
IN_PROCESS = "in process"
ENGINES = ["inside", "models"]


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


async def solve(client: AsyncClient, problems: list[Problem], options: argparse.Namespace, seed: int) -> Run:
    """All problems once: wall time, votes that are right, tokens."""
    started = time.perf_counter()
    outcomes = await client.solve_many(
        problems, concurrency=options.in_flight, seed=seed, n_samples=options.samples, max_turns=options.max_turns
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


async def measure(options: argparse.Namespace) -> list[Run]:
    """Every repeat of both ways; the one that comes first changes."""
    pair = load_pair(options.pair)
    # Never the same one twice: scores and keys and values of known text are kept, here as in the servers.
    made = enumerate(task.problems(options.seed, task.LEVELS[options.level], test=True))
    source = (Problem(one.text, f"{options.level}-{number}", one.answer) for number, one in made)
    warming = list(islice(source, options.warm_up))
    watch = Stopwatch(Scheduler, "add", "schedule", "update")
    runs: list[Run] = []
    async with AsyncExitStack() as opened:
        ways = {IN_PROCESS: await opened.enter_async_context(AsyncClient(pair))}
        for where in options.engines:
            server = opened.enter_context(TritonServer(_with_engines(pair, where), progress=_note))
            ways[where] = await opened.enter_async_context(AsyncClient(f"grpc://{server.grpc_url}"))
        for client in ways.values():
            await solve(client, warming, options, seed=10**6)
        for repeat in range(options.repeats):
            problems = list(islice(source, options.problems))
            for way in list(ways)[:: -1 if repeat % 2 else 1]:
                watch.seconds = 0.0
                run = await solve(ways[way], problems, options, options.seed + repeat)
                runs.append({"way": way, "repeat": repeat, **run})
                if way == IN_PROCESS:
                    runs[-1]["scheduling_s"] = watch.seconds
                _note(f"{way}, repeat {repeat + 1} of {options.repeats}: {run['wall_s']:.2f} s")
    return runs


def _with_engines(pair: Pair, where: str) -> Pair:
    return pair.model_copy(update={"serving": pair.serving.model_copy(update={"engines": where})})


def _note(text: str) -> None:
    print(text, file=sys.stderr)


def summarise(runs: list[Run]) -> dict[str, Any]:
    """Throughput served over that in process, and the share of wall time that scheduling takes."""
    by_way: dict[str, list[Run]] = {}
    for run in runs:
        by_way.setdefault(run["way"], []).append(run)
    shares = [run["scheduling_s"] / run["wall_s"] for run in by_way[IN_PROCESS]]
    served = {way: _over(by_way[IN_PROCESS], some) for way, some in by_way.items() if way != IN_PROCESS}
    return {
        "served_over_in_process": served,
        "accuracy": {way: statistics.mean(run["accuracy"] for run in some) for way, some in by_way.items()},
        "problems_per_s": {way: statistics.mean(run["problems_per_s"] for run in some) for way, some in by_way.items()},
        "scheduling_share": statistics.mean(shares),
        "scheduling_share_range": [min(shares), max(shares)],
    }


def _over(here: list[Run], there: list[Run]) -> dict[str, Any]:
    """Throughput there over that here."""
    one, other = ([run["wall_s"] for run in runs] for runs in (here, there))
    ratio, interval = ratio_of_sums(one, other)
    by_repeat = [a / b for a, b in zip(one, other, strict=True)]
    return {"ratio": ratio, "ci95": interval, "by_repeat": by_repeat}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", default="reference")
    parser.add_argument("--level", choices=list(task.LEVELS), default="middle", help="of the reference task")
    parser.add_argument("--problems", type=int, default=32, help="in each repeat; new ones in every one")
    parser.add_argument("--warm-up", type=int, default=10, help="problems before, after which everything is loaded")
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--max-turns", type=int, default=8)
    parser.add_argument("--in-flight", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES, help="where a served a1 has them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    runs = asyncio.run(measure(options))
    summary = summarise(runs)
    for name, value in summary.items():
        print(f"{name}: {value}")
    if options.output:
        beside = {"machine": machine(), "versions": versions(), "commit": commit(), "command": sys.argv}
        write_document(options.output, {**beside, "seed": options.seed, "summary": summary, "runs": runs})


if __name__ == "__main__":
    main()
