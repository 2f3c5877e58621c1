"""Each controller against hand-worked numbers and the interface they share."""

import math
from typing import get_args

import pytest

from a1_trt.core.conformal import CONTROLLERS, Candidate, ControllerSettings, Decision, Rank, make_controller
from a1_trt.core.conformal.controllers.adaptive import TwoLevel, scale_of
from a1_trt.core.conformal.controllers.limits import Budget, Debt
from a1_trt.core.conformal.controllers.lru import MAX_CATEGORIES
from a1_trt.core.conformal.controllers.pools import Pools
from a1_trt.errors import CalibrationError, InvalidRequestError
from a1_trt.pair_sections import ControllerName

FIXED = {"turn 1": [1.0, 2.0, 3.0, 4.0], "turn 2": [9.0]}
PLAIN = ControllerSettings(smoothed=False)


def asked(score, category="turn 1", *, alpha=0.4, u=0.5, problem="p", quota=None):
    return Candidate(score=score, category=category, problem=problem, alpha=alpha, u=u, quota=quota)


def feed(controller, *candidates):
    decisions = []
    for candidate in candidates:
        decisions.append(controller.decide(candidate))
        controller.update(candidate, decisions[-1])
    return decisions


@pytest.mark.parametrize("name", CONTROLLERS)
def test_every_controller_decides_without_changing_and_counts_its_scores(name):
    controller = make_controller(name, calibration_scores=FIXED)
    first = controller.decide(asked(2.5))
    assert controller.decide(asked(2.5)) == first
    assert 0.0 < first.p_value <= 1.0
    assert first.takeover == (first.p_value <= first.level)
    controller.update(asked(2.5), first)
    assert len(controller) == sum(controller.sizes().values())


@pytest.mark.parametrize("name", sorted(set(CONTROLLERS) - {"random", "counter"}))
@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_is_refused_and_leaves_no_trace(name, score):
    controller = make_controller(name, calibration_scores=FIXED)
    before = controller.sizes()
    with pytest.raises(CalibrationError):
        controller.decide(asked(score))
    assert controller.sizes() == before


def test_pair_files_know_every_controller():
    assert set(CONTROLLERS) == set(get_args(ControllerName))


@pytest.mark.parametrize("n", [1, 2, 5, 16])
@pytest.mark.parametrize("alpha", [0.05, 0.3, 0.5, 0.9])
def test_ranks_take_over_the_rounded_share_of_those_that_are_judged_together(n, alpha):
    candidates = [Candidate(1.0, "all", "p", alpha, 0.5, rank=(rank, n)) for rank in range(1, n + 1)]
    decisions = [Rank().decide(candidate) for candidate in candidates]
    assert [decision.takeover for decision in decisions] == [rank <= round(alpha * n) for rank in range(1, n + 1)]
    assert [decision.p_value for decision in decisions] == [rank / n for rank in range(1, n + 1)]


def test_an_unknown_controller_is_refused():
    with pytest.raises(InvalidRequestError, match="two-level"):
        make_controller("none")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("horizon", 0.5),
        ("horizon", math.nan),
        ("window", 0),
        ("half_life", 0.0),
        ("prior", -1.0),
        ("prior", math.nan),
        ("debt", 0.5),
    ],
)
def test_a_setting_out_of_range_is_named(setting, value):
    with pytest.raises(InvalidRequestError) as caught:
        ControllerSettings(**{setting: value})
    assert caught.value.field == setting


@pytest.mark.parametrize("wrong", [{"alpha": 0.0}, {"alpha": 1.0}, {"alpha": math.nan}, {"quota": (0, 0)}])
def test_a_candidate_that_no_limit_could_hold_for_is_refused(wrong):
    with pytest.raises(InvalidRequestError) as caught:
        asked(1.0, **wrong)
    assert caught.value.field in wrong


def test_a_score_is_ranked_before_it_enters():
    controller = make_controller("growing", PLAIN)
    assert [each.p_value for each in feed(controller, asked(1.0), asked(2.0), asked(3.0))] == [1.0, 1 / 2, 1 / 3]


