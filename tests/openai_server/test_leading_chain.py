"""What may be shown of a chain while it is being written."""

from __future__ import annotations

from a1_trt.openai_server.stream import LeadingChain
from a1_trt.types import Parameters, Segment, SegmentScored, SegmentUnscored, SegmentWritten


def written(sample, role, text):
    return SegmentWritten(sample, 0, Segment(role, text, len(text)))


def scored(sample, *, takeover, kept=None):
    return SegmentScored(sample, 0, 1.5, 0.2, takeover, kept=kept)


def told(*events):
    chain = LeadingChain(Parameters())
    return [chain.follow(event) for event in events]


def test_a_draft_is_told_once_it_stands():
    assert told(written(0, "draft", "1 + 1 = 2"), scored(0, takeover=False)) == ["", "1 + 1 = 2"]


def test_of_a_shortened_segment_what_stands_is_told():
    events = [written(0, "draft", "1 + 1 = 3"), scored(0, takeover=True, kept="1 + 1 ="), written(0, "target", " 2")]
    assert told(*events) == ["", "1 + 1 =", " 2"]


def test_a_segment_that_falls_whole_is_not_told():
    events = [written(0, "draft", "No."), scored(0, takeover=True, kept=""), written(0, "target", "Yes.")]
    assert told(*events) == ["", "", "Yes."]


def test_a_segment_without_a_score_is_not_told_but_what_is_written_instead() -> None:
    unscored = SegmentUnscored(0, 0, "engine_timeout", takeover=True)
    events = [written(0, "draft", "1 + 1 = 3"), unscored, written(0, "target", "1 + 1 = 2")]
    assert told(*events) == ["", "", "1 + 1 = 2"]


def test_other_chains_are_not_told():
    events = [written(1, "draft", "a"), scored(1, takeover=False), written(0, "draft", "b"), scored(0, takeover=False)]
    assert told(*events) == ["", "a", "", ""]
