import pytest

from a1_trt.core.conformal import Candidate, ControllerSettings, Decision, Rank, make_controller, perplexity
from a1_trt.core.scheduler import Scheduler, policy
from a1_trt.errors import ContextLengthError, EngineError, EngineOverloaded, ProtocolError, ScoringUnavailable
from a1_trt.types import (
    Completion,
    Logprobs,
    Parameters,
    Problem,
    ProblemFinished,
    SampleEnd,
    Segment,
    SegmentScored,
    SegmentUnscored,
)

LIMITS = {"draft": 64, "target": 64}
LIKELY, UNLIKELY = Logprobs((-0.1, -0.1)), Logprobs((-3.0, -3.0))


class Table:
    """A scheduler at which the test plays the engines."""

    def __init__(self, limits=LIMITS, scores=(), max_takeovers=None, controller=None, **parameters):
        if controller is None:
            controller = make_controller("growing", ControllerSettings(smoothed=False))
        for score in scores:
            past = Candidate(score=score, category="all", problem="past", alpha=0.4, u=0.5)
            controller.update(past, Decision(p_value=1.0, level=0.4, takeover=False))
        self.scheduler = Scheduler(controller, perplexity, limits, category="none", max_takeovers=max_takeovers)
        self.parameters = Parameters(**{"n_samples": 1, "early_stop": False, **parameters})
        self.calls, self.cancelled, self.events = [], [], []

    def add(self, text="Q"):
        number = self.scheduler.add(Problem(text), self.parameters)
        self.pump()
        return number

    def pump(self):
        plan = self.scheduler.schedule()
        self.calls += plan.start
        self.cancelled += plan.cancel

    def complete(self, outcome, call=None):
        call = call or self.calls[0]
        self.calls.remove(call)
        self.events += [event for _, event in self.scheduler.update(Completion(call, outcome))]
        self.pump()
        return call

    def write(self, text, call=None, ended=False):
        call = call or self.calls[0]
        return self.complete(Segment(call.role, text, 3, (1, 2, 3), ended), call)

    @property
    def is_finished(self):
        return not self.scheduler.in_flight and not self.calls

    @property
    def kinds(self):
        return [call.kind for call in self.calls]

    @property
    def result(self):
        return self.events[-1].result


CALM = (9.0,) * 9  # a likely segment gets p = 1, an unlikely one p = 0.1
STRICT = (1.0,) * 99


def test_an_accepted_segment_stands_and_the_draft_goes_on():
    table = Table(scores=CALM, alpha=0.4)
    table.add()
    assert table.kinds == ["draft"]
    table.write("one ")
    assert table.kinds == ["score"]
    assert table.calls[0].segments[-1].text == "one "
    table.complete(LIKELY)
    assert table.kinds == ["draft"]
    assert table.calls[0].turn == 1
    table.write(r"\boxed{7}")
    assert table.result.answer == "7"
    assert table.result.usage.n_takeovers == 0
    assert table.result.usage.n_scored == 1, "a finished chain costs the target nothing"
    assert table.is_finished


def test_a_rejected_segment_is_continued_by_the_target_from_the_drafts_prefix():
    table = Table(scores=STRICT, alpha=0.4)
    table.add()
    table.write("one ")
    table.complete(UNLIKELY)
    assert table.kinds == ["takeover"]
    assert [segment.text for segment in table.calls[0].segments] == ["one "]
    table.write(r"no, \boxed{8}")
    assert table.result.trajectories[0].text == r"one no, \boxed{8}"
    (turn,) = table.result.trajectories[0].turns
    assert turn.takeover
    assert turn.p_value == pytest.approx(1 / 100)
    assert table.result.rejection_rate == 1.0


def test_no_sample_waits_for_another():
    table = Table(n_samples=3)
    table.add()
    table.write("a", table.calls[0])
    table.complete(LIKELY, table.calls[-1])
    assert [(call.key.sample, call.kind, call.turn) for call in table.calls] == [
        (1, "draft", 0),
        (2, "draft", 0),
        (0, "draft", 1),
    ]


