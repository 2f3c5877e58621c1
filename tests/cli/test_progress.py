"""Progress is for a terminal: elsewhere nothing is drawn."""

from __future__ import annotations

import pytest

from a1_trt.cli import progress
from a1_trt.cli.progress import CountView, SolvingView, StepsView


def work() -> None:
    with SolvingView(["a1", "target-only"], 2) as solving:
        solving.solved("a1", 1, 2, None)
    with CountView("samples", 2) as count:
        count.step()
        count.show(2, 2)


def test_without_a_terminal_nothing_is_drawn_but_steps_have_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    work()
    assert capfd.readouterr() == ("", "")
    with StepsView(2) as steps:
        steps.step(1, "target-build", "done")
    assert capfd.readouterr() == ("", "[1/2] target-build done\n")


def test_on_a_terminal_it_is_on_standard_error(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "is_live", lambda: True)
    work()
    output, errors = capfd.readouterr()
    assert output == ""
    assert "target-only" in errors
    assert "2/2" in errors
