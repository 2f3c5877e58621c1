"""Measure the reference pair on held-out problems, on the CPU engine: accuracy, cost, and what the score tells.

    python build_scripts/reference/evaluate.py engines/reference --problems 100 --output figures.json

Prints one JSON object. Every figure comes with the number of chains or repeats behind it. Needs no torch.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path

import task

from a1_trt.backends.openvino import OpenVinoEngine
from a1_trt.benchmarks.statistics import wilson_interval
from a1_trt.config import load_pair
from a1_trt.core.conformal import perplexity
from a1_trt.core.reasoning import boxed

TEMPERATURE = 0.8
SEGMENT_TOKENS = 64
MAX_TOKENS = 512


async def chains(engine: OpenVinoEngine, problems: list[task.Problem], max_tokens: int, seed: int) -> list[str]:
    """One sampled continuation of every problem, all in flight together."""

    async def one(index: int, problem: task.Problem) -> str:
        prompt = engine.tokenizer.encode(problem.text + "\n", special=True)
        new = await engine.generate(prompt, max_tokens=max_tokens, temperature=TEMPERATURE, seed=seed + index)
        return engine.tokenizer.decode(new.token_ids)

    return list(await asyncio.gather(*(one(index, problem) for index, problem in enumerate(problems))))


async def accuracy(engine: OpenVinoEngine, count: int, seed: int) -> dict[str, dict[str, object]]:
    """pass@1 per level: one chain a problem."""
    found = {}
    for level, n_steps in task.LEVELS.items():
        source = task.problems(31337, n_steps, test=True)
        problems = [next(source) for _ in range(count)]
        texts = await chains(engine, problems, MAX_TOKENS, seed)
        right = sum(boxed(text) == problem.answer for text, problem in zip(texts, problems, strict=True))
        low, high = wilson_interval(right, count)
        found[level] = {"pass@1": right / count, "ci95": [round(low, 3), round(high, 3)], "chains": count}
    return found


async def separation(draft: OpenVinoEngine, target: OpenVinoEngine, count: int, seed: int) -> dict[str, object]:
    """AUC of the target's perplexity for wrong against right first segments of the draft, middle level."""
    source = task.problems(777, task.LEVELS["middle"], test=True)
    problems = [next(source) for _ in range(count)]
    texts = await chains(draft, problems, SEGMENT_TOKENS, seed)
    wrong, right = [], []
    for problem, text in zip(problems, texts, strict=True):
        prompt = target.tokenizer.encode(problem.text + "\n", special=True)
        score = perplexity(await target.score(prompt, target.tokenizer.encode(text)))
        (right if task.first_mistake(problem, text) is None else wrong).append(score)
    above = sum((x > y) + 0.5 * (x == y) for x in wrong for y in right)
    return {"auc": above / (len(wrong) * len(right)), "wrong_segments": len(wrong), "right_segments": len(right)}


async def cost(engines: dict[str, OpenVinoEngine], repeats: int, in_flight: int = 16) -> dict[str, object]:
    """Seconds per generated token at 16 sequences in flight, both engines in turn, prefill taken off."""
    # A hard problem: its chains are longer than what is timed, so that none leaves the batch early.
    prompt_text = next(task.problems(5, task.LEVELS["hard"], test=True)).text + "\n"
    seconds: dict[str, list[float]] = {role: [] for role in engines}
    for repeat in range(repeats + 1):
        for role, engine in engines.items():
            prompt = engine.tokenizer.encode(prompt_text, special=True)

            async def timed(
                tokens: int, engine: OpenVinoEngine = engine, prompt: list[int] = prompt
            ) -> tuple[float, int]:
                started = time.perf_counter()
                made = await asyncio.gather(
                    *(
                        engine.generate(prompt, max_tokens=tokens, temperature=TEMPERATURE, seed=i)
                        for i in range(in_flight)
                    )
                )
                return time.perf_counter() - started, sum(len(new.token_ids) for new in made)

            short, few = await timed(4)
            long, many = await timed(100)
            if repeat:  # the first round warms up
                seconds[role].append((long - short) / (many - few))
    ratios = [target / draft for target, draft in zip(seconds["target"], seconds["draft"], strict=True)]
    microseconds = {role: round(1e6 * statistics.median(values), 1) for role, values in seconds.items()}
    return {
        "microseconds_per_token": microseconds,
        "target_over_draft": {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)},
        "sequences_in_flight": in_flight,
        "repeats": repeats,
    }


async def evaluate(pair: Path, count: int, repeats: int, seed: int) -> dict[str, object]:
    loaded = load_pair(pair)
    engines = {role: OpenVinoEngine.for_pair(loaded, role) for role in ("draft", "target")}
    try:
        return {
            "command": " ".join(sys.argv),
            "machine": {"processor": platform.processor() or platform.machine(), "system": platform.platform()},
            "versions": {name: version(name) for name in ("openvino", "openvino-genai")},
            "seed": seed,
            "temperature": TEMPERATURE,
            "accuracy": {role: await accuracy(engine, count, seed) for role, engine in engines.items()},
            "separation": await separation(engines["draft"], engines["target"], 3 * count, seed),
            "cost": await cost(engines, repeats),
        }
    finally:
        for engine in engines.values():
            await engine.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pair", type=Path, help="directory with draft/ and target/")
    parser.add_argument("--problems", type=int, default=100, help="problems per level")
    parser.add_argument("--repeats", type=int, default=7, help="repeats of the cost measurement")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="also write the JSON there")
    arguments = parser.parse_args()
    found = asyncio.run(evaluate(arguments.pair, arguments.problems, arguments.repeats, arguments.seed))
    text = json.dumps(found, indent=2)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