def test_a_barrier_lets_samples_advance_phase_by_phase():
    table = Table(n_samples=2, admission="barrier", scores=CALM)
    table.add()
    first, second = table.calls
    table.write("a", first)
    assert table.calls == [second], "the score of the first waits for the draft of the second"
    table.write("b", second)
    assert table.kinds == ["score", "score"]
    table.complete(UNLIKELY)
    table.complete(LIKELY)
    assert table.kinds == ["takeover"], "the accepted sample waits for the takeover"
    table.write("c")
    assert table.kinds == ["draft", "draft"]


def test_a_barrier_judges_the_scores_of_a_phase_together_in_sample_order():
    table = Table(n_samples=3, admission="barrier", scores=CALM)
    table.add()
    advance_all(table, LIKELY)
    for call in reversed(table.calls):
        assert scored(table) == [], "nobody is judged before the last score is there"
        table.complete(UNLIKELY, call)
    assert [event.sample for event in scored(table)] == [0, 1, 2]
    # Each enters the pool before the next one is judged.
    assert [event.p_value for event in scored(table)] == [1 / 10, 2 / 11 + 0.0, 3 / 12]
    assert [call.key.sample for call in table.calls] == [0, 1, 2]


@pytest.mark.parametrize("alpha", [0.2, 0.4, 0.9])
def test_the_rank_rule_takes_over_the_strangest_of_those_that_are_left(alpha):
    table = Table(n_samples=5, admission="barrier", controller=Rank(), alpha=alpha)
    table.add()
    table.write(r"\boxed{1}", table.calls[2])
    advance_all(table, LIKELY)
    for call in list(table.calls):
        table.complete(Logprobs((-0.1 * (call.key.sample % 4), -0.1)), call)
    expected = [3, 1, 0, 4][: round(alpha * 4)]
    assert {event.sample for event in scored(table) if event.takeover} == set(expected)
    assert [(event.sample, event.p_value) for event in scored(table)] == [(0, 0.75), (1, 0.5), (3, 0.25), (4, 1.0)]


def test_under_a_barrier_a_settled_vote_is_noticed_at_the_barrier():
    table = Table(n_samples=4, admission="barrier", early_stop=True)
    table.add()
    for call in list(table.calls)[:3]:
        table.write(r"\boxed{4}", call)
    assert table.kinds == ["draft"]
    assert table.cancelled == []
    table.write("still thinking")
    assert table.result.answer == "4"
    assert table.result.usage.n_stopped == 1
    assert table.is_finished


def test_limits_of_calls_in_flight_hold_and_slots_are_reused():
    table = Table(limits={"draft": 2, "target": 1}, n_samples=4)
    table.add()
    assert table.kinds == ["draft", "draft"]
    table.write("a")
    assert sorted(table.kinds) == ["draft", "draft", "score"]
    assert table.scheduler.n_in_flight("target") == 1


def test_a_settled_vote_stops_the_rest_and_counts_it():
    table = Table(n_samples=5, early_stop=True)
    table.add()
    for call in list(table.calls)[:3]:
        table.write(r"\boxed{4}", call)
    assert table.result.answer == "4"
    assert table.result.usage.n_stopped == 2
    assert [each.end for each in table.result.trajectories[3:]] == [SampleEnd.STOPPED] * 2
    assert sorted(table.cancelled) == sorted(call.id for call in table.calls)
    assert not table.is_finished, "slots are held until the cancelled calls come back"
    for call in list(table.calls):
        table.write("late", call)
    assert table.is_finished
    assert isinstance(table.events[-1], ProblemFinished)


def test_the_switch_lets_every_sample_finish():
    table = Table(n_samples=3, early_stop=False)
    table.add()
    for call in list(table.calls):
        table.write(r"\boxed{4}", call)
    assert table.result.votes == (("4", 3),)
    assert table.result.usage.n_stopped == 0


def test_an_empty_box_does_not_end_a_sample():
    table = Table(scores=CALM)
    table.add()
    table.write(r"put it in \boxed{} ")
    table.complete(LIKELY)
    assert table.kinds == ["draft"]
    assert table.calls[0].turn == 1
    table.write(r"\boxed{7}, that is \boxed{ }")
    assert table.result.answer == "7"


