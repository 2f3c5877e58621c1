"""Traces in the format of the published ones, small."""

import numpy as np


def arrays(n_questions=3, n_samples=4, seed=0):
    """Random turns of every sample: segment sizes, scores, decisions and durations."""
    chance = np.random.default_rng(seed)
    turns = chance.integers(1, 6, (n_questions, n_samples))
    rows = [(q, s, t) for q in range(n_questions) for s in range(n_samples) for t in range(turns[q, s])]
    question, sample, turn = np.array(rows, dtype=np.int32).T
    percentile = chance.random(len(rows)).astype(np.float32)
    continuation = np.where(percentile >= 0.6, chance.integers(1, 1500, len(rows)), 0)
    pairs = [(q, s) for q in range(n_questions) for s in range(n_samples)]
    return {
        "question": question,
        "sample": sample,
        "turn": turn,
        "ppl": (1 + chance.random(len(rows))).astype(np.float32),
        "percentile": percentile,
        "segment_chars": chance.integers(1, 1500, len(rows)).astype(np.int32),
        "continuation_chars": continuation.astype(np.int32),
        "sample_question": np.array([q for q, _ in pairs], dtype=np.int32),
        "sample_index": np.array([s for _, s in pairs], dtype=np.int32),
        "sample_turns": turns.ravel().astype(np.int32),
        "sample_duration_s": chance.gamma(1.0, 20.0, len(pairs)).astype(np.float32),
    }


def write(path, **changes):
    """Write a trace; an array that is None is left out."""
    kept = {name: value for name, value in {**arrays(), **changes}.items() if value is not None}
    np.savez(path, **kept)
    return path