def test_growing_has_one_pool_and_mondrian_one_a_category():
    for name, second in (("growing", 1 / 2), ("mondrian", 1.0)):
        decisions = feed(make_controller(name, PLAIN), asked(1.0, "turn 1"), asked(9.0, "turn 2"))
        assert decisions[1].p_value == second


def test_a_window_forgets_its_oldest_score():
    controller = make_controller("window", ControllerSettings(window=2, smoothed=False))
    feed(controller, asked(9.0), asked(1.0), asked(1.0))
    assert controller.decide(asked(5.0)).p_value == 1 / 3
    assert controller.sizes() == {"turn 1": 2}


@pytest.mark.parametrize("name", ["growing", "mondrian", "window", "exponential", "aci", "two-level"])
def test_plain_p_values_do_not_depend_on_the_draw(name):
    controller = make_controller(name, PLAIN)
    feed(controller, asked(1.0), asked(9.0, u=0.1))
    assert controller.decide(asked(5.0, u=0.1)) == controller.decide(asked(5.0, u=0.9))


def test_exponential_weights_halve():
    controller = make_controller("exponential", ControllerSettings(half_life=1.0))
    feed(controller, asked(9.0), asked(1.0))  # weights 1 and 2, and the next one 4
    assert controller.decide(asked(5.0, u=0.5)).p_value == pytest.approx((1 + 0.5 * 4) / 7)


def test_exponential_weights_never_overflow():
    controller = make_controller("exponential", ControllerSettings(half_life=1.0))
    feed(controller, *(asked(1.0 + n % 3) for n in range(3000)))
    assert 0.0 < controller.decide(asked(2.0)).p_value < 1.0


def test_per_problem_starts_as_its_category_and_becomes_its_own():
    controller = make_controller("per-problem", ControllerSettings(prior=4.0))
    feed(controller, *(asked(float(n), problem="easy") for n in range(8)))
    # No score of its own yet: 4 of the category's 8 are greater.
    assert controller.decide(asked(3.5, problem="hard", u=0.5)).p_value == (4 + 0.5) / 9
    feed(controller, *(asked(100.0, problem="hard", u=0.5) for _ in range(4)))
    # Now either pool is as likely: draws below 1/2 rank it among its own 4, the others among all 12.
    assert controller.decide(asked(50.0, problem="hard", u=0.25)).p_value == (4 + 0.5) / 5
    assert controller.decide(asked(50.0, problem="hard", u=0.75)).p_value == (4 + 0.5) / 13


@pytest.mark.parametrize("u", [5e-324, 0.5, math.nextafter(1.0, 0.0)])
@pytest.mark.parametrize("prior", [0.0, 1.0, 3.0, 1e300])
def test_per_problem_takes_every_draw(u, prior):
    controller = make_controller("per-problem", ControllerSettings(prior=prior))
    for decision in feed(controller, *(asked(1.0 + n, u=u) for n in range(5))):
        assert 0.0 < decision.p_value <= 1.0


def test_static_scores_stay_and_an_unknown_category_is_ranked_among_all():
    controller = make_controller("static", PLAIN, calibration_scores=FIXED)
    assert [each.p_value for each in feed(controller, asked(2.5), asked(2.5))] == [3 / 5, 3 / 5]
    assert controller.decide(asked(5.0, "turn 9")).p_value == 2 / 6
    assert controller.sizes() == {"turn 1": 4, "turn 2": 1}


def test_an_empty_static_controller_decides_by_the_draw():
    assert make_controller("static").decide(asked(3.0, u=0.2)).p_value == 0.2


def test_the_published_rule_is_the_percentile_without_plus_one():
    controller = make_controller("published", calibration_scores={"turn 1": [float(n) for n in range(10)]})
    # 6 of 10 are strictly smaller than 5.5: percentile 0.6 takes over at alpha 0.4.
    assert controller.decide(asked(5.5)).takeover
    assert not controller.decide(asked(5.0)).takeover  # 5 smaller
    with pytest.raises(CalibrationError, match="no calibration scores"):
        make_controller("published")


