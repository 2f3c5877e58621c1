"""Writes docs/cli.md out of the command tree itself: `python build_scripts/cli_docs.py`, with --check only compares."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from a1_trt.cli import main

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"
WIDTH = 100

HEAD = """\
# The command line

What `--help` prints, command by command; written by `python build_scripts/cli_docs.py`. Exit status: 0 done, 2 a wrong
argument or pair file, 3 a calibration that does not fit, 4 an engine or a deadline, 5 a build, 6 a server, 130 Ctrl-C.
`a1-trt --debug COMMAND` shows the traceback of an error.

Results go to standard output, all else to standard error; bars of progress are drawn on a terminal only. In every
command `--json` prints the document, `--output FILE` also writes it (where a command makes a folder or another file,
`--output` names that), and `--plot FILE` draws it, by the suffix .png, .svg or .html. `--problems N` is a count,
`--data FILE` holds problems. The spellings of 0.2 (`--json FILE`, `--html`, `--png`, `--problems-file`,
`a1-trt intensity`) are taken until 0.4, with a warning.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(section(name, command) for name, command in commands("a1-trt", main))])


def commands(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """A command and all below it, with their full names."""
    yield name, command
    if isinstance(command, click.Group):
        for child in sorted(command.commands):
            yield from commands(f"{name} {child}", command.commands[child])


def section(name: str, command: click.Command) -> str:
    """One command's heading and help."""
    settings = {**main.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
    context = click.Context(command, info_name=name, **settings)
    return f"## {name}\n\n```text\n{command.get_help(context).rstrip()}\n```\n"


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(0 if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page() else f"{PAGE} is not current")
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