def test_empty_boxes_neither_vote_nor_settle_a_vote():
    table = Table(n_samples=3, max_turns=1, early_stop=True, strategy="draft_only")
    table.add()
    table.write(r"\boxed{}")
    table.write(r"\boxed{\,}", ended=True)
    assert len(table.calls) == 1, "two that agree on nothing do not stop the third"
    table.write(r"\boxed{7}")
    assert table.result.votes == (("7", 1),)
    ends = [chain.end for chain in table.result.trajectories]
    assert ends == [SampleEnd.EXHAUSTED, SampleEnd.ENDED, SampleEnd.ANSWERED]
    assert [chain.answer for chain in table.result.trajectories] == [None, None, "7"]


def test_the_last_turn_ends_a_sample():
    table = Table(max_turns=2)
    table.add()
    for _ in range(2):
        table.write("a")
        table.complete(LIKELY)
    assert table.result.trajectories[0].end is SampleEnd.EXHAUSTED
    assert table.result.answer is None


def test_an_accepted_chain_may_use_all_of_its_tokens():
    table = Table(scores=CALM, max_chain_tokens=7, draft_tokens=3)
    table.add()
    for max_tokens in (3, 3, 1):
        assert (table.calls[0].kind, table.calls[0].max_tokens) == ("draft", max_tokens)
        table.write("and ") if max_tokens == 3 else table.complete(Segment("draft", "so", 1, (1,)))
        table.complete(LIKELY)
    assert table.is_finished
    assert table.result.trajectories[0].end is SampleEnd.EXHAUSTED


def test_an_answer_in_the_last_token_counts():
    table = Table(max_chain_tokens=3)
    table.add()
    table.write(r"\boxed{3}")
    assert table.result.answer == "3"


def test_a_rejected_chain_without_tokens_left_ends():
    table = Table(scores=STRICT, max_chain_tokens=3)
    table.add()
    table.write("and ")
    table.complete(UNLIKELY)
    assert table.is_finished
    assert (table.result.trajectories[0].end, table.result.usage.takeover_calls) == (SampleEnd.EXHAUSTED, 0)


def test_only_tokens_that_stand_are_counted():
    table = Table(scores=STRICT, max_chain_tokens=3, takeover_from="first_surprise")
    table.add()
    table.write("1+1=3, so")
    table.complete(Logprobs(UNLIKELY.values, "1+1=", (1,)))
    assert (table.kinds, table.calls[0].max_tokens) == (["takeover"], 2)
    table = Table(max_chain_tokens=3)
    table.add()
    table.write("a")
    table.complete(EngineError("down", role="target"))
    assert (table.kinds, table.calls[0].max_tokens) == (["takeover"], 3), "an unscored segment does not stand"


def test_nothing_is_drafted_ahead_for_a_chain_without_tokens_left():
    table = Table(scores=CALM, max_chain_tokens=3, optimistic=True)
    table.add()
    table.write("and ")
    assert table.kinds == ["score"]


@pytest.mark.parametrize("strategy", ["target_only", "draft_only"])
def test_one_model_alone_keeps_to_the_tokens_of_a_chain(strategy):
    table = Table(strategy=strategy, max_chain_tokens=600)
    table.add()
    assert table.calls[0].max_tokens == 600


def test_a_text_that_ends_without_an_answer_ends_the_sample():
    table = Table()
    table.add()
    table.write("I give up", ended=True)
    assert table.kinds == ["score"], "the target may still take over"
    table.complete(LIKELY)
    assert table.result.trajectories[0].end is SampleEnd.ENDED


def test_answers_are_verified_when_asked_and_taken_back_when_rejected():
    table = Table(score_answers=True, scores=STRICT)
    table.add()
    table.write(r"1+1=3 \boxed{3}")
    assert table.kinds == ["score"]
    table.complete(UNLIKELY)
    assert table.kinds == ["takeover"]
    assert table.calls[0].segments[-1].text == "1+1=3 "
    table.write(r"wait, 2. \boxed{2}")
    assert table.result.answer == "2"


