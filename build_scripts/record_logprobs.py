"""Record the draft's chains with the target's log-probs, so that scores can be compared:

    python build_scripts/record_logprobs.py reference --level middle --problems 50 --output chains.jsonl
    a1-trt traces quality chains.jsonl

One line a chain, as `a1-trt eval` writes them; nothing is taken over, so a score meets the chain as the draft made it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path

from a1_trt.benchmarks.grading import is_correct
from a1_trt.benchmarks.problems import read_problems
from a1_trt.cli.problems import problems_path
from a1_trt.config import load_pair
from a1_trt.core.conformal import perplexity
from a1_trt.core.reasoning import boxed
from a1_trt.core.scheduler.seeds import call_seed
from a1_trt.engine import Engine
from a1_trt.runtime.opening import open_engines
from a1_trt.types import Problem

N_AT_ONCE = 32


async def chain(draft: Engine, target: Engine, problem: Problem, sample: int, options: argparse.Namespace) -> dict:
    """One chain, segment by segment, each scored."""
    ids, turns, text = draft.tokenizer.encode(options.prompt.format(problem=problem.text), special=True), [], ""
    for turn in range(options.max_turns):
        seed = call_seed(options.seed, problem.id, sample, turn, "draft")
        new = await draft.generate(ids, max_tokens=options.tokens, temperature=options.temperature, seed=seed)
        if not new.token_ids:
            break
        values = await target.score(ids, new.token_ids)
        turns.append({"score": perplexity(values), "logprobs": [round(value, 5) for value in values]})
        ids, text = [*ids, *new.token_ids], text + draft.tokenizer.decode(new.token_ids)
        if new.ended or boxed(text) is not None:
            break
    answer = boxed(text)
    right = is_correct(answer, problem.answer or "")
    return {"problem_id": problem.id, "sample": sample, "answer": answer, "correct": right, "turns": turns}


async def record(options: argparse.Namespace) -> None:
    """All chains, in order."""
    pair = load_pair(options.pair)
    options.prompt, options.temperature = pair.draft.prompt, pair.draft.sampling.temperature
    options.tokens, options.max_turns = options.tokens or pair.draft.sampling.segment_tokens, pair.scheduler.max_turns
    problems = read_problems(problems_path(pair), level=options.level, with_answers=True)[: options.problems]
    engines = await open_engines(pair)
    places = asyncio.Semaphore(N_AT_ONCE)

    async def one(problem: Problem, sample: int) -> dict:
        async with places:
            return await chain(engines["draft"], engines["target"], problem, sample, options)

    try:
        rows = await asyncio.gather(
            *(one(problem, sample) for problem in problems for sample in range(options.samples))
        )
    finally:
        for engine in engines.values():
            await engine.aclose()
    options.output.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pair")
    parser.add_argument("--level")
    parser.add_argument("--problems", type=int, default=50)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--tokens", type=int, help="longest segment; the pair's own when not given")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    asyncio.run(record(parser.parse_args()))


if __name__ == "__main__":
    main()
