"""What a completion or a decision does to its sample, and what follows from it."""

from __future__ import annotations

from a1_trt.core.conformal import Decision, Score, mean_nll
from a1_trt.core.scheduler import policy
from a1_trt.core.scheduler.seeds import call_seed
from a1_trt.core.scheduler.state import ProblemState
from a1_trt.core.scheduler.states import Signal
from a1_trt.errors import ScoreShapeError
from a1_trt.types import (
    Call,
    CallKind,
    Completion,
    Event,
    Logprobs,
    SampleEnd,
    SampleKey,
    Segment,
    SegmentScored,
    SegmentWritten,
)


def book(state: ProblemState, completion: Completion, score: Score, events: list[Event]) -> policy.Verdict | None:
    """Apply a completion to its sample.

    Args:
        state: The call's problem.
        completion: What came back.
        score: Nonconformity score of a segment's log-probs.
        events: What happened is added to these.

    Returns:
        What follows; None after a score, which is still to be judged.
    """
    call, outcome = completion.call, completion.outcome
    sample = state.samples[call.key.sample]
    state.counts[f"{call.kind}_calls"] += 1
    if isinstance(outcome, Segment):
        return _book_segment(state, completion, outcome, events)
    if isinstance(outcome, Logprobs):
        return _book_score(state, call.key.sample, outcome, score)
    sample.error = outcome
    if call.kind == "score":
        state.counts["n_score_errors"] += 1
    return policy.after_error(call, outcome, state.parameters)


def decide(state: ProblemState, index: int, decision: Decision, events: list[Event]) -> policy.Verdict:
    """Apply a controller's decision to a scored sample."""
    sample = state.samples[index]
    turn, last = sample.turn, sample.segments[-1]
    score, logprobs = state.scored.pop(index)
    sample.score, sample.p_value = score, decision.p_value
    sample.takeover, sample.forced = decision.takeover, decision.forced
    state.count_decision(turn, decision.takeover)
    state.counts["n_scored"] += 1
    state.counts["n_takeovers"] += decision.takeover
    state.counts["n_forced"] += decision.forced is not None
    kept = None
    if decision.takeover:
        sample.segments, kept = policy.rewound(sample.segments, logprobs, state.parameters)
    events.append(SegmentScored(index, turn, score, decision.p_value, decision.takeover, decision.forced, kept))
    if decision.takeover:
        return Signal.REJECTED, None
    return policy.after_turn(sample.text, last, turn, state.parameters)


def make_call(state: ProblemState, index: int, call_id: int, kind: CallKind, turn: int) -> Call:
    """A call for a sample's turn."""
    parameters = state.parameters
    return Call(
        id=call_id,
        kind=kind,
        key=SampleKey(state.number, index),
        turn=turn,
        problem=state.problem.text,
        segments=state.samples[index].segments,
        max_tokens=policy.max_new_tokens(kind, parameters),
        temperature=parameters.temperature,
        seed=call_seed(parameters.seed, state.problem.id, index, turn, kind),
    )


def _book_segment(state: ProblemState, completion: Completion, segment: Segment, events: list[Event]) -> policy.Verdict:
    call = completion.call
    sample = state.samples[call.key.sample]
    sample.segments = (*call.segments, segment)
    state.counts[f"{segment.role}_tokens"] += segment.n_tokens
    events.append(SegmentWritten(call.key.sample, call.turn, segment))
    if call.kind == "takeover":
        return policy.after_turn(sample.text, segment, call.turn, state.parameters)
    verdict = policy.after_draft(sample.text, segment, state.parameters)
    if not segment.text and verdict != (Signal.FINISH, SampleEnd.ANSWERED):
        state.counts["n_score_errors"] += 1
        sample.error = ScoreShapeError("the draft wrote an empty segment, which has no score", role="draft")
    return verdict


def _book_score(state: ProblemState, index: int, logprobs: Logprobs, score: Score) -> policy.Verdict | None:
    sample = state.samples[index]
    try:
        state.scored[index] = score(logprobs.values, sample.losses), logprobs
        sample.losses.append(mean_nll(logprobs.values))
    except ScoreShapeError as error:
        sample.error = error
        state.counts["n_score_errors"] += 1
        return policy.unscored(state.parameters)
    state.counts["scored_tokens"] += len(logprobs.values)
    return None