def test_an_accepted_answer_ends_the_sample_when_answers_are_verified():
    table = Table(score_answers=True, scores=CALM)
    table.add()
    table.write(r"\boxed{3}")
    table.complete(LIKELY)
    assert table.result.answer == "3"
    assert table.result.usage.n_scored == 1


@pytest.mark.parametrize(("rule", "kind"), [("takeover", ["takeover"]), ("fail", [])])
def test_a_failed_score_is_never_an_acceptance(rule, kind):
    for outcome in (EngineError("down", role="target"), Logprobs(())):
        table = Table(on_score_error=rule)
        table.add()
        table.write("a")
        table.complete(outcome)
        assert table.kinds == kind
        assert [(event.turn, event.takeover) for event in unscored(table)] == [(0, rule == "takeover")]
        if rule == "takeover":
            assert table.calls[0].segments == (), "the target writes from the segment's start"
            table.write(r"\boxed{8}")
            (turn,) = table.result.trajectories[0].turns
            assert (turn.unscored, turn.takeover, len(turn.segments)) == (unscored(table)[0].reason, True, 1)
            assert table.result.usage.discarded_tokens == 3
        if rule == "fail":
            assert table.result.trajectories[0].end is SampleEnd.FAILED
            assert table.result.trajectories[0].error is not None
            assert table.result.usage.n_unscored == 1
            assert table.result.usage.n_scored == 0


def test_an_empty_segment_has_no_score_and_goes_to_the_target():
    table = Table()
    table.add()
    table.write("", ended=True)
    assert table.kinds == ["takeover"]
    assert [event.reason for event in unscored(table)] == ["empty_segment"]
    assert table.scheduler.scoring.share == 0, "the scorer was not asked"


def test_a_finished_draft_that_cannot_be_scored_answers_nothing():
    table = Table(score_answers=True)
    table.add()
    table.write(r"\boxed{3}", ended=True)
    table.complete(EngineError("down", role="target"))
    table.write("", ended=True)
    assert table.result.answer is None
    assert table.result.trajectories[0].end is SampleEnd.ENDED


def test_a_chain_too_long_to_score_ends_without_its_last_segment():
    table = Table(score_answers=True)
    table.add()
    table.write(r"\boxed{3}")
    table.complete(ContextLengthError("full"))
    (chain,) = table.result.trajectories
    assert (chain.end, chain.text, chain.turns[0].unscored) == (SampleEnd.EXHAUSTED, "", "context_length")
    assert table.scheduler.scoring.share == 0


def test_a_problem_of_which_no_score_comes_fails_as_a_whole():
    table = Table(n_samples=8, max_turns=1)
    table.add()
    table.write(r"\boxed{3}")
    for call in list(table.calls):
        table.write("a", call)
    for call in list(table.calls)[:4]:
        assert not any(isinstance(event, ProblemFinished) for event in table.events)
        table.complete(EngineError("down", role="target"), call)
    assert isinstance(table.result.error, ScoringUnavailable)
    assert table.result.usage.n_unscored == 4
    assert len(table.cancelled) == 6, "three takeovers and three scores"


def test_only_problems_whose_scores_fail_go_down_with_the_share():
    table = Table(n_samples=20, max_turns=1)
    bad, good = table.add("bad"), table.add("good")
    for call in list(table.calls):
        table.write("a", call)
    for number, call in enumerate([call for call in table.calls if call.key.problem == bad]):
        outcome = EngineError("down", role="target") if number in (10, 19) else LIKELY
        table.complete(outcome, call)
    assert not table.scheduler.scoring.is_available, "2 of 20 is more than 5 %"
    assert isinstance(table.result.error, ScoringUnavailable)
    for call in [call for call in table.calls if call.key.problem == good]:
        table.complete(LIKELY, call)
    assert table.result.error is None
    assert table.scheduler.scoring.is_available, "20 in a row have come"


