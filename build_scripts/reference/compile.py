"""Compile both trained checkpoints for the CPU engine and write the held-out problems.

    python build_scripts/reference/compile.py checkpoints/target checkpoints/draft engines/reference

Needs torch, transformers and optimum-intel; see requirements.txt beside this file.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import task

from a1_trt.build.convert import build_openvino

PROBLEMS_SEED = 2025
PROBLEMS_PER_LEVEL = 100


def write_problems(path: Path) -> None:
    """The problems that the pair is shown on: of the test split, the same number of every level."""
    lines = []
    for level, n_steps in task.LEVELS.items():
        source = task.problems(PROBLEMS_SEED, n_steps, test=True)
        for index in range(PROBLEMS_PER_LEVEL):
            problem = next(source)
            row = {"id": f"{level}-{index:03d}", "level": level, "problem": problem.text, "answer": problem.answer}
            lines.append(json.dumps(row))
    path.write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path, help="checkpoint of the target")
    parser.add_argument("draft", type=Path, help="checkpoint of the draft")
    parser.add_argument("output", type=Path, help="directory of the pair")
    parser.add_argument("--target-weights", default="f16", choices=["f32", "f16", "int8"])
    arguments = parser.parse_args()
    for role, weights in (("target", arguments.target_weights), ("draft", "f16")):
        checkpoint = getattr(arguments, role)
        build_openvino(checkpoint, arguments.output / role, weight_format=weights, force=True)
        shutil.copy(checkpoint / "training.json", arguments.output / role / "training.json")
    write_problems(arguments.output / "problems.jsonl")


if __name__ == "__main__":
    main()
