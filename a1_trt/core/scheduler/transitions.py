"""What a completion or a decision does to its sample, and what follows from it."""

from __future__ import annotations

from a1_trt.core.conformal import Candidate, Category, Decision, Score, category_of, mean_nll
from a1_trt.core.scheduler import policy
from a1_trt.core.scheduler.scoring import Scoring
from a1_trt.core.scheduler.seeds import call_seed, uniform
from a1_trt.core.scheduler.state import ProblemState
from a1_trt.core.scheduler.states import Signal
from a1_trt.errors import A1Error, Cancelled, EmptySegment, ScoreShapeError
from a1_trt.types import Call, CallKind, Completion, Logprobs, SampleKey, Segment, SegmentScored, SegmentWritten, Turn


def book(state: ProblemState, completion: Completion, score: Score, scoring: Scoring) -> policy.Verdict | None:
    """Apply a completion to its sample and return what follows: None after a score, which is still to be judged.

    Sets `ProblemState.error` where the problem fails for want of scores.
    """
    call, outcome = completion.call, completion.outcome
    index = call.key.sample
    state.counts[f"{call.kind}_calls"] += 1
    if isinstance(outcome, Segment):
        verdict = _book_segment(state, call, outcome)
        if verdict[0] is Signal.WRITTEN and not outcome.text:
            error = EmptySegment("the draft wrote an empty segment, which has no score", role="draft")
            return book_unscored(state, index, error, scoring)
        return verdict
    if isinstance(outcome, Logprobs):
        try:
            state.scored[index] = score(outcome.values, state.samples[index].losses), outcome
            state.samples[index].losses.append(mean_nll(outcome.values))
        except ScoreShapeError as error:
            return book_unscored(state, index, error, scoring)
        count_scored(state, scoring, len(outcome.values))
        return None
    if call.kind == "score" and not isinstance(outcome, Cancelled):
        return book_unscored(state, index, outcome, scoring)
    state.samples[index].error = outcome
    return policy.after_error(call, outcome, state.parameters)


def book_unscored(state: ProblemState, index: int, error: A1Error, scoring: Scoring) -> policy.Verdict:
    """Drop a draft's segment that has no score and decide what follows."""
    verdict = policy.unscored(error, state.parameters)
    state.samples[index].error = error
    state.drop_unscored(index, error.code, takeover=verdict[0] is Signal.REJECTED)
    count_unscored(state, error, scoring)
    return verdict


def count_scored(state: ProblemState, scoring: Scoring, n_tokens: int = 0) -> None:
    state.counts["scored_tokens"] += n_tokens
    state.has_scores = True
    scoring.add(scored=True)


def count_unscored(state: ProblemState, error: A1Error, scoring: Scoring) -> None:
    """Count a segment without a score; sets `ProblemState.error` where the problem fails for it."""
    state.counts["n_unscored"] += 1
    if policy.tells_of_scorer(error):
        scoring.add(scored=False)
        state.n_failed_scores += 1
        state.error = scoring.verdict(has_scores=state.has_scores, n_failed=state.n_failed_scores)


def candidate(state: ProblemState, index: int, category: Category, rank: tuple[int, int]) -> Candidate:
    """What the controller is asked about a scored sample.

    `rank` is its rank among the segments that are judged together, from 1 for the strangest, and their number.
    """
    problem, parameters, turn = state.problem, state.parameters, state.samples[index].turn
    quota = None
    if parameters.exact_budget:
        used, seen = state.takeovers_in(turn)
        quota = round(parameters.alpha * parameters.n_samples) - used, parameters.n_samples - seen
    return Candidate(
        score=state.scored[index][0],
        category=category_of(category, turn, problem.key),
        problem=problem.key,
        alpha=parameters.alpha,
        # Both names: callers may call all their problems the same, or ask for one twice.
        u=uniform(parameters.seed, f"{problem.id} {problem.key}", index, turn),
        quota=quota,
        rank=rank,
    )


def decide(state: ProblemState, index: int, decision: Decision) -> policy.Verdict:
    """Apply a controller's decision to a scored sample."""
    sample = state.samples[index]
    turn, kept = sample.turn, None
    score, logprobs = state.scored.pop(index)
    result = score, decision.p_value, decision.takeover, decision.forced
    sample.judged = Turn((), *result)
    state.count_decision(turn, decision)
    if decision.takeover:
        sample.segments, kept = policy.rewound(sample.segments, logprobs, state.parameters)
    state.events.append(SegmentScored(index, turn, *result, kept))
    if decision.takeover:
        return policy.after_rejection(sample.segments, state.parameters)
    return policy.after_turn(sample.segments, turn, state.parameters)


def make_call(state: ProblemState, index: int, call_id: int, kind: CallKind, turn: int) -> Call:
    parameters, segments = state.parameters, state.samples[index].segments
    return Call(
        id=call_id,
        kind=kind,
        key=SampleKey(state.number, index),
        turn=turn,
        problem=state.problem.text,
        segments=segments,
        max_tokens=policy.max_new_tokens(kind, segments, parameters),
        temperature=parameters.temperature,
        seed=call_seed(parameters.seed, state.problem.id, index, turn, kind),
    )


def _book_segment(state: ProblemState, call: Call, segment: Segment) -> policy.Verdict:
    sample = state.samples[call.key.sample]
    sample.segments = (*call.segments, segment)
    state.counts[f"{segment.role}_tokens"] += segment.n_tokens
    state.events.append(SegmentWritten(call.key.sample, call.turn, segment))
    if call.kind == "takeover":
        return policy.after_turn(sample.segments, call.turn, state.parameters)
    return policy.after_draft(sample.segments, state.parameters)
