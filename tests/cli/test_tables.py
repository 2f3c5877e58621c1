"""One look of all tables."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest
from rich.cells import cell_len

from a1_trt.cli.tables import print_table

COLUMNS = ("pair", "what it does", "n")
ROWS = [("a_long_name_that_stays", "words " * 30, 7), ("b [x] :smile:", "few", 12_345)]


def lines(capsys: pytest.CaptureFixture[str], **options: object) -> list[str]:
    print_table(COLUMNS, ROWS, **options)  # type: ignore[arg-type]
    return capsys.readouterr().out.splitlines()


def test_numbers_are_aligned_and_words_stand_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    head, rule, first, second = lines(capsys, prose="what it does")
    assert len(head) == len(first) == len(second) == len(rule)
    assert first.endswith("     7")
    assert second.endswith(" 12345")
    assert second.startswith("b [x] :smile:  ")
    assert first.count("words") == 30


def test_prose_gives_way_to_the_width_and_nothing_else_does(capsys: pytest.CaptureFixture[str]) -> None:
    shortened = lines(capsys, prose="what it does", shorten=True, width=60)
    assert len(shortened) == 4
    assert all(cell_len(line) <= 60 for line in shortened)
    assert "…" in shortened[2]
    assert shortened[2].startswith("a_long_name_that_stays ")
    wrapped = lines(capsys, prose="what it does", width=60)
    assert all(cell_len(line) <= 60 for line in wrapped)
    assert sum(line.count("words") for line in wrapped) == 30


def test_a_table_without_prose_keeps_its_width(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("strategy", "seconds", "problems"), [("target-only", "12.34 s", "1,000")], width=10)
    assert "target-only   12.34 s      1,000" in capsys.readouterr().out


def test_a_title_stands_above(capsys: pytest.CaptureFixture[str]) -> None:
    assert lines(capsys, title="pairs [of] two")[0] == "pairs [of] two"


def test_the_list_of_pairs_fits_a_terminal_of_80_columns() -> None:
    parent, child = pty.openpty()
    code = "from a1_trt.cli import main; main(['pair', 'list'])"
    env = {**os.environ, "COLUMNS": "80", "TERM": "dumb", "NO_COLOR": "1"}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=child, env=env)
    os.close(child)
    output = b""
    try:
        while chunk := os.read(parent, 65536):
            output += chunk
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(parent)
    assert process.wait() == 0
    rows = output.decode().splitlines()
    assert all(cell_len(row) <= 80 for row in rows)
    assert sum(row.startswith("llama-3.1-8b-instruct_r1-distill-llama-70b  ") for row in rows) == 1
