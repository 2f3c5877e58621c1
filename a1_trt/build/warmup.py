"""Start a built engine once: ``python -m a1_trt.build.warmup ROLE SETTINGS REPORT [--scoring NAME]``.

Whatever is compiled or tuned on a first start is then in TensorRT-LLM's caches, and a target whose scores are wrong is
found before it serves. Has not been run on a GPU.
"""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from a1_trt.errors import A1Error, ConfigError
from a1_trt.types import Role

_PROMPT = "What is 2 + 2? Put the answer in \\boxed{}."
_N_TOKENS = 8


async def warm_up(settings: dict[str, Any], role: Role, scoring: str | None) -> dict[str, Any]:
    """Load, generate a few tokens, for a target score them, and close."""
    from a1_trt.backends.tensorrt_llm import TensorRtLlmEngine

    began_s = time.monotonic()
    engine = await TensorRtLlmEngine.open(settings, role=role, scorer=scoring or "auto")
    try:
        loaded_s = time.monotonic()
        prompt = engine.tokenizer.encode(_PROMPT)
        generation = await engine.generate(prompt, max_tokens=_N_TOKENS, temperature=0.0, seed=0)
        report = {"load_s": round(loaded_s - began_s, 1), "n_generated_tokens": len(generation.token_ids)}
        if role == "target" and generation.token_ids:
            report["n_scored_tokens"] = len(await engine.score(prompt, generation.token_ids))
        return report
    finally:
        await engine.aclose()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=("draft", "target"))
    parser.add_argument("settings", type=Path)
    parser.add_argument("report", type=Path)
    parser.add_argument("--scoring")
    options = parser.parse_args(arguments)
    try:
        try:
            settings = json.loads(options.settings.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{options.settings} cannot be read ({error})", field="settings") from None
        report = asyncio.run(warm_up(settings, options.role, options.scoring))
    except A1Error as error:
        sys.stderr.write(f"{error.to_wire()}\n")
        return error.exit_code
    options.report.mkdir(parents=True, exist_ok=True)
    (options.report / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
