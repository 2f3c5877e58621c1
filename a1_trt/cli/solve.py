"""a1-trt solve"""

from __future__ import annotations

import sys
from typing import Any

import click

from a1_trt.cli.old_spellings import Command
from a1_trt.cli.options import pair_option, parameter_options
from a1_trt.cli.output import Output, json_option, note, say_json
from a1_trt.cli.tables import percent, seconds
from a1_trt.types import Event, ProblemFinished, Result, SampleFinished, SegmentScored, SegmentUnscored, SegmentWritten


@click.command(cls=Command)
@click.argument("problem")
@pair_option
@click.option("--url", help="Solve it on a server, grpc://host:port or http://host:port, instead of in this process.")
@click.option("--stream", "live", is_flag=True, help="Show every segment, score and takeover as it happens.")
@click.option("--deadline", "deadline_s", type=float, help="Give up after this many seconds.")
@parameter_options
@json_option
def solve(
    problem: str, pair: str, url: str | None, live: bool, deadline_s: float | None, out: Output, **parameters: Any
) -> None:
    """Solve PROBLEM, or what standard input holds when PROBLEM is "-".

    \b
    Examples:
      a1-trt solve "a = 3, b = a+4, c = b*2, d = c-a. What is d modulo 100?"
      a1-trt solve "a = 3, b = a+4, c = b*2, d = c-a. What is d modulo 100?" --stream -n 4 --alpha 0.3
      a1-trt solve - --url grpc://127.0.0.1:8001 --json < problem.txt
    """
    from a1_trt.client import Client
    from a1_trt.wire import event_to_dict, result_to_dict

    text = sys.stdin.read() if problem == "-" else problem
    with Client(url or pair) as client:
        if live:
            for event in client.stream(text, deadline_s=deadline_s, **parameters):
                if isinstance(event, ProblemFinished):
                    _warn(event.result)
                if out.as_json:
                    say_json(event_to_dict(event), indent=None)
                else:
                    _tell(event)
            return
        result = client.solve(text, deadline_s=deadline_s, **parameters)
    _warn(result)
    out.deliver(result_to_dict(result), lambda _: _summary(result))


def _tell(event: Event) -> None:
    if isinstance(event, SegmentWritten | SegmentScored | SegmentUnscored):
        click.echo(f"sample {event.sample} turn {event.turn + 1} {_words(event)}")
    elif isinstance(event, SampleFinished):
        click.echo(f"sample {event.sample} {event.end.value}: {event.answer if event.answer is not None else '-'}")
    elif isinstance(event, ProblemFinished):
        _summary(event.result)


def _words(event: SegmentWritten | SegmentScored | SegmentUnscored) -> str:
    if isinstance(event, SegmentWritten):
        return f"{event.segment.role}: {event.segment.text.strip()!r} ({event.segment.n_tokens} tokens)"
    verdict = "the target takes over"
    if isinstance(event, SegmentUnscored):
        return f"not scored ({event.reason}): dropped, {verdict if event.takeover else 'the sample ends'}"
    return f"score {event.score:.3f}, p-value {event.p_value:.3f}: {verdict if event.takeover else 'kept'}"


def _warn(result: Result) -> None:
    if result.usage.n_unscored:
        note(f"warning: {result.usage.n_unscored} segments could not be scored and were dropped")


def _summary(result: Result) -> None:
    usage = result.usage
    votes = ", ".join(f"{answer} ({count})" for answer, count in result.votes) or "none"
    click.echo(f"answer          {result.answer if result.answer is not None else 'none'}")
    click.echo(f"votes           {votes}")
    click.echo(f"rejection rate  {percent(usage.rejection_rate)} of {usage.n_scored} scored segments")
    click.echo(
        f"tokens          draft {usage.draft_tokens}, target {usage.target_tokens}, scored {usage.scored_tokens}"
    )
    click.echo(f"time            {seconds(result.wall_s)}")
