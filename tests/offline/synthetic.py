"""A made-up trace: problems of different hardness, samples of different length, some empty segments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def arrays(
    n_problems: int = 12, n_samples: int = 8, n_turns: int = 9, seed: int = 0
) -> dict[str, np.ndarray[Any, Any]]:
    """The documented arrays; longer chains belong to harder problems, whose scores are larger."""
    rng = np.random.default_rng(seed)
    rows, samples = [], []
    for problem in range(n_problems):
        hardness = rng.normal()
        for sample in range(n_samples):
            length = int(np.clip(rng.poisson(3 + hardness) + 1, 1, n_turns))
            right = rng.random() < 0.8 - 0.2 * hardness
            samples.append((problem, sample, length, str(problem) if right else str(100 + rng.integers(5))))
            rows += [(problem, sample, turn, hardness) for turn in range(length)]
    question, sample, turn, hardness = (np.asarray(column) for column in zip(*rows, strict=True))
    ppl = np.exp(0.4 + 0.2 * hardness + 0.2 * rng.normal(size=len(rows)))
    fixed = np.exp(0.4 + 0.25 * rng.normal(size=n_problems * n_samples))
    percentile = (np.searchsorted(np.sort(fixed), ppl) / len(fixed)).astype(np.float32)
    empty = rng.random(len(rows)) < 0.01
    ppl[empty], percentile[empty] = np.nan, np.nan
    return {
        "question": question.astype(np.int32) + 3,
        "sample": sample.astype(np.int32),
        "turn": turn.astype(np.int32),
        "ppl": ppl.astype(np.float32),
        "percentile": percentile,
        "segment_chars": np.full(len(rows), 1000, np.int32),
        "continuation_chars": np.zeros(len(rows), np.int32),
        "calibration_ppl": fixed.astype(np.float32),
        "sample_question": np.asarray([each[0] + 3 for each in samples], np.int32),
        "sample_index": np.asarray([each[1] for each in samples], np.int32),
        "sample_turns": np.asarray([each[2] for each in samples], np.int32),
        "sample_duration_s": np.ones(len(samples), np.float32),
        "sample_answer": np.asarray([each[3] for each in samples]),
    }


def write(path: Path, **changed: Any) -> Path:
    """The trace as a file, with arrays changed, or left out where None."""
    made = {name: array for name, array in {**arrays(), **changed}.items() if array is not None}
    np.savez_compressed(path, **made)
    return path
