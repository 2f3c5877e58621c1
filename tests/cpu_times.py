"""What a test costs the processor: `--cpu-times N` lists the N costliest phases, and the sum of every folder.

Wall time says little on a shared machine, and nothing about a server that works while a test waits.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cpu-times", type=int, metavar="N", help="list the N phases that took most processor time")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--cpu-times"):
        config.pluginmanager.register(CpuTimes(config.getoption("--cpu-times"), config.rootpath))


class CpuTimes:
    """Seconds of this process, of its children that have ended, and of the descendants that live."""

    def __init__(self, n_shown: int, root: Path) -> None:
        self._n_shown = n_shown
        self._root = root
        self._seconds: Counter[tuple[str, str]] = Counter()
        self._folders: Counter[str] = Counter()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        yield from self._timed(item, "setup")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        yield from self._timed(item, "call")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        yield from self._timed(item, "teardown")

    def _timed(self, item: pytest.Item, phase: str) -> Iterator[None]:
        before = cpu_s()
        try:
            return (yield)
        finally:
            spent = cpu_s() - before
            self._seconds[item.nodeid, phase] += spent
            self._folders[str(item.path.parent.relative_to(self._root))] += spent

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("processor time")
        for (name, phase), spent in self._seconds.most_common(self._n_shown):
            terminalreporter.line(f"{spent:7.2f} s  {phase:8} {name}")
        for folder, spent in self._folders.most_common():
            terminalreporter.line(f"{spent:7.2f} s  {folder}")
        terminalreporter.line(f"{cpu_s():7.2f} s  all, with collecting the tests")


def cpu_s() -> float:
    """Processor time of this process and its descendants, seconds."""
    own = os.times()
    return own.user + own.system + own.children_user + own.children_system + _descendants_s(os.getpid())


def _descendants_s(process: int) -> float:
    total = 0.0
    for child in _children(process):
        try:
            fields = Path(f"/proc/{child}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:  # it has just ended
            continue
        total += sum(map(int, fields[11:15])) / TICKS_PER_S + _descendants_s(child)
    return total


def _children(process: int) -> list[int]:
    try:
        texts = [path.read_text() for path in Path(f"/proc/{process}/task").glob("*/children")]
    except OSError:
        return []
    return [int(child) for text in texts for child in text.split()]
