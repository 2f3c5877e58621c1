"""What a plan sets is what the double of tensorrt_llm takes, and what the in-process engine runs with."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from a1_trt.backends.tensorrt_llm import TensorRtLlmEngine
from a1_trt.build.hardware import GpuSpec
from a1_trt.build.plan import make_plan
from a1_trt.config import load_pair
from a1_trt.locations import list_pairs
from a1_trt.types import Role
from tests.doubles import installed

PAIRS = [name for name in list_pairs() if "_" in name]


@pytest.mark.parametrize("name", PAIRS)
def test_the_settings_of_every_shipped_pair_open_an_engine(name: str, tmp_path: Path) -> None:
    plan = make_plan(load_pair(name), "pytorch", GpuSpec.parse("8 x h100-80g"), output=tmp_path / "built")

    async def scenario(role: Role, settings: dict[str, Any]) -> None:
        model = installed.checkpoint(tmp_path / role)
        engine = await TensorRtLlmEngine.open(
            {**settings, "model": str(model)}, role=role, tokenizer=installed.CharacterTokenizer()
        )
        try:
            tokens = engine.tokenizer.encode("12 + 30 = 42, and so on and on.")
            assert (await engine.generate(tokens, max_tokens=4, temperature=0.0, seed=0)).token_ids
            if role == "target":
                assert len(await engine.score(tokens[:9], tokens[9:])) == len(tokens) - 9
        finally:
            await engine.aclose()

    with installed.tensorrt_llm():
        for role, settings in plan.settings.items():
            asyncio.run(scenario(role, settings))
