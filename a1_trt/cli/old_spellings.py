"""Option names of 0.2, taken until 0.4 with a warning that says the new one."""

from __future__ import annotations

from typing import Any

import click

from a1_trt.cli.output import note
from a1_trt.parameters import FORMER_NAMES

_RENAMED = {"--problems-file": "--data", "--html": "--plot", "--png": "--plot"}
for _old, _new in FORMER_NAMES.items():
    _RENAMED |= {f"--{no}{_old}".replace("_", "-"): f"--{no}{_new}".replace("_", "-") for no in ("", "no-")}


class Command(click.Command):
    """A command that also takes the old names of its options.

    With `json_took_file`, `--json FILE` was what `--output FILE` is now, and `--json -` what `--json` is.
    """

    def __init__(self, *args: Any, json_took_file: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._json_took_file = json_took_file

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        names = {name for option in self.params for name in (*option.opts, *option.secondary_opts)}
        renamed = {old: new for old, new in _RENAMED.items() if old not in names and new in names}
        args = [self._current(word, renamed) for word in args]
        return super().parse_args(ctx, self._without_json_file(ctx, args) if self._json_took_file else args)

    def _current(self, word: str, renamed: dict[str, str]) -> str:
        name, equals, value = word.partition("=")
        if name == "--json" and equals and self._json_took_file:
            warn("--json FILE", "--output FILE")
            return "--json" if value == "-" else f"--output={value}"
        if name not in renamed:
            return word
        warn(name, renamed[name])
        return renamed[name] + equals + value

    def _without_json_file(self, ctx: click.Context, args: list[str]) -> list[str]:
        """`--json FILE` shows by one positional word too many."""
        if "--json" not in args[:-1] or not self.make_parser(ctx).parse_args(list(args))[1]:
            return args
        place = args.index("--json")
        file = args[place + 1]
        warn(f"--json {file}", "--json" if file == "-" else f"--output {file}")
        return [*args[:place], *(["--json"] if file == "-" else ["--output", file]), *args[place + 2 :]]


class Group(click.Group):
    command_class = Command


def warn(old: str, new: str) -> None:
    note(f"a1-trt: warning: {old} is now {new}; the old spelling goes in 0.4")
