"""The log of decisions: reading, merging, refusing."""

import json
from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from a1_trt.errors import CalibrationError
from a1_trt.runtime.calibration import Batch, CalibrationLog, Provenance, merge, read_log, write_log
from a1_trt.types import Problem

PROVENANCE = Provenance("f00d", "perplexity", "turn", "openvino 1 f32")
DECISION = ("turn 1", "p", 1.5, 0.4, True)


def log_of(*batches):
    return CalibrationLog(PROVENANCE, batches)


decisions = st.tuples(
    st.sampled_from(["turn 1", "turn 2"]),
    st.sampled_from(["p", "q"]),
    st.floats(-1e300, 1e300),
    st.floats(0.01, 0.99),
    st.booleans(),
)


@st.composite
def histories(draw):
    """What some writers wrote, each cut into batches at any places; and a log that holds any beginning of each."""
    whole, some = [], []
    clock = 0.0
    for name in draw(st.lists(st.sampled_from("abc"), unique=True, max_size=3)):
        rows = draw(st.lists(decisions, max_size=6))
        for ends, batches in ((len(rows), whole), (draw(st.integers(0, len(rows))), some)):
            first = 0
            while first < ends:
                n = draw(st.integers(1, ends - first))
                clock += 1.0
                batches.append(Batch(name, first, clock, tuple(rows[first : first + n])))
                first += n
    return log_of(*whole), log_of(*some)


def by_writer(log):
    found = {}
    for batch in sorted(log.batches, key=lambda each: (each.writer, each.first)):
        assert len(found.setdefault(batch.writer, [])) == batch.first
        found[batch.writer] += batch.decisions
    return found


@given(histories())
@settings(deadline=None)
def test_a_file_gives_back_what_was_written(tmp_path_factory, logs):
    path = tmp_path_factory.mktemp("log") / "calibration.jsonl"
    write_log(path, logs[0])
    assert replace(read_log(path), n_bytes=0) == logs[0]


@given(histories())
@settings(deadline=None)
def test_merging_takes_every_decision_once_in_any_order(logs):
    whole, some = logs
    assert by_writer(merge([whole, some])) == by_writer(merge([some, whole])) == by_writer(whole)
    again = merge([whole, some])
    assert by_writer(merge([again, whole, again])) == by_writer(whole)
    assert len(again) == len(whole)


def test_merging_refuses_a_gap():
    with pytest.raises(CalibrationError, match="missing"):
        merge([log_of(Batch("a", 0, 1.0, (DECISION,))), log_of(Batch("a", 2, 2.0, (DECISION,)))])


@pytest.mark.parametrize("key", ["fingerprint", "score", "category", "engine"])
def test_a_state_of_something_else_is_refused(key):
    other = replace(PROVENANCE, **{key: "other"})
    with pytest.raises(CalibrationError, match=key) as caught:
        log_of().check(other)
    assert caught.value.field == key
    with pytest.raises(CalibrationError, match=key):
        merge([log_of(), CalibrationLog(other, ())])


def test_a_torn_last_line_is_left_out(tmp_path):
    path = tmp_path / "calibration.jsonl"
    write_log(path, log_of(Batch("a", 0, 1.0, (DECISION,)), Batch("a", 1, 2.0, (DECISION,))))
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    assert len(read_log(path)) == 1


HEADER = {
    "format": "a1_trt calibration",
    "version": 2,
    "fingerprint": "f",
    "score": "s",
    "category": "turn",
    "engine": "e",
}
GOOD = {"writer": "a", "first": 0, "at_s": 1.0, "decisions": [["turn 1", "p", 1.5, 0.4, True]]}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "no whole line"),
        ([{**HEADER, "version": 1}], "version 1"),
        ([{**HEADER, "format": "other"}], "'other'"),
        ([{key: value for key, value in HEADER.items() if key != "engine"}], "line 1: engine"),
        ([{**HEADER, "engine": 7}], "line 1: engine"),
        ([HEADER, "no object"], "line 2: Input should be an object"),
        ([HEADER, {**GOOD, "first": 1}], "missing or stand twice"),
        ([HEADER, GOOD, GOOD], "missing or stand twice"),
        ([HEADER, {**GOOD, "first": -1}], "line 2: first"),
        ([HEADER, {**GOOD, "writer": 3}], "line 2: writer"),
        ([HEADER, {**GOOD, "decisions": 3}], "line 2: decisions"),
        ([HEADER, {**GOOD, "decisions": [["turn 1", "p", 1.5, 0.4]]}], "line 2: decisions: 0: takeover"),
        ([HEADER, {**GOOD, "decisions": [["turn 1", "p", "1.5", 0.4, True]]}], "line 2: decisions: 0: score"),
        ([HEADER, {**GOOD, "decisions": [["turn 1", "p", 1.5, 1.0, True]]}], "line 2: decisions: 0: alpha"),
        ([HEADER, {**GOOD, "decisions": [["turn 1", "p", 1.5, 0.4, 1]]}], "line 2: decisions: 0: takeover"),
        ([HEADER, {**GOOD, "decisions": [["turn 1", "p", float("inf"), 0.4, True]]}], "line 2: decisions: 0: score"),
    ],
)
def test_a_damaged_file_is_refused_with_the_place(tmp_path, lines, said):
    path = tmp_path / "calibration.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(CalibrationError, match=said):
        read_log(path)


def test_a_line_that_is_no_json_is_refused(tmp_path):
    path = tmp_path / "calibration.jsonl"
    path.write_text(json.dumps(HEADER) + "\n{\n")
    with pytest.raises(CalibrationError, match="line 2: Invalid JSON"):
        read_log(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(CalibrationError, match="cannot be read"):
        read_log(tmp_path / "none")


def test_problems_are_known_by_their_text():
    asked = Problem("What is 1 + 1?", id="0")
    log = log_of(Batch("a", 0, 1.0, (("turn 1", asked.key, 1.5, 0.4, True),)))
    assert log.used([Problem("What is 1 + 1? ", id="other"), Problem("What is 2 + 2?", id="0")]) == [
        Problem("What is 1 + 1? ", id="other")
    ]
