"""What a wrong argument looks like, for every command: one line, an exit status, no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from a1_trt.cli import main
from tests.cli.tree import LEAVES

FILE, PLACE = "FILE", "PLACE"
PAIR = "no_such_pair"
MISTAKES = {
    "bench compare": [PAIR],
    "bench intensity measure": [PAIR],
    "bench intensity report": [FILE],
    "bench perf": ["--url", "127.0.0.1:1", "--perf-analyzer", FILE],
    "bench report": [FILE],
    "bench run": [PAIR],
    "calibrate evaluate": [FILE],
    "calibrate export": [FILE, "-o", PLACE],
    "calibrate merge": [FILE, "-o", PLACE],
    "calibrate run": ["reference", "--data", FILE, "-o", PLACE],
    "calibrate show": [FILE],
    "demo": ["--data", FILE],
    "deploy check": [FILE],
    "deploy render": [PAIR, "--output", PLACE],
    "engine build": [FILE, PLACE],
    "engine check": [FILE],
    "engine plan": [PAIR, "--gpu", "h100-80g"],
    "engine show": [FILE],
    "eval": ["reference", "--data", FILE, "--output", PLACE],
    "pair check": [FILE],
    "pair show": [FILE],
    "serve": [FILE],
    "simulate barrier": [FILE],
    "simulate fit": [FILE],
    "simulate paper": ["--gpu", "abacus"],
    "simulate plan": ["reference", "--gpu", "H100", "--engines", FILE, "--load", "1", "--latency", "1"],
    "simulate run": ["reference", "--gpu", "H100", "--trace", FILE],
    "simulate sweep": [PAIR, "--gpu", "H100"],
    "solve": ["1+1?", "--pair", FILE],
    "traces quality": [FILE],
    "traces replay": [FILE],
    "traces report": ["--trace", FILE, "-o", PLACE],
}
WITHOUT_INPUT = {"bench strategies", "pair list"}


def test_every_command_has_a_mistake() -> None:
    assert MISTAKES.keys() | WITHOUT_INPUT == {name.removeprefix("a1-trt ") for name in LEAVES}


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00\x01 no text", b"[1, 2", b'{"a": 1}\n'])
@pytest.mark.parametrize("name", MISTAKES)
def test_it_is_a_line_and_a_status(name: str, content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "input"
    if content is not None:
        file.write_bytes(content)
    words = [
        str(file) if word == FILE else str(tmp_path / "output") if word == PLACE else word for word in MISTAKES[name]
    ]
    done = CliRunner().invoke(main, [*name.split(), *words])
    assert done.exit_code in (2, 3, 4, 5, 6), done.output
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("a1-trt: error")