def test_an_error_fails_its_sample_only():
    table = Table(n_samples=2)
    table.add()
    first, second = table.calls
    table.complete(EngineError("down", role="draft"), first)
    table.write(r"\boxed{5}", second)
    assert table.result.answer == "5"
    assert [each.end for each in table.result.trajectories] == [SampleEnd.FAILED, SampleEnd.ANSWERED]


def test_a_full_context_ends_a_chain_that_has_begun_and_fails_one_that_has_not():
    table = Table(n_samples=1)
    table.add()
    table.write("a")
    table.complete(ContextLengthError("full"))
    assert table.result.trajectories[0].end is SampleEnd.EXHAUSTED
    table = Table(n_samples=1)
    table.add()
    table.complete(ContextLengthError("full"))
    assert table.result.trajectories[0].end is SampleEnd.FAILED


@pytest.mark.parametrize(
    ("strategy", "kind", "tokens"), [("target_only", "takeover", 500 * 15), ("draft_only", "draft", 500 * 15)]
)
def test_one_model_alone_writes_the_whole_chain_in_one_call(strategy, kind, tokens):
    table = Table(strategy=strategy)
    table.add()
    assert table.kinds == [kind]
    assert table.calls[0].max_tokens == tokens
    table.write(r"\boxed{6}")
    assert table.result.answer == "6"
    assert table.result.usage.n_scored == 0


def test_cancelling_drops_waiting_calls_and_names_those_in_flight():
    table = Table(limits={"draft": 1, "target": 1}, n_samples=3)
    number = table.add()
    events = table.scheduler.cancel(number)
    table.pump()
    assert [event.end for _, event in events[:-1]] == [SampleEnd.CANCELLED] * 3
    assert table.cancelled == [table.calls[0].id]
    assert table.scheduler.cancel(number) == []
    table.write("late")
    assert table.is_finished


def test_misuse_raises_and_changes_nothing():
    table = Table()
    table.add()
    call = table.calls[0]
    with pytest.raises(ProtocolError, match="completed with"):
        table.scheduler.update(Completion(call, LIKELY))
    table.write("a")
    with pytest.raises(ProtocolError, match="not in flight"):
        table.scheduler.update(Completion(call, Segment("draft", "a", 1)))
    assert table.kinds == ["score"]


def test_too_much_work_is_refused_before_it_is_taken():
    scheduler = Scheduler(make_controller(), perplexity, LIMITS, max_samples=10)
    scheduler.add(Problem("a"), Parameters(n_samples=8))
    with pytest.raises(EngineOverloaded):
        scheduler.add(Problem("b"), Parameters(n_samples=3))
    scheduler.add(Problem("c"), Parameters(n_samples=2))


def test_seeds_depend_on_what_they_are_for_and_not_on_the_schedule():
    seeds = {}
    for admission in ("async", "barrier"):
        table = Table(n_samples=3, admission=admission, seed=7)
        table.add()
        seeds[admission] = [(call.key.sample, call.seed) for call in table.calls]
    assert seeds["async"] == seeds["barrier"]
    assert len({seed for _, seed in seeds["async"]}) == 3


def test_scores_are_told_with_their_p_values():
    table = Table(scores=CALM)
    table.add()
    table.write("a")
    table.complete(LIKELY)
    (scored,) = [event for event in table.events if isinstance(event, SegmentScored)]
    assert scored.p_value == 1.0
    assert not scored.takeover


@pytest.mark.parametrize(
    ("takeover_from", "text", "ids"), [("end", "1+1=3, so", (1, 2, 3)), ("first_surprise", "1+1=", (1,))]
)
def test_the_target_goes_on_from_the_end_or_from_before_the_first_surprise(takeover_from, text, ids):
    table = Table(scores=STRICT, takeover_from=takeover_from)
    table.add()
    table.write("1+1=3, so")
    table.complete(Logprobs(UNLIKELY.values, "1+1=", (1,)))
    assert table.kinds == ["takeover"]
    assert (table.calls[0].segments[-1].text, table.calls[0].segments[-1].token_ids) == (text, ids)
    assert scored(table)[-1].kept == (None if takeover_from == "end" else text)


