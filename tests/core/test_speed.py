"""Micro-benchmarks of the core; `pytest -m long tests/core/test_speed.py` prints them. No time is asserted."""

from itertools import cycle

import numpy as np
import pytest

from a1_trt.core.conformal import CalibrationSet, Candidate, Histogram, make_controller, perplexity
from a1_trt.core.scheduler import Scheduler
from a1_trt.types import Completion, Logprobs, Parameters, Problem, Segment

pytestmark = pytest.mark.long
SIZES = [1_000, 10_000, 100_000, 1_000_000, 10_000_000]


def scores_of(n):
    return np.random.default_rng(0).lognormal(0.4, 0.5, n)


def news():
    return cycle(np.random.default_rng(1).lognormal(0.4, 0.5, 1000).tolist())


@pytest.mark.parametrize("n", SIZES)
def test_p_value_of_the_exact_store(benchmark, n):
    store, new = CalibrationSet.from_scores(scores_of(n)), news()
    assert 0 < benchmark(lambda: store.p_value(next(new), u=0.5)) <= 1


@pytest.mark.parametrize("n", SIZES)
def test_decision_and_update_of_the_exact_store(benchmark, n):
    store, new = CalibrationSet.from_scores(scores_of(n)), news()

    def decide():
        score = next(new)
        p_value = store.p_value(score, u=0.5)
        store.add(score)
        return p_value

    assert 0 < benchmark(decide) <= 1


@pytest.mark.parametrize("n", SIZES)
def test_p_value_of_the_histogram(benchmark, n):
    store, new = Histogram(), news()
    for score in scores_of(min(n, 100_000)):
        store.add(float(score), weight=n / min(n, 100_000))
    assert benchmark(lambda: store.count(next(new)))[0] <= n


@pytest.mark.parametrize("n", SIZES)
def test_p_value_of_a_plain_array(benchmark, n):
    """What the published code does: compare with all of them."""
    scores, new = scores_of(n), news()
    assert 0 <= benchmark(lambda: (scores >= next(new)).mean()) <= 1


def test_a_decision_of_the_default_controller(benchmark):
    controller, new = make_controller(), news()

    def decide():
        candidate = Candidate(score=next(new), category="turn 1", problem="p", alpha=0.4, u=0.5)
        controller.update(candidate, controller.decide(candidate))

    benchmark(decide)


def test_a_turn_of_the_scheduler(benchmark):
    """Three completions a sample: draft, score and takeover or the next draft."""
    scheduler = Scheduler(make_controller(), perplexity, {"draft": 64, "target": 64})
    numbers = iter(range(10**9))

    def a_problem():
        scheduler.add(Problem("Q", id=str(next(numbers))), Parameters(n_samples=16, max_turns=4))
        n_events = 0
        while start := scheduler.schedule().start:
            for call in start:
                said = Logprobs((-0.5,) * 8) if call.kind == "score" else Segment(call.role, "x", 8)
                n_events += len(scheduler.update(Completion(call, said)))
        return n_events

    assert benchmark(a_problem) > 0
