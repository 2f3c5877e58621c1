"""What it costs, or gains, in accuracy to hold the rate over short horizons, on a pair that runs here.

    python build_scripts/horizons.py --problems 100 --seeds 3 --output horizons.json

Solves the same problems with the same seeds, once for each horizon (in problems), once by a rule without a horizon,
once with takeovers by chance and once by a counter that never looks at the score. Every arm starts without a past.
Prints a table, and JSON with --output.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np

from a1_trt.benchmarks.grading import is_correct
from a1_trt.benchmarks.problems import read_problems
from a1_trt.benchmarks.statistics import paired_difference, ratio_interval
from a1_trt.cli.problems import problems_path
from a1_trt.cli.progress import SolvingView
from a1_trt.client import AsyncClient
from a1_trt.config import Pair, load_pair
from a1_trt.core.conformal import Candidate, Decision
from a1_trt.offline import window_error
from a1_trt.offline.selectivity import local_area, overall_area
from a1_trt.runtime.calibration import Recorded, controller_of
from a1_trt.runtime.session import open_session
from a1_trt.types import Problem, Result

Made = list[tuple[Candidate, Decision]]


def arms(pair: Pair, horizons: list[float], alpha: float) -> dict[str, Pair]:
    """A pair for each way to decide."""

    def changed(**fields: object) -> Pair:
        return pair.model_copy(update={"conformal": pair.conformal.model_copy(update={"alpha": alpha, **fields})})

    named = {f"two-level {horizon:g}": changed(controller="two-level", horizon=horizon) for horizon in horizons}
    return named | {name: changed(controller=name) for name in ("mondrian", "random", "counter")}


async def solve(
    pair: Pair, problems: list[Problem], seed: int, view: SolvingView, arm: str
) -> tuple[list[Result], Made]:
    """All problems with a new controller; the decisions in their order."""
    made: Made = []
    controller = Recorded(controller_of(pair), lambda candidate, decision: made.append((candidate, decision)))
    async with await open_session(pair, controller=controller) as session, AsyncClient(session) as client:
        # Without early stop: every sample ends, so that pass@1 is that of all of them.
        outcomes = await client.solve_many(
            problems,
            concurrency=4,
            seed=seed,
            early_stop=False,
            on_progress=lambda now: view.solved(arm, now.n_done, now.n_total, now.outcome),
        )
    for outcome in outcomes:
        if not isinstance(outcome, Result):
            raise outcome
    return [outcome for outcome in outcomes if isinstance(outcome, Result)], made


def accuracy(results: list[Result]) -> tuple[list[bool], list[tuple[int, int]]]:
    """Whether each problem's vote is right; right samples and all samples of each."""
    votes, samples = [], []
    for result in results:
        truth = result.problem.answer or ""
        votes.append(is_correct(result.answer, truth))
        right = sum(is_correct(chain.answer, truth) for chain in result.trajectories)
        samples.append((right, len(result.trajectories)))
    return votes, samples


def decided(made: Made, alpha: float) -> dict[str, Any]:
    """Rate, worst window and selectivity of the decisions, in their order."""
    x = np.asarray([decision.takeover for _, decision in made], dtype=bool)
    scores = np.asarray([candidate.score for candidate, _ in made])
    named = ([candidate.problem for candidate, _ in made], [candidate.category for candidate, _ in made])
    codes = [np.unique(names, return_inverse=True)[1].astype(np.int64) for names in named]
    return {
        "n": len(x),
        "rate": float(x.mean()),
        "window_error_max": window_error(x.astype(float), alpha),
        "selectivity": overall_area(scores, x, codes[0]).value,
        "selectivity_local": local_area(scores, x, codes[0], codes[1]).value,
        "n_forced": sum(decision.forced is not None for _, decision in made),
    }