def test_an_answer_before_the_first_surprise_is_taken_back_too():
    table = Table(scores=STRICT, takeover_from="first_surprise", score_answers=True)
    table.add()
    table.write(r"\boxed{3} or so")
    table.complete(Logprobs(UNLIKELY.values, r"\boxed{3} or", (1, 2)))
    assert (table.calls[0].segments[-1].text, table.calls[0].segments[-1].token_ids) == ("", ())
    assert scored(table)[-1].kept == ""


def unscored(table):
    return [event for event in table.events if isinstance(event, SegmentUnscored)]


def scored(table):
    return [event for event in table.events if isinstance(event, SegmentScored)]


def advance_all(table, logprobs):
    """Every waiting call comes back once: segments without an end, and scores that are all alike."""
    for call in list(table.calls):
        if call.kind == "score":
            table.complete(logprobs, call)
        else:
            table.write("and ", call)


@pytest.mark.parametrize("logprobs", [LIKELY, UNLIKELY])
def test_an_exact_budget_is_met_in_every_turn_of_every_run(logprobs):
    table = Table(scores=CALM, n_samples=5, alpha=0.4, exact_budget=True, max_turns=3)
    table.add("asked twice at once")
    table.add("asked twice at once")
    while not table.is_finished:
        advance_all(table, logprobs)
    results = [event.result for event in table.events if isinstance(event, ProblemFinished)]
    for result in results:
        for turn in range(3):
            assert sum(each.turns[turn].takeover for each in result.trajectories) == 2
    assert len(results) == 2
    assert sum(result.usage.n_forced for result in results) == sum(bool(event.forced) for event in scored(table)) > 0


def test_a_run_that_was_stopped_leaves_its_budget_to_nobody():
    table = Table(scores=CALM, n_samples=5, alpha=0.4, exact_budget=True, max_turns=1)
    number = table.add()
    advance_all(table, UNLIKELY)
    for call in list(table.calls)[:3]:
        table.complete(UNLIKELY, call)
    table.events.clear()
    table.scheduler.cancel(number)
    table.calls.clear()
    table.add()
    for _ in range(3):
        advance_all(table, UNLIKELY)
    assert sum(event.takeover for event in scored(table)) == 2


@pytest.mark.parametrize("admission", ["async", "barrier"])
def test_a_takeover_beyond_the_cap_is_not_made_and_counted(admission):
    table = Table(scores=STRICT, n_samples=4, alpha=0.9, max_takeovers=2, admission=admission)
    table.add()
    advance_all(table, UNLIKELY)
    advance_all(table, UNLIKELY)
    assert [(event.takeover, event.forced) for event in scored(table)] == [(True, None)] * 2 + [(False, "cap")] * 2
    drafts = [] if admission == "barrier" else ["draft", "draft"]  # under a barrier they wait for the takeovers
    assert sorted(table.kinds) == [*drafts, "takeover", "takeover"]


def test_there_is_room_again_after_a_takeover():
    table = Table(scores=STRICT, n_samples=2, alpha=0.9, max_takeovers=1)
    table.add()
    advance_all(table, UNLIKELY)
    advance_all(table, UNLIKELY)
    takeover = next(call for call in table.calls if call.kind == "takeover")
    table.write("and ", takeover)
    table.write("so ", next(call for call in table.calls if call.key == takeover.key))
    table.complete(UNLIKELY, next(call for call in table.calls if call.kind == "score"))
    assert [event.takeover for event in scored(table)] == [True, False, True]


@pytest.mark.parametrize("takeover_from", ["end", "first_surprise"])
def test_a_chain_that_is_taken_over_unseen_stands_up_to_its_answer(takeover_from):
    parameters = Parameters(takeover_from=takeover_from)
    segment = Segment("draft", r"so \boxed{3}", 3, (1, 2, 3), ended=True)
    (shortened,), kept = policy.rewound((segment,), None, parameters)
    assert shortened.text == kept == "so "
    assert not shortened.ended
    open_ = Segment("draft", "so 3", 3)
    assert policy.rewound((open_,), None, parameters) == ((open_,), None)
