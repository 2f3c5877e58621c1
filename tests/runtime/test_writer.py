"""Keeping a log on disk: nothing that was flushed is ever lost, whatever happens at whatever byte."""

import errno
import os
import signal
import subprocess
import sys
import time

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from a1_trt.core.conformal import Candidate, Decision
from a1_trt.errors import CalibrationError
from a1_trt.runtime.calibration import CalibrationWriter, Provenance, read_log

PROVENANCE = Provenance("f00d", "perplexity", "turn", "openvino 1 f32")
NEVER_S = 3600.0


def candidate(score, problem="p"):
    return Candidate(score=float(score), category="turn 1", problem=problem, alpha=0.4, u=0.5)


def decided(takeover=False):
    return Decision(p_value=0.5, level=0.4, takeover=takeover)


def scores(path):
    return [row[2] for batch in read_log(path).batches for row in batch.decisions]


class WriterMachine(RuleBasedStateMachine):
    """Appends, flushes and dies; a death may leave any part of the last line on disk."""

    @initialize(directory=st.just(None))
    def start(self, directory):
        self.path = self.tmp.mktemp("writer") / "calibration.jsonl"
        self.next = 0
        self.flushed, self.waiting = [], []
        self.writer = CalibrationWriter(self.path, PROVENANCE, flush_s=NEVER_S)

    @rule(n=st.integers(1, 3))
    def append(self, n):
        for _ in range(n):
            self.writer.append(candidate(self.next), decided())
            self.waiting.append(float(self.next))
            self.next += 1

    @rule()
    def flush(self):
        self.writer.flush()
        self.flushed += self.waiting
        self.waiting = []

    @precondition(lambda self: self.waiting)
    @rule()
    def full_disk(self):
        real = os.write
        room = [7]

        def write(handle, data):
            if not room:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(handle, data[: room.pop()])

        os.write = write
        try:
            with pytest.raises(CalibrationError, match="No space left"):
                self.writer.flush()
        finally:
            os.write = real

    @rule(share=st.floats(0, 1))
    def crash_while_flushing(self, share):
        before = self.path.stat().st_size
        self.writer.close()
        written = self.path.stat().st_size
        cut = before + int(share * (written - before))
        os.truncate(self.path, cut)
        if cut == written:
            self.flushed += self.waiting
        self.waiting = []
        self.writer = CalibrationWriter(self.path, PROVENANCE, flush_s=NEVER_S)
        assert len(self.writer.log) == len(self.flushed)

    @invariant()
    def what_was_flushed_is_there(self):
        if hasattr(self, "path"):
            assert scores(self.path) == self.flushed

    def teardown(self):
        if hasattr(self, "writer"):
            self.writer.close()


def test_writer_machine(tmp_path_factory):
    WriterMachine.tmp = tmp_path_factory
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(WriterMachine, settings=settings(max_examples=25, stateful_step_count=12, deadline=None))


def test_a_crash_while_the_file_is_made_loses_nothing_and_blocks_nothing(tmp_path):
    path = tmp_path / "calibration.jsonl"
    CalibrationWriter(path, PROVENANCE).close()
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        CalibrationWriter(path, PROVENANCE).close()
        assert path.read_bytes() == whole


def test_one_writer_a_file(tmp_path):
    path = tmp_path / "calibration.jsonl"
    writer = CalibrationWriter(path, PROVENANCE)
    with pytest.raises(CalibrationError, match="in use"):
        CalibrationWriter(path, PROVENANCE)
    writer.close()
    CalibrationWriter(path, PROVENANCE).close()


def test_a_state_of_another_pair_is_left_as_it_is(tmp_path):
    path = tmp_path / "calibration.jsonl"
    CalibrationWriter(path, PROVENANCE).close()
    before = path.read_bytes()
    with pytest.raises(CalibrationError, match="fingerprint"):
        CalibrationWriter(path, Provenance("other", "perplexity", "turn", "openvino 1 f32"))
    assert path.read_bytes() == before


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(CalibrationError, match="cannot be written"):
        CalibrationWriter(tmp_path / "none" / "calibration.jsonl", PROVENANCE)


KILLED = """
import sys
from pathlib import Path
from a1_trt.runtime.calibration import CalibrationWriter, Provenance
from a1_trt.core.conformal import Candidate, Decision

writer = CalibrationWriter(Path(sys.argv[1]), Provenance("f00d", "perplexity", "turn", "openvino 1 f32"), flush_s=0.01)
n = 0
while True:
    writer.append(Candidate(score=float(n), category="turn 1", problem="p", alpha=0.4, u=0.5),
                  Decision(p_value=0.5, level=0.4, takeover=False))
    n += 1
    if n % 100 == 0:
        writer.flush()
        print(n, flush=True)
"""


def test_kill_9_loses_nothing_that_was_flushed(tmp_path):
    path = tmp_path / "calibration.jsonl"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True)
    for _ in range(20):
        said = int(process.stdout.readline())
    time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    said = max([said, *(int(line) for line in process.stdout.read().split("\n")[:-1])])
    process.wait()
    process.stdout.close()
    kept = scores(path)
    assert len(kept) >= said
    assert kept == [float(n) for n in range(len(kept))]
    CalibrationWriter(path, PROVENANCE).close()
    assert scores(path) == kept
