"""Strict stand-ins for the programs of a build: trtllm-build, convert_checkpoint.py, quantize.py and hf.

Each takes the flags of tests/contracts and refuses any other, needs its inputs, and leaves what the real one leaves, a
few bytes large. FAKE_FAULT, a JSON object {"tool", "role", "how"}, breaks one: "fail" at once, "half" way through,
"empty" and well, or "hang".
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

CONTRACTS = Path(__file__).parents[1] / "contracts"
BUILD = json.loads((CONTRACTS / "tensorrt_llm_build.json").read_text(encoding="utf-8"))
EXAMPLES = json.loads((CONTRACTS / "tensorrt_llm_examples.json").read_text(encoding="utf-8"))
FLAGS: dict[str, list[dict[str, Any]]] = {"trtllm-build": BUILD["flags"], **EXAMPLES}


def parse(tool: str, arguments: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Flags by name, and what is not a flag. ValueError for anything that the real program would not take."""
    known = {flag["flag"]: flag for flag in FLAGS[tool]}
    found: dict[str, Any] = {}
    rest = []
    words = iter(arguments)
    for word in words:
        if not word.startswith("-"):
            rest.append(word)
            continue
        if word not in known:
            raise ValueError(f"unrecognized arguments: {word}")
        if word in found:
            raise ValueError(f"{word} is given twice")
        flag = known[word]
        if flag["type"] == "store_true":
            found[word] = True
            continue
        value = next(words, None)
        if value is None or value.startswith("--"):
            raise ValueError(f"{word} needs a value")
        found[word] = int(value) if flag["type"] == "int" else value
        if flag.get("allowed") and found[word] not in flag["allowed"]:
            raise ValueError(f"argument {word}: invalid choice: {value}")
    return found, rest


def main(tool: str, arguments: list[str]) -> int:
    try:
        flags, rest = parse(tool, arguments)
    except ValueError as error:
        _die(2, f"{tool}: error: {error}")
    output = Path(flags.get("--output_dir") or flags["--local-dir"])
    with Path(os.environ["FAKE_CALLS"]).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps([tool, output.name.removesuffix(".partial")]) + "\n")
    if rest and tool != "hf":
        _die(2, f"{tool}: error: unrecognized arguments: {rest}")
    output.mkdir(parents=True, exist_ok=True)
    _break(tool, output)
    {"trtllm-build": _build, "convert_checkpoint.py": _convert, "quantize.py": _quantize, "hf": _fetch}[tool](
        flags, rest, output
    )
    return 0


def _break(tool: str, output: Path) -> None:
    fault = json.loads(os.environ.get("FAKE_FAULT", "{}"))
    if fault.get("tool") != tool or fault.get("role") != output.name.removesuffix(".partial"):
        return
    if fault["how"] == "fail":
        _die(1, "torch.OutOfMemoryError: CUDA out of memory")
    if fault["how"] == "empty":
        sys.exit(0)
    (output / "config.json").write_text("{}", encoding="utf-8")
    (output / "rank0.engine").write_bytes(b"half")
    if fault["how"] == "half":
        _die(1, "Killed")
    Path(os.environ["FAKE_PID"]).write_text(str(os.getpid()), encoding="utf-8")
    time.sleep(600)


def _fetch(flags: dict[str, Any], rest: list[str], output: Path) -> None:
    if rest[:1] != ["download"] or len(rest) != 2:
        _die(2, f"hf: error: {rest}")
    shutil.copytree(Path(os.environ["FAKE_HUB"]) / rest[1], output, dirs_exist_ok=True)


def _convert(flags: dict[str, Any], rest: list[str], output: Path) -> None:
    model = _config(Path(flags["--model_dir"]))
    split = {"tp_size": flags.get("--tp_size", 1), "pp_size": flags.get("--pp_size", 1), "cp_size": 1}
    _ranks(output, split, "safetensors")
    document = {"architecture": model["architectures"][0], "num_hidden_layers": model["num_hidden_layers"]}
    _write(output, {**document, "mapping": split, "dtype": flags["--dtype"]})


def _quantize(flags: dict[str, Any], rest: list[str], output: Path) -> None:
    if flags.get("--export_format", "tensorrt_llm") == "tensorrt_llm":
        _convert(flags, rest, output)
        return
    shutil.copytree(flags["--model_dir"], output, dirs_exist_ok=True)
    algorithm = {"fp8": "FP8", "nvfp4": "NVFP4", "int4_awq": "W4A16_AWQ"}[flags["--qformat"]]
    (output / "hf_quant_config.json").write_text(json.dumps({"quantization": {"quant_algo": algorithm}}))


def _build(flags: dict[str, Any], rest: list[str], output: Path) -> None:
    checkpoint = _config(Path(flags["--checkpoint_dir"]))
    if flags.get("--max_input_len", 1024) >= flags["--max_seq_len"]:
        _die(1, "max_input_len must be below max_seq_len")
    if flags.get("--speculative_decoding_mode") == "draft_tokens_external" and not flags.get("--max_draft_len"):
        _die(1, "max_draft_len must be set")
    _ranks(output, checkpoint["mapping"], "engine")
    said = {flag["flag"].removeprefix("--"): flag["default"] for flag in BUILD["flags"]}
    said |= {flag.removeprefix("--"): value for flag, value in flags.items()}
    settings = {key: said.get(key) for key in BUILD["engine_config_json"]["build_config_keys"]}
    _write(output, {"version": "1.2.1", "pretrained_config": checkpoint, "build_config": settings})


def _ranks(output: Path, split: dict[str, int], suffix: str) -> None:
    for rank in range(split["tp_size"] * split["pp_size"]):
        (output / f"rank{rank}.{suffix}").write_bytes(f"rank {rank}".encode())


def _config(directory: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((directory / "config.json").read_text(encoding="utf-8")))
    except OSError as error:
        _die(1, f"FileNotFoundError: {error}")


def _write(output: Path, document: dict[str, Any]) -> None:
    (output / "config.json").write_text(json.dumps(document), encoding="utf-8")


def _die(status: int, text: str) -> NoReturn:
    sys.stderr.write(f"{text}\n")
    sys.exit(status)
