"""The command line: the tree of commands, and how an error looks to someone at a terminal.

Commands parse, call and print; whatever they do is done elsewhere in the package.
"""

from __future__ import annotations

import traceback
from typing import IO, Any

import click

import a1_trt
from a1_trt.cli.bench import bench
from a1_trt.cli.calibrate import calibrate
from a1_trt.cli.demo import demo
from a1_trt.cli.deploy import deploy
from a1_trt.cli.engine import engine
from a1_trt.cli.eval import evaluate
from a1_trt.cli.old_spellings import Group, warn
from a1_trt.cli.pair import pair
from a1_trt.cli.serve import serve
from a1_trt.cli.simulate import simulate
from a1_trt.cli.solve import solve
from a1_trt.cli.traces import traces
from a1_trt.errors import A1Error, Cancelled

__all__ = ["main"]

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100, "show_default": True}


class _Failure(click.ClickException):
    """An error as one line, with the exit status of its kind."""

    def __init__(self, error: A1Error) -> None:
        super().__init__(str(error))
        self.error = error

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # click has a class variable here
        return self.error.exit_code

    def show(self, file: IO[Any] | None = None) -> None:
        field = f" [{self.error.field}]" if self.error.field else ""
        line = " ".join(self.message.split())
        click.echo(f"a1-trt: error{field}: {line}", file=file, err=file is None)


class _Tree(Group):
    """Turns the package's errors and Ctrl-C into a line and an exit status, for every command below it."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "intensity":  # where it was in 0.2
            warn("a1-trt intensity", "a1-trt bench intensity")
            return bench.get_command(ctx, cmd_name)
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except A1Error as error:
            if ctx.params.get("debug"):
                traceback.print_exc()
            raise _Failure(error) from error
        except KeyboardInterrupt:
            raise _Failure(Cancelled("interrupted")) from None


@click.group(cls=_Tree, context_settings=_SETTINGS)
@click.version_option(a1_trt.__version__, prog_name="a1-trt")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Asynchronous test-time scaling: a draft model writes, a target model verifies, and no sample waits for another.

    \b
    Examples:
      a1-trt demo
      a1-trt solve "a = 3, b = a+4, c = b*2, d = c-a. What is d modulo 100?"
      a1-trt serve reference
    """


for command in (demo, solve, serve, deploy, pair, engine, calibrate, bench, evaluate, simulate, traces):
    main.add_command(command)
