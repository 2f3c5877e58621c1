"""Every command explains itself, and docs/cli.md says the same."""

from __future__ import annotations

import shlex

import click
import pytest
from click.testing import CliRunner

from a1_trt.cli import main
from tests.cli.tree import COMMANDS, ROOT, script


def test_the_tree_is_the_one_that_was_promised() -> None:
    assert sorted(name for name, command in COMMANDS.items() if not isinstance(command, click.Group)) == [
        "a1-trt bench compare",
        "a1-trt bench intensity measure",
        "a1-trt bench intensity report",
        "a1-trt bench perf",
        "a1-trt bench report",
        "a1-trt bench run",
        "a1-trt bench strategies",
        "a1-trt calibrate evaluate",
        "a1-trt calibrate export",
        "a1-trt calibrate merge",
        "a1-trt calibrate run",
        "a1-trt calibrate show",
        "a1-trt demo",
        "a1-trt deploy check",
        "a1-trt deploy render",
        "a1-trt engine build",
        "a1-trt engine check",
        "a1-trt engine plan",
        "a1-trt engine show",
        "a1-trt eval",
        "a1-trt pair check",
        "a1-trt pair list",
        "a1-trt pair show",
        "a1-trt serve",
        "a1-trt simulate barrier",
        "a1-trt simulate fit",
        "a1-trt simulate paper",
        "a1-trt simulate plan",
        "a1-trt simulate run",
        "a1-trt simulate sweep",
        "a1-trt solve",
        "a1-trt traces quality",
        "a1-trt traces replay",
        "a1-trt traces report",
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples_of_the_command_itself(name: str) -> None:
    done = CliRunner().invoke(main, [*name.split()[1:], "--help"])
    assert done.exit_code == 0
    assert f"{name} " in done.output.split("Examples:")[1]


def examples(text: str) -> list[str]:
    block = text.split("Examples:")[1].split("\n\n")[0].replace("\\\n", " ")
    return [line.strip() for line in block.splitlines() if line.strip()]


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_taken_as_they_stand(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for example in examples(COMMANDS[name].help or ""):
        words = shlex.split(example.split(" < ")[0])
        assert words.pop(0) == "a1-trt"
        command: click.Command = main
        while isinstance(command, click.Group):
            command = command.commands[words.pop(0)]
        command.make_context(example, words)
    assert capsys.readouterr().err == "", "an old spelling"


def test_the_page_is_current() -> None:
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == script().page(), "run build_scripts/cli_docs.py"
