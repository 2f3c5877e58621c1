"""Booking what came back: a segment, a score or an error, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from a1_trt.core.conformal import Category, Controller, Decision, Score, mean_nll
from a1_trt.core.scheduler import policy
from a1_trt.core.scheduler.scoring import Scoring
from a1_trt.core.scheduler.state import Sample, Work
from a1_trt.core.scheduler.states import Signal
from a1_trt.errors import A1Error, Cancelled, EmptySegment, ScoreShapeError
from a1_trt.types import Call, Completion, Event, Logprobs, Segment, SegmentScored, SegmentWritten


class Books:
    """Writes completions into the records of samples and problems.

    Args:
        controller: Decides which segments are taken over.
        score: Nonconformity score of a segment's log-probs.
        category: Which past scores a new one is ranked among.
        has_room: Whether there is room for another takeover; a segment without room is accepted, counted as forced.
        scoring: Told of every score call that gave a score or failed.
    """

    def __init__(
        self, controller: Controller, score: Score, category: Category, has_room: Callable[[], bool], scoring: Scoring
    ) -> None:
        self._controller = controller
        self._score = score
        self._category: Category = category
        self._has_room = has_room
        self._scoring = scoring

    def book(self, work: Work, sample: Sample, completion: Completion, events: list[Event]) -> policy.Verdict:
        """Take in what came back and decide what follows."""
        call, outcome = completion.call, completion.outcome
        work.counts[f"{call.kind}_calls"] += 1
        if isinstance(outcome, Segment):
            return self._book_segment(work, sample, call, outcome, events)
        if isinstance(outcome, Logprobs):
            return self._book_score(work, sample, call, outcome, events)
        if call.kind == "score" and not isinstance(outcome, Cancelled):
            return book_unscored(work, call.key.sample, outcome, self._scoring, events)
        sample.error = outcome
        return policy.after_error(call, outcome, work.parameters)

    def _book_segment(
        self, work: Work, sample: Sample, call: Call, segment: Segment, events: list[Event]
    ) -> policy.Verdict:
        sample.segments = (*call.segments, segment)
        work.counts[f"{segment.role}_tokens"] += segment.n_tokens
        events.append(SegmentWritten(call.key.sample, call.turn, segment))
        if call.kind == "takeover":
            return policy.after_turn(sample.text, segment, call.turn, work.parameters)
        verdict = policy.after_draft(sample.text, segment, work.parameters)
        if verdict[0] is Signal.WRITTEN and not segment.text:
            return book_unscored(work, call.key.sample, empty_segment(), self._scoring, events)
        return verdict

    def _book_score(
        self, work: Work, sample: Sample, call: Call, logprobs: Logprobs, events: list[Event]
    ) -> policy.Verdict:
        try:
            score = self._score(logprobs.values, sample.losses)
            sample.losses.append(mean_nll(logprobs.values))
        except ScoreShapeError as error:
            return book_unscored(work, call.key.sample, error, self._scoring, events)
        count_scored(work, self._scoring)
        decision = self._judge(work, call, score)
        sample.score, sample.p_value = score, decision.p_value
        sample.takeover, sample.forced = decision.takeover, decision.forced
        work.counts["n_scored"] += 1
        work.counts["scored_tokens"] += len(logprobs.values)
        work.counts["n_takeovers"] += decision.takeover
        work.counts["n_forced"] += decision.forced is not None
        kept = None
        if sample.takeover:
            sample.segments, kept = policy.rewound(sample.segments, logprobs, work.parameters)
        events.append(
            SegmentScored(call.key.sample, call.turn, score, decision.p_value, decision.takeover, decision.forced, kept)
        )
        if sample.takeover:
            return Signal.REJECTED, None
        return policy.after_turn(sample.text, call.segments[-1], call.turn, work.parameters)

    def _judge(self, work: Work, call: Call, score: float) -> Decision:
        """Ask the controller, unless there is no room for a takeover, and tell it what was decided."""
        candidate = policy.candidate(
            work.problem,
            call.key.sample,
            call.turn,
            score,
            self._category,
            work.parameters,
            policy.quota(work.parameters, *work.spent(call.turn)),
        )
        decision = self._controller.decide(candidate)
        if decision.takeover and not self._has_room():
            decision = replace(decision, takeover=False, forced="cap")
        self._controller.update(candidate, decision)
        work.spend(call.turn, decision.takeover)
        return decision


def book_unscored(work: Work, index: int, error: A1Error, scoring: Scoring, events: list[Event]) -> policy.Verdict:
    """Drop a draft's segment that has no score and decide what follows; sets `Work.error` where the problem fails."""
    signal, end = policy.unscored(error, work.parameters)
    work.samples[index].error = error
    events.append(work.drop_unscored(index, error.code, takeover=signal is Signal.REJECTED))
    count_unscored(work, error, scoring)
    return signal, end


def count_scored(work: Work, scoring: Scoring) -> None:
    """Count a score call that gave a score."""
    work.has_scores = True
    scoring.add(scored=True)


def count_unscored(work: Work, error: A1Error, scoring: Scoring) -> None:
    """Count a segment without a score; sets `Work.error` where the problem fails for it."""
    work.counts["n_unscored"] += 1
    if policy.tells_of_scorer(error):
        scoring.add(scored=False)
        work.n_failed_scores += 1
        work.error = scoring.verdict(has_scores=work.has_scores, n_failed=work.n_failed_scores)


def empty_segment() -> EmptySegment:
    """The error of a draft that wrote nothing."""
    return EmptySegment("the draft wrote an empty segment, which has no score", role="draft")
