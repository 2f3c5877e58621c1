"""What controllers guarantee for any sequence of scores, against adversaries that see everything."""

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from a1_trt.core.conformal import CalibrationSet, Candidate, ControllerSettings, Histogram, make_controller
from a1_trt.core.conformal.controllers.adaptive import Adaptive, TwoLevel, scale_of
from a1_trt.core.conformal.controllers.limits import Budget, Debt
from a1_trt.core.conformal.controllers.pools import Pools

alphas = st.sampled_from([0.05, 0.1, 0.2, 0.4, 0.5, 0.6, 0.9])
turns = st.sampled_from(["turn 1", "turn 2", "turn 3"])
tricks = st.sampled_from(["lowest", "highest", "any"])
moves = st.lists(st.tuples(turns, tricks, st.floats(0.001, 0.999)), min_size=1, max_size=200)


def played(controller, sequence, alpha):
    """Takeovers of a sequence in which the scores are the strangest so far, the least strange, or in between."""
    taken, high, low = [], 1.0, -1.0
    for category, move, u in sequence:
        high, low = high + (move == "highest"), low - (move == "lowest")
        score = {"highest": high, "lowest": low, "any": u}[move]
        candidate = Candidate(score=score, category=category, problem="p", alpha=alpha, u=u)
        decision = controller.decide(candidate)
        controller.update(candidate, decision)
        taken.append(decision.takeover)
    return taken


@given(moves, alphas, st.floats(0.01, 0.5))
@settings(max_examples=150, deadline=None)
def test_two_level_keeps_its_bound_at_every_moment(sequence, alpha, step):
    taken = played(TwoLevel(Pools(), step=step, category_step=0.4 * step, clip=0.25), sequence, alpha)
    g, c = step * scale_of(alpha), 0.25 * scale_of(alpha)
    bound = (max(1 - alpha + g * alpha, alpha + g * (1 - alpha)) + c) / g
    for n in range(1, len(taken) + 1):
        assert abs(sum(taken[:n]) - n * alpha) <= bound + 1e-9


@given(moves, alphas, st.floats(0.01, 0.5))
@settings(max_examples=150, deadline=None)
def test_aci_keeps_its_bound_at_every_moment(sequence, alpha, step):
    taken = played(Adaptive(Pools(), step), sequence, alpha)
    g = step * scale_of(alpha)
    for n in range(1, len(taken) + 1):
        assert abs(sum(taken[:n]) - n * alpha) <= (max(alpha, 1 - alpha) + g) / g + 1e-9


@given(moves, alphas, st.sampled_from(["growing", "two-level", "random", "per-problem"]), st.floats(1.0, 5.0))
@settings(max_examples=150, deadline=None)
def test_a_debt_holds_overall_and_in_every_window(sequence, alpha, name, most):
    taken = played(Debt(make_controller(name, ControllerSettings(debt=0)), most), sequence, alpha)
    sums = [0.0]
    for x in taken:
        sums.append(sums[-1] + x - alpha)
    assert max(sums) - min(sums) <= 2 * most + 1e-9
    assert max(map(abs, sums)) <= most + 1e-9


@given(moves, alphas)
def test_the_counter_is_within_one_in_every_category(sequence, alpha):
    taken = played(make_controller("counter"), sequence, alpha)
    for category in {each[0] for each in sequence}:
        mine = [x for x, each in zip(taken, sequence, strict=True) if each[0] == category]
        assert all(abs(sum(mine[:n]) - n * alpha) <= 1 + 1e-9 for n in range(1, len(mine) + 1))


@given(st.lists(st.floats(0.001, 0.999), min_size=1, max_size=32), st.data())
def test_a_budget_is_met_exactly_whatever_the_draws(us, data):
    budget = data.draw(st.integers(0, len(us)))
    controller = Budget(make_controller("random"))
    taken = 0
    for seen, u in enumerate(us):
        quota = budget - taken, len(us) - seen
        candidate = Candidate(score=1.0, category="turn 1", problem="p", alpha=0.4, u=u, quota=quota)
        decision = controller.decide(candidate)
        controller.update(candidate, decision)
        taken += decision.takeover
    assert taken == budget


@given(st.lists(st.floats(-1e6, 1e6), max_size=40), st.floats(-1e6, 1e6), st.floats(0.001, 0.999))
def test_a_histogram_is_exact_for_the_score_that_it_keeps(past, score, u):
    from a1_trt.core.conformal.stores import bin_of

    histogram, exact = Histogram(), CalibrationSet()
    for each in past:
        histogram.add(each)
        exact.add(float(bin_of(each)))
    assert histogram.count(score) == exact.count(float(bin_of(score)))


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_bins_keep_the_order(one, other):
    from a1_trt.core.conformal.stores import bin_of

    low, high = sorted((one, other))
    assert 0 <= bin_of(low) <= bin_of(high) < 1 << 17


@given(st.floats(0.02, 1000.0), st.floats(0.02, 1000.0))
def test_a_histogram_tells_scores_apart_that_differ_by_a_two_thousandth(one, other):
    from a1_trt.core.conformal.stores import bin_of

    if abs(one - other) > min(one, other) / 2048:
        assert bin_of(one) != bin_of(other)


class StoreMachine(RuleBasedStateMachine):
    """Both stores against a plain list, under insertions and deletions in any order."""

    @initialize()
    def start(self):
        self.exact, self.histogram, self.plain = CalibrationSet(), Histogram(), []

    @rule(score=st.floats(-4.0, 4.0) | st.integers(0, 4).map(float))
    def add(self, score):
        for store in (self.exact, self.histogram):
            store.add(score)
        self.plain.append(score)

    @precondition(lambda self: self.plain)
    @rule(data=st.data())
    def remove(self, data):
        score = self.plain.pop(data.draw(st.integers(0, len(self.plain) - 1)))
        for store in (self.exact, self.histogram):
            store.remove(score)

    @rule(score=st.floats(-4.0, 4.0) | st.integers(0, 4).map(float))
    def rank(self, score):
        greater, equal = sum(a > score for a in self.plain), sum(a == score for a in self.plain)
        assert self.exact.count(score) == (greater, equal)
        above, beside = self.histogram.count(score)
        assert above <= greater
        assert above + beside >= greater + equal

    @invariant()
    def sizes_agree(self):
        if hasattr(self, "plain"):
            assert len(self.exact) == len(self.histogram) == len(self.plain)
            assert self.histogram.weight == pytest.approx(len(self.plain))


StoreMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestStores = StoreMachine.TestCase


class WindowMachine(RuleBasedStateMachine):
    """A window against the plain ranks among the latest scores of each category."""

    @initialize(length=st.integers(1, 6))
    def start(self, length):
        self.length, self.seen = length, {}
        self.controller = make_controller("window", ControllerSettings(window=length))

    @rule(score=st.integers(0, 9).map(float), category=st.sampled_from("ab"), u=st.floats(0.001, 0.999))
    def judge(self, score, category, u):
        latest = self.seen.setdefault(category, [])[-self.length :]
        candidate = Candidate(score=score, category=category, problem="p", alpha=0.4, u=u)
        decision = self.controller.decide(candidate)
        greater, equal = sum(a > score for a in latest), sum(a == score for a in latest)
        assert decision.p_value == pytest.approx((greater + u * (1 + equal)) / (len(latest) + 1))
        self.controller.update(candidate, decision)
        self.seen[category].append(score)


WindowMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
TestWindow = WindowMachine.TestCase