async def measure(pairs: dict[str, Pair], problems: list[Problem], alpha: float, n_seeds: int) -> list[dict[str, Any]]:
    """One row an arm; differences are against the first arm, problem by problem."""
    rows: list[dict[str, Any]] = []
    first: list[bool] = []
    with SolvingView(pairs, len(problems) * n_seeds) as view:
        for arm, pair in pairs.items():
            votes: list[bool] = []
            samples: list[tuple[int, int]] = []
            runs, target_tokens = [], 0
            for seed in range(n_seeds):
                results, made = await solve(pair, problems, seed, view, arm)
                right, of_samples = accuracy(results)
                votes += right
                samples += of_samples
                target_tokens += sum(result.usage.target_tokens for result in results)
                runs.append(decided(made, alpha))
            first = first or votes
            rows.append({"arm": arm, **summed(votes, samples, first, len(problems)), **means(runs)})
            rows[-1]["target_tokens_a_problem"] = target_tokens / len(votes)
    return rows


def summed(
    votes: list[bool], samples: list[tuple[int, int]], first: list[bool], n_problems: int
) -> dict[str, float | list[float | None]]:
    """Accuracies; a problem that was solved with several seeds is one cluster."""
    n_right, n_all = (np.asarray(column, dtype=float) for column in zip(*samples, strict=True))
    by_problem = [counts.reshape(-1, n_problems).sum(axis=0) for counts in (n_right, n_all)]
    low, high = ratio_interval(*by_problem, seed=0)
    difference, below, above = paired_difference(votes, first)
    return {
        "vote_accuracy": float(np.mean(votes)),
        "vote_minus_first": difference,
        "vote_minus_first_ci95": [below, above],
        "pass_at_1": float(n_right.sum() / n_all.sum()),
        "pass_at_1_ci95": [low, high],
    }


def means(runs: list[dict[str, Any]]) -> dict[str, float | None]:
    """Of each figure over the seeds; of the window the worst."""
    figures: dict[str, float | None] = {}
    for name in runs[0]:
        values = [run[name] for run in runs if run[name] is not None]
        figures[name] = None if not values else max(values) if name == "window_error_max" else float(np.mean(values))
    return figures


def say(rows: list[dict[str, Any]]) -> None:
    print(
        "| arm | vote | against first | pass@1 | 95 % | rate | window 200 | AUC | local | forced | target tokens |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    for row in rows:
        low, high = row["vote_minus_first_ci95"]
        ends = ["-" if end is None else f"{end:.3f}" for end in row["pass_at_1_ci95"]]
        areas = ["-" if row[name] is None else f"{row[name]:.3f}" for name in ("selectivity", "selectivity_local")]
        print(
            f"| {row['arm']} | {row['vote_accuracy']:.3f} | {row['vote_minus_first']:+.3f} [{low:+.3f}, {high:+.3f}] "
            f"| {row['pass_at_1']:.3f} | [{', '.join(ends)}] | {row['rate']:.3f} | {row['window_error_max']:.3f} "
            f"| {' | '.join(areas)} | {row['n_forced']:.0f} | {row['target_tokens_a_problem']:.0f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", default="reference")
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--level")
    parser.add_argument("--one-level-after-the-other", action="store_true", help="a shift, rather than a mixture")
    parser.add_argument("--alpha", type=float, help="the pair's own if not given")
    parser.add_argument("--horizons", default="3,6,12.5,25,50,100", help="problems over which the rate must hold")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    pair = load_pair(options.pair)
    problems = read_problems(problems_path(pair), level=options.level, with_answers=True)
    # The file has one level after the other.
    random.Random(0).shuffle(problems)
    problems = problems[: options.problems]
    if options.one_level_after_the_other:
        problems.sort(key=lambda problem: problem.id)
    alpha = pair.conformal.alpha if options.alpha is None else options.alpha
    pairs = arms(pair, [float(text) for text in options.horizons.split(",")], alpha)
    rows = asyncio.run(measure(pairs, problems, alpha, options.seeds))
    say(rows)
    if options.output:
        document = {
            "pair": options.pair,
            "alpha": alpha,
            "n_problems": len(problems),
            "n_seeds": options.seeds,
            "rows": rows,
        }
        options.output.write_text(json.dumps({**document, "command": sys.argv}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