def test_aci_lowers_the_level_after_a_takeover():
    controller = make_controller("aci", ControllerSettings(horizon=200.0))
    feed(controller, asked(1.0, u=0.1))
    assert controller.decide(asked(1.0)).level == pytest.approx(0.4 - 0.05 * 0.6)


def test_two_level_moves_both_terms_scaled_to_alpha_and_clips_one():
    controller = TwoLevel(Pools(), step=0.05, category_step=0.02, clip=0.25)
    assert scale_of(0.1) == pytest.approx(0.25)
    candidate = asked(1.0, alpha=0.1)
    controller.update(candidate, Decision(p_value=0.05, level=0.1, takeover=True))
    assert controller.decide(candidate).level == pytest.approx(0.1 - 0.25 * 0.07 * 0.9)
    assert controller.decide(asked(1.0, "turn 2", alpha=0.1)).level == pytest.approx(0.1 - 0.25 * 0.05 * 0.9)
    assert controller.decide(asked(1.0, alpha=0.4)).level == 0.4  # each alpha has terms of its own
    for _ in range(1000):
        controller.update(candidate, Decision(p_value=0.5, level=0.1, takeover=False))
    shared = controller.decide(asked(1.0, "turn 2", alpha=0.1)).level
    assert controller.decide(candidate).level - shared == pytest.approx(0.25 * 0.25)


def test_a_debt_forces_both_ways_and_says_so():
    controller = Debt(make_controller("random"), most=1.0)
    decisions = feed(controller, *(asked(1.0, u=0.01) for _ in range(2)))  # the sum is 0.6, then 0.2
    assert [(each.takeover, each.forced) for each in decisions] == [(True, None), (False, "debt")]
    decisions = feed(controller, *(asked(1.0, u=0.99) for _ in range(4)))  # -0.2, -0.6, -1.0, 0.6 - 1.0
    assert [(each.takeover, each.forced) for each in decisions] == [(False, None)] * 3 + [(True, "debt")]


def test_a_budget_is_met_exactly_and_says_when_it_forces():
    controller = Budget(make_controller("random"))
    used, decisions = 0, []
    for seen in range(5):
        decisions += feed(controller, asked(1.0, u=0.99, quota=(2 - used, 5 - seen)))
        used += decisions[-1].takeover
    assert [each.takeover for each in decisions] == [False, False, False, True, True]
    assert [each.forced for each in decisions] == [None, None, None, "budget", "budget"]


def test_a_budget_leaves_other_requests_alone():
    assert not Budget(make_controller("random")).decide(asked(1.0, u=0.99)).takeover


@pytest.mark.parametrize("name", CONTROLLERS)
def test_every_controller_keeps_to_the_budget_of_a_request(name):
    controller = make_controller(name, calibration_scores=FIXED)
    assert not controller.decide(asked(9.0, u=0.01, quota=(0, 3))).takeover
    assert controller.decide(asked(0.5, u=0.99, quota=(3, 3))).takeover


@pytest.mark.parametrize("store", ["exact", "histogram"])
@pytest.mark.parametrize("name", sorted(set(CONTROLLERS) - {"static", "published"}))
def test_what_callers_choose_does_not_fill_the_memory(name, store):
    """Alphas, categories and problems come from requests; what is kept for each is dropped when there are too many."""
    controller = make_controller(name, ControllerSettings(store=store, window=1))
    n = MAX_CATEGORIES + 100
    for i in range(n):
        feed(controller, asked(1.0, f"problem {i}", alpha=(i + 1) / (n + 2), problem=str(i)))
    assert len(controller.sizes()) <= MAX_CATEGORIES
    assert n_kept(controller) <= 4 * MAX_CATEGORIES
    feed(controller, asked(1.0, "problem 0"), asked(2.0, "problem 0"))


def n_kept(thing):
    """Entries of all dictionaries in a controller."""
    held = getattr(thing, "__dict__", {}) or {name: getattr(thing, name) for name in getattr(thing, "__slots__", ())}
    inside = [*held.values(), *(thing.values() if isinstance(thing, dict) else ())]
    return (len(thing) if isinstance(thing, dict) else 0) + sum(map(n_kept, inside))
