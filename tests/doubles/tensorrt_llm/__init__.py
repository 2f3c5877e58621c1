"""A strict double of tensorrt_llm: what tests/contracts/tensorrt_llm_api.json says, and nothing else.

It runs models registered the way the real package registers them, on a language model whose true log-probs are known,
with paged KV-cache reuse, chunked prefill and in-flight batching, and with the faults that `_world.World` switches.
Put the directory above on sys.path with `tests/doubles/installed.py`.
"""

from __future__ import annotations

from typing import Any

from tensorrt_llm._llm import LLM, SamplingParams

__all__ = ["LLM", "SamplingParams"]


def __getattr__(name: str) -> Any:
    from tensorrt_llm._world import WORLD

    if name == "__version__":
        return WORLD.version
    raise AttributeError(f"tensorrt_llm {WORLD.version} (the double) has no {name}")
