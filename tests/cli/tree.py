"""The command tree, as build_scripts/cli_docs.py walks it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import click

from a1_trt.cli import main

ROOT = Path(__file__).parents[2]


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cli_docs", ROOT / "build_scripts" / "cli_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


COMMANDS = dict(script().commands("a1-trt", main))
LEAVES = {name: command for name, command in COMMANDS.items() if not isinstance(command, click.Group)}
